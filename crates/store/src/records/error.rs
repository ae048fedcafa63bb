//! Why a record could not be read or written.

use std::sync::Arc;

use crate::sqlite;

/// Why a record could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// What a write expected is not what is there; nothing has changed.
    #[error("{kind} `{key}` was changed by somebody else in the meantime: read it again and retry")]
    Conflict {
        /// The kind.
        kind: String,
        /// The key.
        key: String,
        /// The revision that is there, if there is a record.
        found: Option<u64>,
    },
    /// There is no room; nothing has changed.
    #[error("no space left for the data directory: free some and retry")]
    DiskFull,
    /// The disk, or the database on it, failed. Whether a commit was made is known only after a restart.
    #[error("the data directory's disk failed ({0}): check it and restart the server before a retry")]
    Storage(#[source] Arc<rusqlite::Error>),
    /// The store has been closed.
    #[error("the store is closed: retry against the next server")]
    Closed,
}

// === impl Error ===

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        if sqlite::is_full(&error) { Self::DiskFull } else { Self::Storage(Arc::new(error)) }
    }
}
