//! Records in SQLite: one thread writes, commits that arrive together share one sync, readers read
//! beside it.
//!
//! Lifecycle: [`Sqlite::start`] starts the writer; dropping the last handle lets it finish what is queued
//! and waits for that, so a directory's lock is never released before its last write.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};
use tokio::sync::{Semaphore, mpsc, oneshot};
use types::invocation::Boxed;

use super::writer::{Request, Writer};
use super::{Error, Record, Records, Write};
use crate::directory::DataDirectory;
use crate::sqlite::{Database, Readers};

/// The schema, one step per version.
pub(crate) const SCHEMA: &[&str] = &["
    CREATE TABLE records (
        kind TEXT NOT NULL,
        key TEXT NOT NULL,
        value BLOB NOT NULL,
        revision INTEGER NOT NULL,
        PRIMARY KEY (kind, key)
    ) WITHOUT ROWID;
    -- Beside the records, so that a revision is not used again after the newest record is removed.
    CREATE TABLE newest (revision INTEGER NOT NULL);
    INSERT INTO newest VALUES (0);
"];

/// Commits that may wait for the writer before callers wait to hand theirs over.
const QUEUE: usize = 256;

/// Records in a SQLite database.
#[derive(Debug)]
pub struct Sqlite {
    readers: Readers,
    /// `None` only while being dropped.
    requests: Option<mpsc::UnboundedSender<Request>>,
    /// Bounds the queue.
    places: Arc<Semaphore>,
    writer: Option<JoinHandle<()>>,
    /// Released last.
    _directory: Option<Arc<DataDirectory>>,
}

// === impl Sqlite ===

impl Sqlite {
    /// Records in memory, for tests of those who keep records; gone when dropped.
    ///
    /// # Errors
    /// When SQLite or the system refuses the memory or the thread.
    pub fn in_memory() -> io::Result<Self> {
        let database = Database::memory(SCHEMA);
        let writer = database.writer().map_err(io::Error::other)?;
        Self::start(&database, writer, None)
    }

    pub(crate) fn start(
        database: &Database,
        connection: Connection,
        directory: Option<Arc<DataDirectory>>,
    ) -> io::Result<Self> {
        let (requests, queue) = mpsc::unbounded_channel();
        let writer = thread::Builder::new()
            .name("store-records".to_owned())
            .spawn(move || Writer::new(connection).run(queue))?;
        Ok(Self {
            readers: database.readers(),
            requests: Some(requests),
            places: Arc::new(Semaphore::new(QUEUE)),
            writer: Some(writer),
            _directory: directory,
        })
    }

    fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Boxed<Result<T, Error>> {
        let readers = self.readers.clone();
        Box::pin(async move {
            let result = tokio::task::spawn_blocking(move || readers.read(read)).await;
            // A task that did not end belongs to a runtime that is going down.
            result.map_err(|_| Error::Closed)?.map_err(Error::from)
        })
    }
}

impl Records for Sqlite {
    fn get(&self, kind: &str, key: &str) -> Boxed<Result<Option<Record>, Error>> {
        let (kind, key) = (kind.to_owned(), key.to_owned());
        self.read(move |connection| {
            connection
                .prepare_cached("SELECT key, value, revision FROM records WHERE kind = ?1 AND key = ?2")?
                .query_row(params![kind, key], record)
                .optional()
        })
    }

    fn list(&self, kind: &str, prefix: &str) -> Boxed<Result<Vec<Record>, Error>> {
        let (kind, prefix) = (kind.to_owned(), prefix.to_owned());
        self.read(move |connection| {
            // Keys are compared as bytes, and those with the prefix lie together from the prefix on.
            connection
                .prepare_cached(
                    "SELECT key, value, revision FROM records WHERE kind = ?1 AND key >= ?2 ORDER BY key",
                )?
                .query_map(params![kind, prefix], record)?
                .take_while(|found| match found {
                    Ok(found) => found.key.starts_with(&prefix),
                    Err(_) => true,
                })
                .collect()
        })
    }

    fn commit(&self, writes: Vec<Write>) -> Boxed<Result<u64, Error>> {
        // Weak: a commit that waits, or is never polled, does not keep a dropped store's writer alive.
        let requests = self.requests.as_ref().map(mpsc::UnboundedSender::downgrade);
        let places = Arc::clone(&self.places);
        Box::pin(async move {
            let place = places.acquire_owned().await.map_err(|_| Error::Closed)?;
            let (answer, answered) = oneshot::channel();
            let requests = requests.and_then(|requests| requests.upgrade()).ok_or(Error::Closed)?;
            requests.send(Request { writes, answer, _place: place }).map_err(|_| Error::Closed)?;
            drop(requests);
            answered.await.map_err(|_| Error::Closed)?
        })
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.places.close();
        drop(self.requests.take());
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the records' writer panicked; what it had acknowledged is on disk");
        }
    }
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    let value: Vec<u8> = row.get(1)?;
    let revision: i64 = row.get(2)?;
    Ok(Record { key: row.get(0)?, value: Bytes::from(value), revision: revision.cast_unsigned() })
}
