//! How a function is called and what comes back: the seam between those who receive requests (the
//! gateway, the Lambda API) and the one who runs functions (the worker).
//!
//! The receiver resolves a name to a [`Version`] and hands over; from then on the worker owns the
//! request. Dropping the future of a call tells the worker that the caller has gone: a queued request
//! leaves the queue, a running one is finished and its answer discarded.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::body::Body;
use crate::failure::Failure;
use crate::function::Version;
use crate::request_id::RequestId;
use crate::summary::Summary;

/// A future that a trait object can return.
pub type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// One call of a handler with a payload (AWS `Invoke`, or an event source).
#[derive(Debug, Clone)]
pub struct Event {
    /// The id the answer and the logs carry.
    pub request_id: RequestId,
    /// The payload: JSON text, not parsed on its way.
    pub payload: Bytes,
    /// `X-Amz-Client-Context`, decoded from base64, as JSON text.
    pub client_context: Option<String>,
    /// The X-Ray trace header to pass on.
    pub trace: Option<String>,
}

/// What a handler's call came to.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The handler's result, or the error object where `failure` is set.
    pub payload: Bytes,
    /// What went wrong inside the function; the invocation itself succeeded (AWS answers 200).
    pub failure: Option<Failure>,
    /// The last 4 KiB of the invocation's log, for `LogType=Tail`.
    pub log_tail: Bytes,
    /// What it cost; `None`: nothing ran.
    pub summary: Option<Summary>,
}

/// Why a request was not run at all. Nothing of the user's has seen it: a retry is safe.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refusal {
    /// The function's reserved concurrency is in use.
    #[error(
        "reserved concurrency of {limit} is in use: retry later, or raise it with PutFunctionConcurrency"
    )]
    ReservedConcurrency {
        /// The reserved concurrency.
        limit: u32,
    },
    /// The request waited for an instance as long as it may.
    #[error(
        "no instance became free within {waited:?} (limit {limit} instances): retry later, or raise the \
         tags lambent:max-instances or lambent:queue-seconds"
    )]
    QueueTimeout {
        /// How long it waited.
        waited: Duration,
        /// The cap on instances that it waited under.
        limit: u32,
    },
    /// Init has failed repeatedly and is not tried again until the pause is over.
    #[error("init of this version keeps failing and is retried in {retry_after:?}: {}", failure.message)]
    BackingOff {
        /// When the next attempt may be made.
        retry_after: Duration,
        /// What the last attempt came to.
        failure: Box<Failure>,
    },
    /// The request's payload is over the limit.
    #[error("payload of {size} bytes is over the limit of {limit} bytes (setting --limit-payload)")]
    TooLarge {
        /// The payload's size, as far as it was read.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// The server is stopping and takes no new work.
    #[error("the server is stopping: retry against the next one")]
    Draining,
    /// No instance could be made, and that is not the function's doing.
    #[error("no instance could be started: {0}")]
    Platform(String),
}

/// Runs functions. Implemented by the worker; called by the gateway and the Lambda service.
pub trait Dispatch: Send + Sync + 'static {
    /// Calls a handler with an event. A web application gets the event as a request, if it is one.
    fn invoke(&self, version: Arc<Version>, event: Event) -> Boxed<Result<Outcome, Refusal>>;

    /// Passes an HTTP request. A handler gets it as a payload of format 2.0.
    ///
    /// The target is in origin form. The request's extensions carry its [`RequestId`] and the client's
    /// `std::net::SocketAddr`; forwarding headers are already set and hop-by-hop headers removed.
    ///
    /// The answer's body may still be arriving when the future is done. Failures of the function come
    /// back as `Err(Unserved::Failed)` before the head of the answer, and break the body after it.
    fn serve(
        &self,
        version: Arc<Version>,
        request: http::Request<Body>,
    ) -> Boxed<Result<http::Response<Body>, Unserved>>;

    /// What there is of a version's provisioned concurrency now.
    fn provided(&self, version: &Version) -> Provided {
        let _ = version;
        Provided::default()
    }
}

/// What there is of a version's provisioned concurrency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Provided {
    /// Places for requests of instances that are ready.
    pub ready: u32,
    /// Whether its init keeps failing.
    pub failed: bool,
}

/// Why an HTTP request has no answer from the function.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Unserved {
    /// It never reached the function.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The function failed before it answered.
    #[error("{}", .0.message)]
    Failed(Box<Failure>),
}

// === impl Refusal ===

impl Refusal {
    /// When a retry may help, for `Retry-After`.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::ReservedConcurrency { .. } | Self::QueueTimeout { .. } | Self::Draining => {
                Some(Duration::from_secs(1))
            }
            Self::BackingOff { retry_after, .. } => Some(*retry_after),
            Self::TooLarge { .. } | Self::Platform(_) => None,
        }
    }
}
