//! Keeps every idle instance for one fixed time: what most platforms do.

use super::replay::Retention;
use crate::keep_alive::{Plan, Window};

/// The time, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Fixed(pub f64);

// === impl Fixed ===

impl Retention for Fixed {
    fn plan(&mut self, _quiet: bool) -> Plan {
        Plan { instance: Window::keep(self.0), template: None }
    }

    fn observe(&mut self, _gap: f64, _quiet: bool) {}
}
