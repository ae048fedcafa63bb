//! The product's own policy in the simulator: [`KeepAlive`] as it is, fed with the gaps of a trace.

use super::replay::Retention;
use crate::keep_alive::{KeepAlive, Plan, Prior, Terms};

/// The policy of one function, at one price.
#[derive(Debug)]
pub struct Learned<'prior> {
    policy: KeepAlive,
    terms: Terms,
    prior: &'prior Prior,
}

// === impl Learned ===

impl<'prior> Learned<'prior> {
    /// A function that nothing is known of but its prior.
    #[must_use]
    pub fn new(terms: Terms, prior: &'prior Prior) -> Self {
        Self { policy: KeepAlive::default(), terms, prior }
    }
}

impl Retention for Learned<'_> {
    fn plan(&mut self, _quiet: bool) -> Plan {
        self.policy.plan(self.terms, self.prior)
    }

    fn observe(&mut self, gap: f64, quiet: bool) {
        self.policy.observe(gap, quiet);
    }
}
