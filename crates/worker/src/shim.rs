//! Our runtimes for Python and Node.js, embedded in the binary and written out once per data directory.
//!
//! Lifecycle: [`install`] at start makes `DIR/runtime/<digest>/` (in a temporary directory that is renamed,
//! so that a half-written one is never used) and leaves it for the next start. It lies read-only at
//! `/var/runtime` in every sandbox. Python's byte code is made here too: without it each start of an
//! instance would compile the shim again.

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
    let parent = data_directory.join("runtime");
    let directory = parent.join(DIGEST);
    let done = directory.join(".complete");
    if !done.exists() {
        let temporary = parent.join(format!(".{DIGEST}.{}", std::process::id()));
        write(&temporary, &directory, &done).map_err(|source| Error { path: directory.clone(), source })?;
    }
    compile(&directory, runtimes);
    Ok(Installed { directory })
}

fn write(temporary: &Path, directory: &Path, done: &Path) -> io::Result<()> {
    for (name, content) in FILES {
        let path = temporary.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, content)?;
    }
    open_to_all(temporary)?;
    if directory.exists() {
        // Left by a start that was interrupted before it was complete.
        fs::remove_dir_all(directory)?;
    }
    fs::rename(temporary, directory)?;
    File::create(done)?.sync_all()
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
    for (marker, child) in children {
        let compiled = child.and_then(|mut child| child.wait()).is_ok_and(|status| status.success());
        if !compiled || File::create(&marker).is_err() {
            tracing::debug!(marker = %marker.display(), "no byte code for the python runtime");
        }
    }
    if let Err(error) = open_to_all(directory) {
        tracing::warn!(%error, "cannot make the runtimes readable");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_once_and_repairs_what_was_interrupted() {
        let data = tempfile::tempdir().unwrap();
        let installed = install(data.path(), &Runtimes::default()).unwrap();
        for (name, content) in FILES {
            assert_eq!(fs::read(installed.directory.join(name)).unwrap(), *content);
        }
        fs::remove_file(installed.directory.join(".complete")).unwrap();
        fs::write(installed.directory.join("half"), "written").unwrap();
        let again = install(data.path(), &Runtimes::default()).unwrap();
        assert_eq!(again, installed);
        assert!(!installed.directory.join("half").exists());
    }
}
