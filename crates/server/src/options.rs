//! What a server can be told: the value behind `lambent serve`'s options. Parsing them is the command
//! line's work; nothing here reads an environment.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use types::limits::Limits;

/// The port of the AWS API.
pub const API_PORT: u16 = 4566;
/// The port of functions and web applications.
pub const GATEWAY_PORT: u16 = 8080;
/// The port of health, metrics and status.
pub const ADMIN_PORT: u16 = 4567;
/// Which log lines are shown unless `--log` says otherwise: ours, and warnings of others.
pub const LOG_FILTER: &str = "warn,lambent=info,server=info,gateway=info,worker=info,sandbox=info,\
                              lambda=info,services=info,store=info,aws=info";

/// How functions are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// Each instance in namespaces and cgroups of its own: the default.
    Namespaces,
    /// The reduced mode: ordinary processes of the server's own user. For hosts that refuse
    /// namespaces, and for trusted code only.
    Process,
}

/// Everything a server is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where everything durable is kept.
    pub data_dir: PathBuf,
    /// Keep everything in a temporary directory instead, removed when the server ends.
    pub ephemeral: bool,
    /// Where the AWS API listens; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Where functions and web applications are reached.
    pub gateway_listen: SocketAddr,
    /// Where `/healthz`, `/metrics` and `/v1/` are.
    pub admin_listen: SocketAddr,
    /// The limits of requests and functions.
    pub limits: Limits,
    /// How functions are kept apart.
    pub isolation: Isolation,
    /// How long requests in progress may take to finish once the server is told to stop.
    pub grace: Duration,
    /// Print one line of JSON on stdout when ready.
    pub json: bool,
    /// Which log lines are shown, in `tracing`'s filter syntax.
    pub log: String,
}

/// A word that names no isolation mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an isolation mode: use namespaces or process")]
pub struct UnknownIsolation(String);

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            data_dir: PathBuf::from("lambent-data"),
            ephemeral: false,
            listen: loopback(API_PORT),
            gateway_listen: loopback(GATEWAY_PORT),
            admin_listen: loopback(ADMIN_PORT),
            limits: Limits::default(),
            isolation: Isolation::Namespaces,
            grace: Duration::from_secs(30),
            json: false,
            log: LOG_FILTER.to_owned(),
        }
    }
}

// === impl Isolation ===

impl fmt::Display for Isolation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Namespaces => "namespaces",
            Self::Process => "process",
        })
    }
}

impl FromStr for Isolation {
    type Err = UnknownIsolation;

    fn from_str(text: &str) -> Result<Self, UnknownIsolation> {
        match text {
            "namespaces" => Ok(Self::Namespaces),
            "process" => Ok(Self::Process),
            _ => Err(UnknownIsolation(text.to_owned())),
        }
    }
}
