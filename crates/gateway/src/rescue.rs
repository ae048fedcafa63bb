//! The one place where an error becomes a response.
//!
//! The log gets the internal text, the client the external one. Clients on this machine are the
//! developer's own: they are told why and what to do; others get the status and AWS's words.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode, Version};
use serde_json::json;
use types::body::{self, Body};
use types::failure::Failure;
use types::function;
use types::invocation::{Refusal, Unserved};
use types::request_id::RequestId;

use crate::{forward, route};

const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Everything that keeps a request from an answer of its function.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Its host leads nowhere.
    #[error(transparent)]
    Route(#[from] route::Error),
    /// It cannot be passed on.
    #[error(transparent)]
    Forward(#[from] forward::Error),
    /// The function did not answer it.
    #[error(transparent)]
    Unserved(#[from] Unserved),
}

/// What is known of the request by the time it fails.
#[derive(Debug)]
pub(crate) struct Context {
    /// The request's id.
    pub id: RequestId,
    /// The protocol it came in.
    pub version: Version,
    /// The client.
    pub peer: Option<SocketAddr>,
    /// What answers it, once the host is resolved.
    pub resolved: Option<Arc<function::Version>>,
    /// Whether the connection ends with this answer.
    pub close: bool,
}

// === impl Context ===

impl Context {
    /// Whether the client may read explanations.
    fn is_local(&self) -> bool {
        self.peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback())
    }

    fn function(&self) -> &str {
        self.resolved.as_ref().map_or("-", |version| version.name.as_str())
    }
}

/// The response that tells a client about `error`.
pub(crate) fn response(error: &Error, context: &mut Context) -> Response<Body> {
    match error {
        Error::Route(error) => unrouted(error, context),
        Error::Forward(error) => unforwarded(error),
        Error::Unserved(Unserved::Refused(refusal)) => refused(refusal, context),
        Error::Unserved(Unserved::Failed(failure)) => failed(failure, context),
    }
}

fn unrouted(error: &route::Error, context: &Context) -> Response<Body> {
    if *error == route::Error::NoHost {
        return text(StatusCode::BAD_REQUEST, format!("{error}\n"));
    }
    let mut message = format!("{error}\n");
    if context.is_local() {
        message.push_str(match error {
            route::Error::NoUrl(_) => {
                "hint: give it one with CreateFunctionUrlConfig, or deploy it with `lambent deploy`\n"
            }
            _ => {
                "hint: hosts look like NAME.localhost:PORT (a deployed function) or \
                 URLID.lambda-url.us-east-1.localhost:PORT (its function URL); `lambent list` shows them\n"
            }
        });
    }
    text(StatusCode::NOT_FOUND, message)
}

fn unforwarded(error: &forward::Error) -> Response<Body> {
    let status = match error {
        forward::Error::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
        forward::Error::Target => StatusCode::BAD_REQUEST,
        forward::Error::Upgrade(_) => StatusCode::NOT_IMPLEMENTED,
    };
    text(status, format!("{error}\n"))
}

fn refused(refusal: &Refusal, context: &mut Context) -> Response<Body> {
    tracing::debug!(id = %context.id, function = context.function(), %refusal, "request refused");
    let mut response = match refusal {
        Refusal::ReservedConcurrency { .. } => {
            throttled("ReservedFunctionConcurrentInvocationLimitExceeded", refusal)
        }
        Refusal::QueueTimeout { .. } => throttled("ConcurrentInvocationLimitExceeded", refusal),
        Refusal::BackingOff { failure, .. } => backing_off(refusal, failure, context),
        Refusal::TooLarge { .. } => typed(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestTooLargeException",
            &json!({ "Type": "User", "message": refusal.to_string() }),
        ),
        Refusal::Draining => {
            context.close = true;
            typed(
                StatusCode::SERVICE_UNAVAILABLE,
                "ServiceUnavailableException",
                &json!({ "Type": "Service", "message": refusal.to_string() }),
            )
        }
        Refusal::Platform(reason) => {
            tracing::error!(id = %context.id, function = context.function(), reason, "no instance");
            typed(
                StatusCode::INTERNAL_SERVER_ERROR,
                "ServiceException",
                &json!({ "Type": "Service", "message": platform_message(refusal, context) }),
            )
        }
    };
    if let Some(after) = refusal.retry_after() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(whole_seconds(after)));
    }
    response
}

/// AWS's own words, so that clients recognise a throttle; ours beside them.
fn throttled(reason: &str, refusal: &Refusal) -> Response<Body> {
    typed(
        StatusCode::TOO_MANY_REQUESTS,
        "TooManyRequestsException",
        &json!({
            "Reason": reason,
            "Type": "User",
            "message": "Rate Exceeded.",
            "hint": refusal.to_string(),
        }),
    )
}

fn backing_off(refusal: &Refusal, failure: &Failure, context: &Context) -> Response<Body> {
    let hint = if context.is_local() {
        format!("{refusal}; {}; see `lambent logs {}`", failure.suggestion, context.function())
    } else {
        "the function does not start".to_owned()
    };
    typed(
        StatusCode::TOO_MANY_REQUESTS,
        "TooManyRequestsException",
        &json!({ "Reason": "InitBackOff", "Type": "User", "message": "Rate Exceeded.", "hint": hint }),
    )
}

fn platform_message(refusal: &Refusal, context: &Context) -> String {
    if context.is_local() { refusal.to_string() } else { "internal error".to_owned() }
}

fn failed(failure: &Failure, context: &Context) -> Response<Body> {
    tracing::info!(
        id = %context.id,
        function = context.function(),
        phase = ?failure.phase,
        error_type = failure.error_type,
        message = failure.message,
        "function failed"
    );
    let mut message = "Internal Server Error\n".to_owned();
    if context.is_local() {
        let phase = format!("{:?}", failure.phase).to_lowercase();
        message.push_str(&format!("{}: {} ({phase})\n", failure.error_type, failure.message));
        message.push_str(&format!("hint: {}; `lambent logs {}`\n", failure.suggestion, context.function()));
    }
    text(StatusCode::BAD_GATEWAY, message)
}

fn text(status: StatusCode, message: String) -> Response<Body> {
    with(status, TEXT, message)
}

fn typed(status: StatusCode, error_type: &'static str, object: &serde_json::Value) -> Response<Body> {
    let mut response = with(status, JSON, object.to_string());
    response.headers_mut().insert(ERROR_TYPE, HeaderValue::from_static(error_type));
    response
}

fn with(status: StatusCode, content_type: HeaderValue, content: String) -> Response<Body> {
    let mut response = Response::new(body::full(content));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// Rounded up: a client that waits that long must not come too early.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
}
