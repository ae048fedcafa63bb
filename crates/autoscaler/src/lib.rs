//! Pure scaling decisions: which request gets which instance, when one is started and when one goes.
//!
//! [`decide`] is the policy of one function; [`admission`] shares the node's starts between functions.
//! No clock, no I/O, no tasks: time is an argument, and the caller (`worker::pool`) carries the actions
//! out. The same code runs in the server, in property tests and in the simulator ([`simulate`]).
//! [`keep_alive`] decides how long what is idle stays; only the simulator follows it yet.
#![forbid(unsafe_code)]

pub mod admission;
mod backoff;
mod event;
pub mod keep_alive;
mod scale;
mod settle;
pub mod simulate;

pub use event::{Action, Event, Instance, Policy, Reason, Refusal, Request, Revision, StartFault};
pub use scale::{Counts, State, decide};

#[cfg(test)]
mod tests;
