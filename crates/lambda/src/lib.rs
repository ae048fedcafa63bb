//! The Lambda service: functions, versions, aliases, URLs, permissions, tags, concurrency, invoke.
//!
//! [`Service`] answers the operations of the Lambda API ([`operations`]). What it remembers ([`records`])
//! is durable before it is acknowledged; what can be called is published as a routing snapshot
//! ([`catalogue`]), which is all that an invocation reads. Whatever the API accepts and Lambent does not
//! do is refused by name ([`unsupported`]), never ignored.
//!
//! It runs nothing itself: invocations are handed to [`types::invocation::Dispatch`].
#![forbid(unsafe_code)]

pub mod catalogue;
mod code;
mod configuration;
mod digest;
mod entry;
mod environment;
pub mod error;
mod names;
mod operations;
mod paging;
pub mod records;
mod route;
mod service;
mod snap_start;
mod unsupported;
mod view;

pub use catalogue::OpenError;
pub use error::Error;
pub use service::{Options, Service};
