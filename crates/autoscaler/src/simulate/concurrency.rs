//! Retention in the style of Knative's pod autoscaler (KPA): the average concurrency of the last minute
//! decides, and the last instance stays for a grace period more.
//!
//! Only its retention is modelled, with its defaults. Its two-second tick, which makes bursts wait, is not
//! charged here, and neither is the headroom of its 70 % target: both favour it in delay and in memory.

use super::replay::Retention;
use crate::keep_alive::{Plan, Window};

/// The window over which concurrency is averaged, in seconds.
const STABLE_WINDOW: f64 = 60.0;
/// What the last instance stays longer.
const SCALE_TO_ZERO_GRACE: f64 = 30.0;

/// Nothing to remember: idle time alone decides in this model.
#[derive(Debug, Clone, Copy)]
pub struct Concurrency;

// === impl Concurrency ===

impl Retention for Concurrency {
    fn plan(&mut self, quiet: bool) -> Plan {
        let grace = if quiet { SCALE_TO_ZERO_GRACE } else { 0.0 };
        Plan { instance: Window::keep(STABLE_WINDOW + grace), template: None }
    }

    fn observe(&mut self, _gap: f64, _quiet: bool) {}
}
