//! The one price of idle memory, and the slow controller that finds it: it rises while idle memory is above
//! the node's budget and falls while it is below, but not under the default.
//!
//! Proportional and integral, on the logarithm of the price, because sensible prices span orders of
//! magnitude. Both parts are bounded, so the price is too, and a long time at a bound is soon forgotten.

use serde::{Deserialize, Serialize};

/// Milliseconds of delay that one GiB-minute of idle memory is worth, when nothing is known of the node: a
/// cold start of 250 ms then weighs as much as ten GiB-minutes.
pub const DEFAULT: f64 = 25.0;

/// How strongly the present error shows.
const PROPORTIONAL: f64 = 1.0;
/// Seconds in which a full error moves the logarithm of the price by one.
const INTEGRAL_SECONDS: f64 = 600.0;
/// Bound of the integral: the price is at least the default, however much memory is free, and at most about 8,000
/// times the default. Memory is never for nothing: what stands idle is not there for the host's caches.
const MOST: f64 = 8.0;

/// Milliseconds of delay per GiB-minute. Not negative.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Price(pub f64);

/// Finds the price at which idle memory meets its budget.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Controller {
    integral: f64,
    error: f64,
}

// === impl Price ===

impl Price {
    /// Seconds of delay per GiB-second.
    #[must_use]
    pub fn per_gib_second(self) -> f64 {
        self.0.max(0.0) / 1_000.0 / 60.0
    }
}

impl Default for Price {
    fn default() -> Self {
        Self(DEFAULT)
    }
}

// === impl Controller ===

impl Controller {
    /// Takes a measurement: idle memory of the node now, the budget for it (both GiB), and the seconds since
    /// the last one. A budget of nothing asks for the highest price.
    pub fn measure(&mut self, idle: f64, budget: f64, elapsed: f64) {
        let error = if budget > 0.0 { (idle - budget) / budget } else { 1.0 };
        self.error = if error.is_nan() { 0.0 } else { error.clamp(-1.0, 1.0) };
        let step = self.error * elapsed.max(0.0) / INTEGRAL_SECONDS;
        self.integral = (self.integral + step).clamp(0.0, MOST);
    }

    /// The price now.
    #[must_use]
    pub fn price(&self) -> Price {
        Price(DEFAULT * (PROPORTIONAL * self.error.max(0.0) + self.integral).exp())
    }
}
