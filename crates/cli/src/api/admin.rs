//! The server's read-only admin pages, as JSON values: their shape is the server's to extend, so commands
//! take out what they show and pass the rest through.

use bytes::Bytes;
use http::{Method, Request};
use serde_json::Value;

use super::lambda::refusal;
use super::{Endpoint, Error};

/// The admin interface at one address.
#[derive(Debug, Clone)]
pub struct Admin {
    endpoint: Endpoint,
}

// === impl Admin ===

impl Admin {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }

    /// The server, its functions and their instances.
    pub async fn status(&self) -> Result<Value, Error> {
        self.get("GET /v1/status", "/v1/status").await
    }

    /// The isolation policy of one function's live instances.
    pub async fn isolation(&self, name: &str) -> Result<Value, Error> {
        self.get("GET /v1/functions/NAME/isolation", &format!("/v1/functions/{name}/isolation")).await
    }

    /// The instances and the last failure of one function.
    pub async fn function(&self, name: &str) -> Result<Value, Error> {
        self.get("GET /v1/functions/NAME", &format!("/v1/functions/{name}")).await
    }

    /// Why one function is as it is.
    pub async fn explain(&self, name: &str) -> Result<Value, Error> {
        self.get("GET /v1/functions/NAME/explain", &format!("/v1/functions/{name}/explain")).await
    }

    /// The timeline of one request.
    pub async fn request(&self, id: &str) -> Result<Value, Error> {
        self.get("GET /v1/requests/ID", &format!("/v1/requests/{id}")).await
    }

    async fn get(&self, operation: &'static str, path: &str) -> Result<Value, Error> {
        let mut request = Request::new(Bytes::new());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = path.parse().unwrap_or_default();
        let answer = self.endpoint.send(request).await?;
        if !answer.status().is_success() {
            return Err(refusal(operation, &answer).into());
        }
        serde_json::from_slice(answer.body()).map_err(|source| Error::Malformed {
            operation,
            url: self.endpoint.url().to_owned(),
            source,
        })
    }
}
