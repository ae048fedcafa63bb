//! Config, wiring, drain and telemetry of a Lambent server.
//!
//! [`run()`] is the way up, `running` what is up, `drain` the way down; `roles` introduces the other
//! crates to each other. No protocol and no policy lives here.
#![forbid(unsafe_code)]

mod admin;
mod announce;
mod broker;
mod descriptors;
mod drain;
mod error;
mod listeners;
mod options;
mod roles;
mod run;
mod running;
mod signals;
mod telemetry;

pub use error::Error;
pub use options::{ADMIN_PORT, API_PORT, GATEWAY_PORT, Isolation, LOG_FILTER, Options, UnknownIsolation};
pub use run::run;
