//! Our runtimes for Python and Node.js, embedded in the binary and written out once per data directory.
//!
//! Lifecycle: [`install`] at start makes `DIR/runtime/<digest>/` and leaves it for the next start. It is
//! written below `DIR/tmp`, synced and renamed: under its name it is complete, also after a power cut. It lies
//! read-only at `/var/runtime` in every sandbox. Python's byte code is made here too: without it each start
//! of an instance would compile the shim again. Python does not check it against the source, so it counts as
//! made (`.compiled-3.*`) only once it is synced.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::runtimes::Runtimes;

include!(concat!(env!("OUT_DIR"), "/shim_files.rs"));

/// The Python shim's entry point below the runtime directory.
pub const PYTHON: &str = "python/bootstrap.py";
/// The Node.js shim's entry point below the runtime directory.
pub const NODE: &str = "node/bootstrap.mjs";

/// The shims, as files on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The directory that becomes `/var/runtime`.
    pub directory: PathBuf,
}

/// Why the shims could not be written out.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the runtimes to {path}: {source}; free some space or pass another --data-dir")]
pub struct Error {
    /// Where to.
    pub path: PathBuf,
    /// The system's reason.
    #[source]
    pub source: io::Error,
}

/// Writes the shims to `data_directory/runtime/<digest>` unless they are there. Runs the Python
/// interpreters once to make byte code, so call it before there are threads.
///
/// # Errors
/// [`Error`] when the directory cannot be written.
pub fn install(data_directory: &Path, runtimes: &Runtimes) -> Result<Installed, Error> {
    let directory = data_directory.join("runtime").join(DIGEST);
    if !directory.exists() {
        write(data_directory, &directory).map_err(|source| Error { path: directory.clone(), source })?;
    }
    compile(&directory, runtimes);
    Ok(Installed { directory })
}

fn write(data_directory: &Path, directory: &Path) -> io::Result<()> {
    let aside = data_directory.join("tmp").join(DIGEST);
    if aside.exists() {
        fs::remove_dir_all(&aside)?;
    }
    for (name, content) in FILES {
        let path = aside.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, content)?;
    }
    open_to_all(&aside)?;
    sync(&aside)?;
    if let Some(parent) = directory.parent() {
        fs::create_dir_all(parent)?;
        fs::rename(&aside, directory)?;
        File::open(parent)?.sync_all()?;
    }
    File::open(data_directory)?.sync_all()
}

/// Makes a tree durable: what is in it first, then the names.
fn sync(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(directory)?.sync_all()
}

/// The programs inside run under another user, whatever the umask here is.
fn open_to_all(directory: &Path) -> io::Result<()> {
    fs::set_permissions(directory, Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_to_all(&entry.path())?;
        } else {
            fs::set_permissions(entry.path(), Permissions::from_mode(0o644))?;
        }
    }
    Ok(())
}

/// Makes the byte code that is not there yet, all interpreters at once. It only saves time: that an
/// interpreter cannot do it is no error.
fn compile(directory: &Path, runtimes: &Runtimes) {
    let mut children = Vec::new();
    for (minor, interpreter) in &runtimes.python {
        let marker = directory.join(format!(".compiled-3.{minor}"));
        if marker.exists() {
            continue;
        }
        let child = Command::new(&interpreter.program)
            .args(["-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"])
            .arg(directory.join("python"))
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        children.push((marker, child));
    }
    if children.is_empty() {
        return;
    }
    let mut compiled = Vec::new();
    for (marker, child) in children {
        if child.and_then(|mut child| child.wait()).is_ok_and(|status| status.success()) {
            compiled.push(marker);
        } else {
            tracing::debug!(marker = %marker.display(), "no byte code for the python runtime");
        }
    }
    if let Err(error) = open_to_all(directory) {
        tracing::warn!(%error, "cannot make the runtimes readable");
    } else if let Err(error) = mark(directory, &compiled) {
        tracing::debug!(%error, "the next start makes the byte code of the python runtime again");
    }
}

/// Marks byte code as made, once it is durable.
fn mark(directory: &Path, markers: &[PathBuf]) -> io::Result<()> {
    sync(&directory.join("python"))?;
    for marker in markers {
        File::create(marker)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_once_and_leaves_out_what_was_interrupted() {
        let data = tempfile::tempdir().unwrap();
        let aside = data.path().join("tmp").join(DIGEST);
        fs::create_dir_all(&aside).unwrap();
        fs::write(aside.join("half"), "written").unwrap();
        let installed = install(data.path(), &Runtimes::default()).unwrap();
        for (name, content) in FILES {
            assert_eq!(fs::read(installed.directory.join(name)).unwrap(), *content);
        }
        assert!(!installed.directory.join("half").exists());
        let again = install(data.path(), &Runtimes::default()).unwrap();
        assert_eq!(again, installed);
    }
}
