//! Pure scaling decisions: which request gets which instance, when one is started and when one goes.
//!
//! [`decide`] is the policy of one function; [`admission`] shares the node's starts between functions.
//! No clock, no I/O, no tasks: time is an argument, and the caller (`worker::pool`) carries the actions
//! out. The same code runs in the server, in property tests and in the simulator ([`simulate`]).
//! [`keep_alive`] decides how long what is idle stays; [`explain`] says why there is what there is.
#![forbid(unsafe_code)]

pub mod admission;
mod backoff;
mod demand;
mod event;
pub mod explain;
mod held;
mod keep;
pub mod keep_alive;
mod retain;
mod scale;
mod settle;
pub mod simulate;

pub use event::{
    Action, Conditions, Event, Instance, Keep, Policy, Ready, Reason, Refusal, Request, Revision, StartFault,
    Tier,
};
pub use scale::{Counts, Memory, State, decide};

#[cfg(test)]
mod tests;
