//! Instances of functions, leased to requests.
//!
//! [`node`] is what all functions share, [`function`] one function's requests and instances, driven by the
//! pure `autoscaler` ([`actions`] does what it decides); [`life`] is the task of one instance; a [`lease`] is a request's hold on one.

mod actions;
mod function;
mod lease;
mod life;
mod member;
mod node;

pub(crate) use function::{Refused, revision};
pub(crate) use lease::Lease;
pub(crate) use node::{Node, Parts};
