//! Instances of functions, leased to requests.
//!
//! [`node`] is what all functions share, [`function`] one function's requests and instances, driven by the
//! pure `autoscaler` ([`actions`] does what it decides); [`life`] is the task of one instance; a [`lease`] is a request's hold on one.
//! [`conditions`] looks after the node's memory, [`memory`] keeps what was learned, [`traits`] says what an instance
//! turned out to be.

mod actions;
mod conditions;
mod explain;
mod function;
mod history;
mod lease;
mod life;
mod member;
mod memory;
mod node;
mod traits;

pub(crate) use conditions::watch as watch_memory;
pub(crate) use function::{Refused, revision};
pub(crate) use lease::Lease;
pub use memory::Memories;
pub(crate) use memory::Remembered;
pub(crate) use node::{Node, Parts};
