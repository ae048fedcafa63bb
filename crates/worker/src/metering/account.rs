//! What a function has cost: the sum over the instances that are gone, to which those that live are added
//! when somebody looks. Kept as long as the server runs and the function is known; nothing is durable.

use parking_lot::Mutex;

use super::ledger::{Amount, Buckets};

/// One function's account.
#[derive(Debug, Default)]
pub(crate) struct Account(Mutex<Buckets>);

// === impl Account ===

impl Account {
    /// An instance is gone that has cost this.
    pub fn add(&self, buckets: Buckets) {
        *self.0.lock() += buckets;
    }

    /// CPU time of an init that several instances share, or of one that failed, in microseconds.
    pub fn add_init(&self, cpu_micros: u64) {
        let init = Amount { cpu: cpu_micros.saturating_mul(1_000), memory: 0 };
        *self.0.lock() += Buckets { init, ..Buckets::default() };
    }

    /// The sum with those that live.
    pub fn total(&self, live: impl Iterator<Item = Buckets>) -> Buckets {
        let mut total = *self.0.lock();
        live.for_each(|buckets| total += buckets);
        total
    }
}
