//! Pure keep-alive: how long an idle instance and its template stay, and when they are made again ahead
//! of the next call, chosen per function by cost.
//!
//! One exchange rate runs through all of it: the [`price`] of memory, in delay. [`histogram`] remembers
//! the idle gaps of one function (old ones fade), [`prior`] stands in while there are few, [`window`] finds
//! the cheapest window over both, and [`policy`] puts the tiers together: instance, template, nothing.
//! Times are seconds, memory is GiB, costs are seconds of delay. No clock and no I/O; everything that is
//! learned serialises, so that it can survive a restart.
//!
//! [`crate::State`] asks it after each run; `lambent simulate` runs this very code against traces, and
//! `docs/keep-alive.md` has the figures.

pub mod histogram;
pub mod policy;
pub mod price;
pub mod prior;
pub mod window;

pub use histogram::Histogram;
pub use policy::{Fork, KeepAlive, Plan, Terms};
pub use prior::{Prior, Priors, Trigger};
pub use window::Window;

#[cfg(test)]
mod tests;
