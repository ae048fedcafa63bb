//! The HTTP data plane: accepts connections, routes by host, hands requests over to whoever runs
//! functions ([`types::invocation::Dispatch`]) and streams the answer back.
//!
//! Start at [`Service`]: the life of a request, top to bottom. [`serve`] is the accept loop, which the
//! server's other listeners use as well. This crate knows no function's inside and keeps no state
//! between requests.
#![forbid(unsafe_code)]

mod connections;
mod forward;
mod leftover;
mod metrics;
mod rescue;
mod route;
mod service;

pub use connections::{Handler, Limits, Shutdown, serve};
pub use metrics::Metrics;
pub use service::Service;

#[cfg(test)]
mod tests;
