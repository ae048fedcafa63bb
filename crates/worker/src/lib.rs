//! Turns a function version into instances and leases them to requests.
//!
//! [`Worker`] implements `types::invocation::Dispatch` for the gateway and the Lambda service. Behind it:
//! pools (`pool`, driven by the pure `autoscaler`), one module per way of speaking to an instance (`frames`,
//! `runtime_api`, `web`), the isolation of a version as a value (`compose`), logs (`output`) and explanations
//! (`failures`). It never keeps anything durable, and all kernel privilege is behind `sandbox`.
#![forbid(unsafe_code)]

mod addresses;
mod answer;
mod begun;
mod call;
mod collect;
mod compose;
pub mod explain;
mod failures;
mod frames;
mod http_event;
mod init;
mod instance;
mod invocation;
mod json;
mod launcher;
pub mod machine;
mod metering;
mod metrics;
mod output;
mod phases;
mod pool;
mod runtime_api;
pub mod runtimes;
pub mod shim;
mod standby;
mod start;
pub mod status;
mod template;
pub mod trace;
mod web;
mod worker;

pub use compose::Isolation;
pub use pool::Memories;
pub use worker::{ComposeError, Options, Worker};

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
