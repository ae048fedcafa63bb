//! What a function has cost: the sum over the processes that are gone, to which those that live are added
//! when somebody looks. Kept as long as the server runs and the function is known; nothing is durable.
//!
//! Instances are the pool's, which adds each at its end. A process that instances are forked from is nobody's
//! instance: all it ever uses is counted as `init`, by a [`Shared`] that lives as long as it does.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::books::Books;
use super::ledger::{Amount, Buckets};

/// One function's account.
#[derive(Default)]
pub(crate) struct Account {
    gone: Mutex<Buckets>,
    shared: Mutex<Vec<Weak<Books>>>,
}

/// The books of a process that instances are forked from. Dropping it counts what it has cost for good.
pub(crate) struct Shared {
    account: Arc<Account>,
    books: Arc<Books>,
}

// === impl Account ===

impl Account {
    /// An instance is gone that has cost this.
    pub fn add(&self, buckets: Buckets) {
        *self.gone.lock() += buckets;
    }

    /// CPU time of an init that failed, in microseconds.
    pub fn add_init(&self, cpu_micros: u64) {
        let init = Amount { cpu: cpu_micros.saturating_mul(1_000), memory: 0 };
        self.add(Buckets { init, ..Buckets::default() });
    }

    /// A process that instances are forked from lives from now on.
    pub fn share(self: &Arc<Self>, books: Books) -> Shared {
        let books = Arc::new(books);
        self.shared.lock().push(Arc::downgrade(&books));
        Shared { account: Arc::clone(self), books }
    }

    /// The sum with those that live.
    pub fn total(&self, live: impl Iterator<Item = Buckets>) -> Buckets {
        let mut total = *self.gone.lock();
        live.for_each(|buckets| total += buckets);
        let shared: Vec<Arc<Books>> = self.shared.lock().iter().filter_map(Weak::upgrade).collect();
        for buckets in shared.iter().filter_map(|books| books.buckets()) {
            total.init += buckets.total();
        }
        total
    }
}

// === impl Shared ===

impl Shared {
    /// The process is gone; `cpu_micros` is what the kernel said in the end.
    pub fn close(self, cpu_micros: u64) {
        self.settle(self.books.close(cpu_micros));
    }

    fn settle(&self, buckets: Buckets) {
        self.account.add(Buckets { init: buckets.total(), ..Buckets::default() });
        self.account.shared.lock().retain(|books| !std::ptr::eq(books.as_ptr(), Arc::as_ptr(&self.books)));
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // `None`: it is closed and counted.
        if let Some(buckets) = self.books.buckets() {
            self.books.close(0);
            self.settle(buckets);
        }
    }
}
