//! Config, wiring, drain and telemetry of a Lambent server.
#![forbid(unsafe_code)]

mod error;
mod options;

pub use error::Error;
pub use options::{ADMIN_PORT, API_PORT, GATEWAY_PORT, Isolation, LOG_FILTER, Options};
