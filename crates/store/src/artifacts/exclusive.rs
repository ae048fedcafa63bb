//! One at a time per digest: a turn is taken by [`Exclusive::enter`], which blocks while another has it,
//! and given back when it is dropped. Turns of different digests do not wait for each other.

use std::collections::HashSet;

use parking_lot::{Condvar, Mutex};

use super::digest::Digest;

/// Who is being worked on.
#[derive(Debug, Default)]
pub(crate) struct Exclusive {
    busy: Mutex<HashSet<Digest>>,
    freed: Condvar,
}

/// The right to work on one digest.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    exclusive: &'a Exclusive,
    digest: Digest,
}

// === impl Exclusive ===

impl Exclusive {
    /// Waits for the digest's turn. Blocks: call it where blocking is allowed.
    pub(crate) fn enter(&self, digest: &Digest) -> Turn<'_> {
        let mut busy = self.busy.lock();
        while !busy.insert(digest.clone()) {
            self.freed.wait(&mut busy);
        }
        Turn { exclusive: self, digest: digest.clone() }
    }
}

// === impl Turn ===

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.exclusive.busy.lock().remove(&self.digest);
        self.exclusive.freed.notify_all();
    }
}
