//! The Lambda API as a service of the AWS port: options, opening, and which operation is done where.
//!
//! An invocation runs on its caller's future: when the caller goes, the worker is told by the drop. Every
//! other operation runs on a task of its own, so that a change that has begun is finished (committed and
//! visible) even if its caller does not wait; [`Service::drain`] waits for those.

use std::sync::Arc;

use aws::{Protocol, Request, Response};
use http::StatusCode;
use store::Store;
use tokio_util::task::TaskTracker;
use types::invocation::{Boxed, Dispatch};
use types::limits::Limits;
use types::routing::Table;

use crate::catalogue::{Catalogue, Changed, OpenError};
use crate::error::Error;
use crate::operations::{self, ROUTES};

/// What an operation's body may have beside a zip or a payload.
const HEADROOM: u64 = 1024 * 1024;

/// How the service behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server's limits.
    pub limits: Limits,
    /// Where the gateway is reached, as the end of a function URL's host: `localhost:8080`.
    pub gateway_authority: String,
    /// The runtimes installed on this host, by AWS's identifiers.
    pub runtimes: Vec<String>,
}

/// The Lambda service.
pub struct Service {
    pub(crate) options: Options,
    pub(crate) catalogue: Catalogue,
    pub(crate) dispatch: Arc<dyn Dispatch>,
    tasks: TaskTracker,
}

// === impl Service ===

impl Service {
    /// Reads what is stored and publishes it: when this is done, everything deployed can be called.
    ///
    /// `changed` is called after each new snapshot in `routes`.
    ///
    /// # Errors
    /// [`OpenError`] when the records cannot be read.
    pub async fn open(
        options: Options,
        store: &Store,
        routes: Table,
        dispatch: Arc<dyn Dispatch>,
        changed: Changed,
    ) -> Result<Self, OpenError> {
        let catalogue = Catalogue::open(store, routes, changed).await?;
        Ok(Self { options, catalogue, dispatch, tasks: TaskTracker::new() })
    }

    /// Waits until every change that has begun is durable and published.
    pub async fn drain(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl aws::Service for Service {
    fn name(&self) -> &'static str {
        "lambda"
    }

    fn protocol(&self) -> Protocol {
        Protocol::RestJson(ROUTES)
    }

    fn body_limit(&self, operation: &str) -> u64 {
        let limits = &self.options.limits;
        match operation {
            "Invoke" | "InvokeAsync" | "InvokeWithResponseStream" => limits.payload,
            // A zip travels as base64, four characters for three bytes.
            _ => limits.code_zip / 3 * 4 + HEADROOM,
        }
    }

    fn too_large(&self, operation: &str, limit: u64, size: Option<u64>) -> aws::Error {
        if matches!(operation, "Invoke" | "InvokeAsync" | "InvokeWithResponseStream") {
            let size = size.map_or_else(|| format!("more than {limit}"), |size| size.to_string());
            let message = format!(
                "{size} byte payload is too large for the RequestResponse invocation type (limit {limit} bytes) \
                 (setting --limit-payload)"
            );
            return Error::TooLarge { code: "RequestTooLargeException", message }.into();
        }
        let message = format!(
            "Request must be smaller than {limit} bytes for the {operation} operation (setting --limit-code-zip)"
        );
        aws::Error::front_end("RequestEntityTooLargeException", StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    fn call(self: Arc<Self>, request: Request) -> Boxed<Result<Response, aws::Error>> {
        if request.operation == "Invoke" {
            return Box::pin(async move { Ok(operations::invoke::invoke(&self, request).await?) });
        }
        let tasks = self.tasks.clone();
        Box::pin(async move {
            let done = tasks.spawn(async move { operations::perform(&self, request).await }).await;
            let gone =
                |_| Error::Unavailable("the server is stopping: retry against the next one".to_owned());
            Ok(done.map_err(gone)??)
        })
    }
}
