//! What a service brings to the [`crate::Router`], and what it is called with.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};
use types::invocation::Boxed;
use types::request_id::RequestId;

use crate::error::Error;
use crate::route::{Labels, Route};
use crate::scope::Scope;
use crate::{Response, respond};

/// How a service's requests name their operation.
#[derive(Debug, Clone, Copy)]
pub enum Protocol {
    /// Method and path name the operation; JSON bodies; the error's code in `x-amzn-ErrorType`.
    RestJson(&'static [Route]),
    /// `X-Amz-Target: PREFIX.OPERATION`; JSON bodies; the error's code in `__type`.
    Json {
        /// The part of the target before the dot.
        target: &'static str,
        /// `1.0` or `1.1`.
        version: &'static str,
    },
}

/// A request whose operation is known and whose body has arrived.
#[derive(Debug)]
pub struct Request {
    /// The operation's name in the service's model.
    pub operation: String,
    /// The id the answer carries.
    pub id: RequestId,
    /// The HTTP method.
    pub method: Method,
    /// The labels of the path, decoded.
    pub labels: Labels,
    /// The query, decoded, in order.
    pub query: Vec<(String, String)>,
    /// The headers as they came.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// Whose credentials signed it, where any did. Not verified.
    pub scope: Option<Scope>,
}

/// One AWS API.
pub trait Service: Send + Sync + 'static {
    /// The name in the credential scope: `lambda`, `logs`.
    fn name(&self) -> &'static str;

    /// How its requests look.
    fn protocol(&self) -> Protocol;

    /// The most bytes the body of an operation may have.
    fn body_limit(&self, operation: &str) -> u64;

    /// The error for a body over [`Service::body_limit`]. `size` is the whole body's size where known.
    fn too_large(&self, operation: &str, limit: u64, size: Option<u64>) -> Error;

    /// Does it. Dropping the future means that the caller has gone.
    fn call(self: Arc<Self>, request: Request) -> Boxed<Result<Response, Error>>;
}

// === impl Request ===

impl Request {
    /// The first value of a query parameter.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Every value of a query parameter, in order.
    pub fn query_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A header as text, where it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A label of the path; the empty string where the template has none of that name.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).unwrap_or_default()
    }
}

// === impl Protocol ===

impl Protocol {
    /// Renders an error as this protocol spells it.
    #[must_use]
    pub fn error(&self, error: &Error) -> Response {
        match self {
            Self::RestJson(_) => respond::rest_json_error(error),
            Self::Json { version, .. } => respond::json_error(error, version),
        }
    }
}
