//! What an ember is made of: when any of it changes, the ember is not this version's any more.
//!
//! Code, environment, memory, handler, runtime and role are in the version's revision. What is not, because
//! it is this machine's, is here: the interpreter, as a file, and the shims. Compared whole at every start.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use autoscaler::Revision;
use types::function::Version;

use crate::compose::Composer;

/// Which version an ember is of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// The function's bare name.
    pub function: String,
    /// Its revision, as the pool tells instances apart.
    pub revision: Revision,
}

/// What an ember is made of besides its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inputs {
    shim: PathBuf,
    interpreter: Option<Program>,
}

/// One program on this machine: an upgrade in place changes its inode or its time.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Program {
    path: PathBuf,
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

// === impl Key ===

impl Key {
    pub fn of(version: &Version) -> Self {
        Self { function: version.name.clone(), revision: crate::pool::revision(version) }
    }
}

// === impl Inputs ===

impl Inputs {
    /// As they are now.
    pub fn of(composer: &Composer, version: &Version) -> Self {
        let choice = composer.runtimes.choose(version.runtime);
        let interpreter = choice.and_then(|choice| Program::at(choice.interpreter.program.clone()));
        Self { shim: composer.shim.directory.clone(), interpreter }
    }
}

// === impl Program ===

impl Program {
    fn at(path: PathBuf) -> Option<Self> {
        let file = path.metadata().ok()?;
        let modified = (file.mtime(), file.mtime_nsec());
        Some(Self { path, device: file.dev(), inode: file.ino(), size: file.size(), modified })
    }
}
