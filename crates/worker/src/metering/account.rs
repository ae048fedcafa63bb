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

#[cfg(test)]
mod tests {
    use std::iter;
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::time::Instant;

    use super::*;
    use crate::metering::Origin;
    use crate::metering::meter::Meter;

    struct Fake(Arc<AtomicU64>);

    impl Meter for Fake {
        fn cpu_micros(&self) -> Option<u64> {
            Some(self.0.load(Ordering::Relaxed))
        }

        fn memory_bytes(&self) -> Option<u64> {
            None
        }

        fn take_peak(&self) -> Option<u64> {
            None
        }
    }

    fn shared(account: &Arc<Account>) -> (Arc<AtomicU64>, Shared) {
        let cpu = Arc::new(AtomicU64::new(40));
        let (function, version, instance) = ("f".to_owned(), "1".to_owned(), String::new());
        let origin = Origin { function, version, instance, start: None, ready: Instant::now() };
        let books = Books::new(Box::new(Fake(Arc::clone(&cpu))), origin);
        (cpu, account.share(books))
    }

    #[test]
    fn what_instances_are_forked_from_is_counted_once_alive_and_gone() {
        let account = Arc::new(Account::default());
        let init = || account.total(iter::empty()).init.cpu / 1_000;
        let (cpu, living) = shared(&account);
        assert_eq!(init(), 40);
        cpu.store(50, Ordering::Relaxed);
        assert_eq!((init(), init()), (50, 50));
        cpu.store(70, Ordering::Relaxed);
        drop(living);
        assert_eq!(init(), 70);
        let (_, crashed) = shared(&account);
        crashed.close(45);
        assert_eq!(init(), 70 + 45);
        account.add_init(5);
        assert_eq!(init(), 120);
        assert_eq!(account.total(iter::empty()).total().cpu, 120_000, "nothing is in another bucket");
    }
}
