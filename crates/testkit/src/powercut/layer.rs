//! The layer itself: a shared object that `LD_PRELOAD` puts between a process and libc.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

const SOURCE: &str = include_str!("powercut.c");

/// A compiled layer.
#[derive(Debug, Clone)]
pub struct Layer {
    library: PathBuf,
}

// === impl Layer ===

impl Layer {
    /// Compiles the layer into a directory, which has to outlive those who use it.
    ///
    /// # Errors
    /// There is no C compiler, or the directory cannot be written.
    pub fn compile(directory: &Path) -> Result<Self> {
        let library = directory.join("powercut.so");
        let aside = library.with_extension(std::process::id().to_string());
        let mut compiler = Command::new("cc")
            .args(["-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC", "-o"])
            .arg(&aside)
            .args(["-x", "c", "-", "-ldl", "-lpthread"])
            .stdin(Stdio::piped())
            .spawn()
            .context("the fault layer needs a C compiler (cc)")?;
        let mut source = compiler.stdin.take().context("the compiler has no stdin")?;
        source.write_all(SOURCE.as_bytes())?;
        drop(source);
        ensure!(compiler.wait()?.success(), "the fault layer does not compile");
        // At once: another run may be using the one that is there.
        fs::rename(&aside, &library)?;
        Ok(Self { library })
    }

    pub(super) fn library(&self) -> &Path {
        &self.library
    }
}
