//! The last requests of the server, as many as fit: a bounded ring in memory that `lambent trace` reads.
//!
//! A record is about 200 bytes and shares what is the same for all requests of an instance, so the ring is a
//! little over 2 MB when it is full. Taking a record in allocates nothing once it is.

use std::collections::VecDeque;

use parking_lot::Mutex;
use types::request_id::RequestId;

use super::record::Record;

/// How many requests are kept.
pub(crate) const KEPT: usize = 10_000;

/// The last requests.
#[derive(Debug)]
pub(crate) struct Ring {
    capacity: usize,
    records: Mutex<VecDeque<Record>>,
}

// === impl Ring ===

impl Ring {
    /// A ring of so many.
    pub fn new(capacity: usize) -> Self {
        // All of it at once: memory that was never written to costs nothing, and a ring that grows would double.
        Self { capacity, records: Mutex::new(VecDeque::with_capacity(capacity)) }
    }

    /// Takes a request in, at the cost of the oldest.
    pub fn push(&self, record: Record) {
        let mut records = self.records.lock();
        // Dropped outside the lock: it may be the last of its instance.
        let oldest = if records.len() >= self.capacity { records.pop_front() } else { None };
        records.push_back(record);
        drop(records);
        drop(oldest);
    }

    /// The request with this id, if it is still there.
    pub fn find(&self, id: RequestId) -> Option<Record> {
        // From the newest: people ask for what has just happened.
        self.records.lock().iter().rev().find(|record| record.id == id).cloned()
    }
}

impl Default for Ring {
    fn default() -> Self {
        Self::new(KEPT)
    }
}
