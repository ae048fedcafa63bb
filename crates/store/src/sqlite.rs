//! How we use SQLite: one way to open a connection, one schema ladder, a small pool of readers.
//!
//! Each database has exactly one writer, a thread that owns its connection; everything else reads
//! through [`Readers`]. Write-ahead logging lets both go on at once, so nobody waits for a lock.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::durable::Durability;

/// Idle read connections that are kept.
const KEPT_READERS: usize = 4;
/// How long a connection waits for another's lock. With one writer this is met only around
/// checkpoints and recovery.
const BUSY: Duration = Duration::from_secs(10);
/// The write-ahead log is cut back to this size after a checkpoint.
const JOURNAL_LIMIT: i64 = 16 * 1024 * 1024;

/// Each commit is synced before it is acknowledged.
const FULL: &str = "FULL";

/// Where a database is and how it is opened.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    location: Location,
    synchronous: &'static str,
    /// The steps of its schema: step N takes it from version N to N + 1.
    steps: &'static [&'static str],
}

#[derive(Debug, Clone)]
enum Location {
    File(PathBuf),
    /// Shared by name inside this process, gone with its last connection.
    Memory(String),
}

/// A pool of read-only connections.
#[derive(Debug, Clone)]
pub(crate) struct Readers(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    database: Database,
    idle: Mutex<Vec<Connection>>,
}

/// Why a database is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SchemaError {
    #[error("its schema {found} is newer than {known}")]
    Newer { found: u32, known: u32 },
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

// === impl Database ===

impl Database {
    /// A database in a file. `full`: each commit is synced before it is acknowledged.
    pub(crate) fn file(
        path: &Path,
        durability: Durability,
        full: bool,
        steps: &'static [&'static str],
    ) -> Self {
        let synchronous = match durability {
            Durability::Synced if full => FULL,
            Durability::Synced => "NORMAL",
            Durability::Unsynced => "OFF",
        };
        Self { location: Location::File(path.to_owned()), synchronous, steps }
    }

    /// A database that lives as long as its connections.
    pub(crate) fn memory(steps: &'static [&'static str]) -> Self {
        let name = format!("file:/{}?vfs=memdb", uuid::Uuid::new_v4().simple());
        Self { location: Location::Memory(name), synchronous: "OFF", steps }
    }

    /// Opens the writer's connection and brings the schema up to date.
    pub(crate) fn writer(&self) -> Result<Connection, SchemaError> {
        let mut connection = self.connect()?;
        connection.pragma_update(None, "synchronous", self.synchronous)?;
        connection.pragma_update(None, "journal_size_limit", JOURNAL_LIMIT)?;
        migrate(&mut connection, self.steps)?;
        if self.synchronous == FULL {
            settle(&connection)?;
        }
        Ok(connection)
    }

    /// A pool of readers; opens nothing yet.
    pub(crate) fn readers(&self) -> Readers {
        Readers(Arc::new(Pool { database: self.clone(), idle: Mutex::default() }))
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_URI;
        let connection = match &self.location {
            Location::File(path) => {
                let connection = Connection::open_with_flags(path, flags & !OpenFlags::SQLITE_OPEN_URI)?;
                connection.busy_timeout(BUSY)?;
                connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
                connection
            }
            Location::Memory(name) => Connection::open_with_flags(name, flags)?,
        };
        connection.busy_timeout(BUSY)?;
        // Its directories for temporary files are outside the data directory, where the server may not write.
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        Ok(connection)
    }

    fn reader(&self) -> rusqlite::Result<Connection> {
        let connection = self.connect()?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(connection)
    }
}

// === impl Readers ===

impl Readers {
    /// Reads with a connection of the pool. Blocks: call it where blocking is allowed.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let idle = self.0.idle.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.0.database.reader()?,
        };
        let result = read(&connection);
        // A connection that failed may be the failure's cause: it is closed, not returned.
        if result.is_ok() {
            let mut idle = self.0.idle.lock();
            if idle.len() < KEPT_READERS {
                idle.push(connection);
            }
        }
        result
    }
}

/// Takes the schema from the version the file says it has to the newest, one transaction per step.
fn migrate(connection: &mut Connection, steps: &[&str]) -> Result<(), SchemaError> {
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = u32::try_from(steps.len()).unwrap_or(u32::MAX);
    if found > known {
        return Err(SchemaError::Newer { found, known });
    }
    for (version, step) in (1_u32..).zip(steps).skip(found as usize) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

/// Makes durable what is there: a process that was killed between a commit's write and its sync leaves a
/// commit that can be read and would be gone after a power cut. Checkpoints sync before they copy.
fn settle(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

/// Whether SQLite ran out of room.
pub(crate) fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}
