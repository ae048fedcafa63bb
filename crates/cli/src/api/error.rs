//! What can go wrong between a command and the server: no answer, a broken one, or a refusal that the
//! service explains with a code.

use std::io;

use crate::diagnostics::Hint;

/// Why an operation has no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is not one this client can call.
    #[error("`{url}` is not an address of a server: {reason}")]
    Address {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing listens there.
    #[error("no lambent server answers at {url}")]
    NoServer {
        /// The address.
        url: String,
        /// What `connect` said.
        #[source]
        source: io::Error,
    },
    /// The connection broke in the middle.
    #[error("the connection to {url} broke")]
    Broken {
        /// The address.
        url: String,
        /// What HTTP said.
        #[source]
        source: hyper::Error,
    },
    /// The service refused.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The answer is not of the shape the operation has.
    #[error("{operation} was answered with something unexpected by {url}")]
    Malformed {
        /// The operation.
        operation: &'static str,
        /// The address.
        url: String,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
}

/// A refusal in AWS's terms.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {message} ({code})")]
pub struct ServiceError {
    /// The operation.
    pub operation: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// AWS's name of the error.
    pub code: String,
    /// The service's own words.
    pub message: String,
}

// === impl Error ===

impl Error {
    /// Whether the service says that the named thing does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Service(ServiceError { code, .. }) if code == "ResourceNotFoundException")
    }
}

impl Hint for Error {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Address { .. } => Some("give it as http://HOST:PORT".to_owned()),
            Self::NoServer { .. } => {
                Some("start one with `lambent serve`, or name another with --endpoint".to_owned())
            }
            Self::Broken { url, .. } => {
                Some(format!("look at the output of the server at {url}; repeating a read is safe"))
            }
            Self::Malformed { .. } => Some("is something else listening on that port?".to_owned()),
            Self::Service(_) if self.is_not_found() => Some("`lambent list` shows what there is".to_owned()),
            Self::Service(_) => None,
        }
    }
}
