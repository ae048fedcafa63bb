//! Opening a store: the one place that says why a data directory cannot be used.
//!
//! [`Claim::take`] takes the directory and starts nothing, so that a server can still give up privileges
//! for its whole process; [`Claim::open`] then starts two threads (the writers of records and of logs).
//! [`Store::open`] does both. All block and need no runtime.
//! The directory stays locked until the store and every part handed out have been dropped; dropping the
//! last one waits until what was queued is written.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::ErrorCode;

use crate::artifacts::Artifacts;
use crate::directory::DataDirectory;
use crate::durable;
use crate::logs::{self, Logs};
use crate::records::{Records, Sqlite};
use crate::sqlite::{self, Database, SchemaError};

/// What to open.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data directory; made if need be. Not looked at when `ephemeral`.
    pub directory: PathBuf,
    /// Keep everything in a private temporary directory that is removed with the store.
    pub ephemeral: bool,
}

/// A data directory that is taken and usable, but not read yet.
#[derive(Debug)]
pub struct Claim(Arc<DataDirectory>);

/// An open store.
#[derive(Clone)]
pub struct Store {
    directory: Arc<DataDirectory>,
    records: Arc<dyn Records>,
    artifacts: Artifacts,
    logs: Logs,
}

/// Why a store cannot be opened: one line that a person can act on.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "data directory {} is in use by {}: stop it, or choose another with --data-dir",
        directory.display(),
        holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    InUse {
        /// The data directory.
        directory: PathBuf,
        /// The process that has it, where it is known.
        holder: Option<u32>,
    },
    /// A newer version has changed it in a way this one does not know.
    #[error(
        "data directory {} was made by a newer lambent (schema {found} > {known}): use that version or \
         restore a backup",
        directory.display()
    )]
    Newer {
        /// The data directory.
        directory: PathBuf,
        /// Its schema.
        found: u32,
        /// The newest schema this version knows.
        known: u32,
    },
    /// It is full of other things.
    #[error(
        "{} holds other files and is not a data directory: choose an empty or a new one with --data-dir",
        directory.display()
    )]
    NotOurs {
        /// The directory.
        directory: PathBuf,
    },
    /// There is a file where the directory should be.
    #[error("{} is not a directory: choose another with --data-dir", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// This user may not write there.
    #[error("{} is not writable: give this user access, or choose another with --data-dir", path.display())]
    NotWritable {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no room.
    #[error("no space left for {}: free some, or choose another disk with --data-dir", path.display())]
    DiskFull {
        /// The path.
        path: PathBuf,
    },
    /// A database is not one any more.
    #[error("{} is damaged: restore a backup, or move it away to start without it", path.display())]
    Damaged {
        /// The database's file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// Something else went wrong with a database.
    #[error("{} cannot be opened ({source}): check its disk", path.display())]
    Database {
        /// The database's file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// Something else went wrong with the directory.
    #[error("data directory {} cannot be used ({source}): check its disk", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No thread could be started.
    #[error("no thread can be started for the store: raise the limit on processes (ulimit -u)")]
    Thread(#[source] io::Error),
}

// === impl Claim ===

impl Claim {
    /// Takes a data directory, making it if need be.
    ///
    /// # Errors
    /// [`OpenError`] when the directory is in use, full, not writable or somebody else's.
    pub fn take(options: Options) -> Result<Self, OpenError> {
        let Options { directory, ephemeral } = options;
        let directory = match ephemeral {
            true => DataDirectory::ephemeral()?,
            false => DataDirectory::take(&directory)?,
        };
        Ok(Self(Arc::new(directory)))
    }

    /// The data directory, for those who keep things of their own in it.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.0.path()
    }

    /// Opens what is in it, bringing its schema up to date where needed.
    ///
    /// # Errors
    /// [`OpenError`] when it is newer, full or damaged.
    pub fn open(self) -> Result<Store, OpenError> {
        let Self(directory) = self;
        let database = |name: &str, full, steps| {
            let path = directory.path().join(name);
            let database = Database::file(&path, directory.durability, full, steps);
            let failed = |error| OpenError::from_schema(directory.path(), &path, error);
            database.writer().map(|writer| (database, writer)).map_err(failed)
        };
        let (records, records_writer) = database("lambent.db", true, crate::records::SCHEMA)?;
        let (lines, lines_writer) = database("logs.db", false, logs::SCHEMA)?;
        directory
            .durability
            .sync_directory(directory.path())
            .map_err(|source| OpenError::from_io(directory.path(), source))?;
        Ok(Store {
            records: Arc::new(
                Sqlite::start(&records, records_writer, Some(Arc::clone(&directory)))
                    .map_err(OpenError::Thread)?,
            ),
            artifacts: Artifacts::new(Arc::clone(&directory)),
            logs: Logs::start(&lines, lines_writer, logs::Options::default(), Some(Arc::clone(&directory)))
                .map_err(OpenError::Thread)?,
            directory,
        })
    }
}

// === impl Store ===

impl Store {
    /// Opens a store, making the directory or bringing its schema up to date where needed.
    ///
    /// # Errors
    /// [`OpenError`] when the directory is in use, newer, full, not writable or damaged.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        Claim::take(options)?.open()
    }

    /// The data directory, for those who keep things of their own in it.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The records.
    #[must_use]
    pub fn records(&self) -> Arc<dyn Records> {
        Arc::clone(&self.records)
    }

    /// The artifacts.
    #[must_use]
    pub fn artifacts(&self) -> Artifacts {
        self.artifacts.clone()
    }

    /// The logs.
    #[must_use]
    pub fn logs(&self) -> Logs {
        self.logs.clone()
    }
}

// === impl OpenError ===

impl OpenError {
    pub(crate) fn from_io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        if durable::is_full(&source) {
            return Self::DiskFull { path };
        }
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NotWritable { path, source }
            }
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => Self::NotADirectory { path },
            _ => Self::Io { path, source },
        }
    }

    fn from_schema(directory: &Path, path: &Path, error: SchemaError) -> Self {
        let path = path.to_owned();
        let source = match error {
            SchemaError::Newer { found, known } => {
                return Self::Newer { directory: directory.to_owned(), found, known };
            }
            SchemaError::Sqlite(source) => source,
        };
        if sqlite::is_full(&source) {
            return Self::DiskFull { path };
        }
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged { path, source },
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                Self::NotWritable { path, source: io::Error::other(source) }
            }
            _ => Self::Database { path, source },
        }
    }
}
