//! The handle on logs: lines go in, orders go to the writer, questions to a connection that reads.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use tokio::sync::oneshot;
use types::limits::MIB;
use types::log::{Line, Sink};

use super::Error;
use super::queue::{self, Message, Queue};
use super::writer::Writer;
use crate::directory::DataDirectory;
use crate::sqlite::{Database, Readers};

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
    pub(super) async fn read<T: Send + 'static>(
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
