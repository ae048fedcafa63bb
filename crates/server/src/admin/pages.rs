//! The admin's pages as values: pure functions from what is known to what is shown.
//!
//! `/v1/status` is [`Status`]: the server's own [`Description`], then the worker's status, whose
//! `functions` lists instances. `/v1/functions/NAME` is one of those functions. `/v1/functions/NAME/explain` and
//! `/v1/requests/ID` are the worker's own values.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Serialize;
use types::limits::Limits;

use crate::options::Isolation;

/// What stays the same while a server runs.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Description {
    /// Lambent's version.
    pub version: &'static str,
    /// The server's process.
    pub pid: u32,
    /// The broker's process.
    pub broker_pid: u32,
    /// What its cgroups are named after.
    pub name: String,
    /// How functions are kept apart.
    pub isolation: Isolation,
    /// Where everything durable is.
    pub data_dir: PathBuf,
    /// Whether the data goes with the server.
    pub ephemeral: bool,
    /// Where the AWS API is.
    pub listen: SocketAddr,
    /// Where functions are.
    pub gateway: SocketAddr,
    /// Where this page is.
    pub admin: SocketAddr,
    /// AWS's identifiers of the runtimes that can be used.
    pub runtimes: Vec<String>,
    /// The limits in force.
    pub limits: Limits,
}

/// The whole status page.
#[derive(Debug, Serialize)]
pub(crate) struct Status<'a> {
    /// The server.
    #[serde(flatten)]
    pub server: &'a Description,
    /// Seconds since it was ready.
    pub uptime_seconds: u64,
    /// What the worker holds.
    #[serde(flatten)]
    pub worker: worker::status::Status,
}

/// One function's page.
#[derive(Debug, Serialize)]
pub(crate) struct Function {
    /// Its name.
    pub name: String,
    /// What the worker holds of it; nothing before its first call.
    pub worker: Option<worker::status::Function>,
}
