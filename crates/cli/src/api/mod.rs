//! The client side: the AWS operations that commands use, and the admin interface's read-only pages.
//!
//! No private operation of Lambent exists here: everything in [`lambda`] and [`logs`] works against any
//! AWS-compatible endpoint. Requests are not signed; the server takes them from loopback.

mod admin;
mod client;
mod error;
mod lambda;
mod logs;
mod shapes;

pub use admin::Admin;
pub use client::Endpoint;
pub use error::{Error, ServiceError};
pub use lambda::{FunctionSettings, Invocation, Lambda, NewFunction};
pub use logs::{LogQuery, Logs};
pub use shapes::{AliasConfiguration, FunctionConfiguration, LogEvent};

/// One server's interfaces.
#[derive(Debug, Clone)]
pub struct Server {
    /// Functions.
    pub lambda: Lambda,
    /// What functions wrote.
    pub logs: Logs,
    /// What the server says about itself.
    pub admin: Admin,
}

// === impl Server ===

impl Server {
    /// Clients for the two addresses; connects to nothing yet.
    pub fn new(endpoint: &str, admin: &str) -> Result<Self, Error> {
        let endpoint = Endpoint::parse(endpoint)?;
        Ok(Self {
            lambda: Lambda::new(endpoint.clone()),
            logs: Logs::new(endpoint),
            admin: Admin::new(Endpoint::parse(admin)?),
        })
    }
}
