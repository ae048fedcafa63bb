//! Why logs could not be read or deleted. Writing has no errors: a sink cannot fail.

use std::sync::Arc;

use crate::sqlite;

/// Why logs could not be read or deleted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A page's token that no page gave out.
    #[error("`{0}` is not a token of an earlier page: ask without one to start over")]
    Token(String),
    /// There is no room.
    #[error("no space left for the logs: free some in the data directory and retry")]
    DiskFull,
    /// The disk, or the database on it, failed.
    #[error("the logs cannot be read ({0}): check the data directory's disk and retry")]
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
