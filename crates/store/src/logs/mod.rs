//! What functions wrote, kept for as long as there is room and found again by time.
//!
//! [`Logs`] takes lines as a [`Sink`]: it never blocks, a line goes into a bounded queue from which one
//! thread ([`writer`]) writes what has arrived together. A line is visible to queries once it is written,
//! milliseconds later; [`Logs::flush`] waits for that. Lines survive `kill -9` once written; a power cut may
//! cost the newest. Per function the newest [`Options::kept_bytes`] are kept.
//!
//! Lifecycle: dropping the last handle writes what is queued and waits for the thread.

mod error;
mod pattern;
mod query;
mod queue;
#[cfg(test)]
mod tests;
mod writer;

pub use error::Error;
pub use pattern::{Pattern, PatternError};
pub use query::{Cursor, Event, EventQuery, Group, Order, Page, Stream, StreamCursor, StreamQuery};

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use tokio::sync::oneshot;
use types::limits::MIB;
use types::log::{Line, Sink};

use self::queue::{Message, Queue};
use self::writer::Writer;
use crate::directory::DataDirectory;
use crate::sqlite::{Database, Readers};

/// The schema, one step per version.
pub(crate) const SCHEMA: &[&str] = &["
    CREATE TABLE functions (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        created_ms INTEGER NOT NULL,
        bytes INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE streams (
        id INTEGER PRIMARY KEY,
        function INTEGER NOT NULL REFERENCES functions (id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        first_ms INTEGER NOT NULL,
        last_ms INTEGER NOT NULL,
        ingested_ms INTEGER NOT NULL,
        UNIQUE (function, name)
    );
    -- AUTOINCREMENT: a cursor into deleted lines must never meet a new line's id.
    CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        function INTEGER NOT NULL REFERENCES functions (id) ON DELETE CASCADE,
        stream INTEGER NOT NULL REFERENCES streams (id) ON DELETE CASCADE,
        timestamp_ms INTEGER NOT NULL,
        ingested_ms INTEGER NOT NULL,
        request_id TEXT,
        text TEXT NOT NULL
    );
    CREATE INDEX events_by_function ON events (function, timestamp_ms, id);
    CREATE INDEX events_by_stream ON events (stream, timestamp_ms, id);
"];

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Options {
    /// Bytes of lines kept per function; the oldest go first.
    pub(crate) kept_bytes: u64,
    /// Lines that may wait to be written.
    pub(crate) queued_lines: usize,
    /// Bytes of lines that may wait to be written.
    pub(crate) queued_bytes: usize,
}

/// Keeps lines.
#[derive(Debug, Clone)]
pub struct Logs(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    readers: Readers,
    /// `None` only while being dropped.
    queue: Option<Queue>,
    writer: Option<JoinHandle<()>>,
    /// Released last.
    _directory: Option<Arc<DataDirectory>>,
}

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        Self { kept_bytes: 64 * MIB, queued_lines: 16 * 1024, queued_bytes: 16 * 1024 * 1024 }
    }
}

// === impl Logs ===

impl Logs {
    pub(crate) fn start(
        database: &Database,
        connection: Connection,
        options: Options,
        directory: Option<Arc<DataDirectory>>,
    ) -> io::Result<Self> {
        let (queue, arrivals) = queue::bounded(options.queued_lines, options.queued_bytes);
        let writer = Writer::new(connection, options.kept_bytes);
        let writer =
            thread::Builder::new().name("store-logs".to_owned()).spawn(move || writer.run(arrivals))?;
        Ok(Self(Arc::new(Shared {
            readers: database.readers(),
            queue: Some(queue),
            writer: Some(writer),
            _directory: directory,
        })))
    }

    /// Waits until every line taken before this call is written, or counted as lost on a full disk.
    ///
    /// # Errors
    /// [`Error::Closed`] when the writer has ended.
    pub async fn flush(&self) -> Result<(), Error> {
        let (done, is_done) = oneshot::channel();
        self.send(Message::Flush(done))?;
        is_done.await.map_err(|_| Error::Closed)
    }

    /// Forgets everything a function wrote before this call.
    ///
    /// # Errors
    /// [`Error`] when the database failed; nothing is forgotten then.
    pub async fn delete(&self, function: &str) -> Result<(), Error> {
        let (done, is_done) = oneshot::channel();
        self.send(Message::Delete(function.to_owned(), done))?;
        is_done.await.map_err(|_| Error::Closed)?
    }

    fn send(&self, message: Message) -> Result<(), Error> {
        match &self.0.queue {
            Some(queue) => queue.send(message),
            None => Err(Error::Closed),
        }
    }

    /// Reads with a connection of the pool, where blocking is allowed.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let readers = self.0.readers.clone();
        let result = tokio::task::spawn_blocking(move || readers.read(read)).await;
        result.map_err(|_| Error::Closed)?.map_err(Error::from)
    }
}

impl Sink for Logs {
    fn write(&self, line: Line) {
        if let Some(queue) = &self.0.queue {
            queue.offer(line);
        }
    }
}

// === impl Shared ===

impl Drop for Shared {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the logs' writer panicked; lines that waited are lost");
        }
    }
}
