//! The way of a line from whoever writes it to the thread that keeps it: bounded in lines and in bytes,
//! and never waited for.
//!
//! A line that finds no room is dropped and counted against its stream; the count is written as a line
//! of its own as soon as the thread gets to it. Requests that somebody waits for (flush, delete) are few and
//! always get in, in order with the lines.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use types::log::Line;

use super::Error;

/// What the thread is sent.
#[derive(Debug)]
pub(crate) enum Message {
    /// Keep a line.
    Line(Line),
    /// Say when everything before this is kept.
    Flush(oneshot::Sender<()>),
    /// Forget a function's lines.
    Delete(String, oneshot::Sender<Result<(), Error>>),
    /// Lines were dropped: only wakes the thread.
    Dropped,
}

/// Lines that were dropped, by function and stream.
pub(crate) type Dropped = HashMap<(Arc<str>, Arc<str>), u64>;

/// The end that lines go into.
#[derive(Debug)]
pub(crate) struct Queue {
    sender: mpsc::UnboundedSender<Message>,
    waiting: Arc<Waiting>,
}

/// The thread's end.
#[derive(Debug)]
pub(crate) struct Arrivals {
    receiver: mpsc::UnboundedReceiver<Message>,
    waiting: Arc<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    lines: AtomicUsize,
    bytes: AtomicUsize,
    most_lines: usize,
    most_bytes: usize,
    dropped: Mutex<Dropped>,
}

/// A queue for so many lines and bytes.
pub(crate) fn bounded(most_lines: usize, most_bytes: usize) -> (Queue, Arrivals) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let waiting = Arc::new(Waiting {
        lines: AtomicUsize::new(0),
        bytes: AtomicUsize::new(0),
        most_lines,
        most_bytes,
        dropped: Mutex::default(),
    });
    (Queue { sender, waiting: Arc::clone(&waiting) }, Arrivals { receiver, waiting })
}

// === impl Queue ===

impl Queue {
    /// Takes a line, or counts it as dropped.
    pub(crate) fn offer(&self, line: Line) {
        if self.waiting.reserve(line.text.len()) {
            // The thread lives as long as this end does.
            let _ = self.sender.send(Message::Line(line));
        } else if self.waiting.drop_line(line.function, line.stream) {
            let _ = self.sender.send(Message::Dropped);
        }
    }

    /// Sends what somebody waits for.
    pub(crate) fn send(&self, message: Message) -> Result<(), Error> {
        self.sender.send(message).map_err(|_| Error::Closed)
    }
}

// === impl Arrivals ===

impl Arrivals {
    /// The next message; `None` when no more can come. Blocks.
    pub(crate) fn wait(&mut self) -> Option<Message> {
        self.receiver.blocking_recv().inspect(|message| self.waiting.release(message))
    }

    /// The next message, if it has arrived.
    pub(crate) fn poll(&mut self) -> Option<Message> {
        self.receiver.try_recv().ok().inspect(|message| self.waiting.release(message))
    }

    /// How many lines have arrived and are not taken yet.
    pub(crate) fn lines(&self) -> usize {
        self.waiting.lines.load(Ordering::Relaxed)
    }

    /// What was dropped since the last call.
    pub(crate) fn dropped(&self) -> Dropped {
        mem::take(&mut *self.waiting.dropped.lock())
    }

    /// Counts a line that was taken but could not be kept.
    pub(crate) fn lose(&self, function: Arc<str>, stream: Arc<str>, count: u64) {
        *self.waiting.dropped.lock().entry((function, stream)).or_default() += count;
    }
}

// === impl Waiting ===

impl Waiting {
    fn reserve(&self, bytes: usize) -> bool {
        let lines_before = self.lines.fetch_add(1, Ordering::Relaxed);
        let bytes_before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = lines_before < self.most_lines && bytes_before < self.most_bytes;
        if !fits {
            self.give_back(bytes);
        }
        fits
    }

    fn release(&self, message: &Message) {
        if let Message::Line(line) = message {
            self.give_back(line.text.len());
        }
    }

    fn give_back(&self, bytes: usize) {
        self.lines.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Counts a dropped line; `true` when it is the first since the thread last looked.
    fn drop_line(&self, function: Arc<str>, stream: Arc<str>) -> bool {
        let mut dropped = self.dropped.lock();
        let first = dropped.is_empty();
        *dropped.entry((function, stream)).or_default() += 1;
        first
    }
}
