//! `Invoke`: resolve in the snapshot, hand to the worker, spell the outcome. Nothing durable is read.

use aws::{Request, Response, Violations, respond};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderName, StatusCode};
use serde::de::IgnoredAny;
use types::arn::LATEST;
use types::body;
use types::failure::Failure;
use types::function::Version;
use types::invocation::{Event, Outcome, Refusal};
use types::request_id::RequestId;

use crate::error::Error;
use crate::names::{Shape, Target};
use crate::service::Service;

const FUNCTION_ERROR: HeaderName = HeaderName::from_static("x-amz-function-error");
const EXECUTED_VERSION: HeaderName = HeaderName::from_static("x-amz-executed-version");
const LOG_RESULT: HeaderName = HeaderName::from_static("x-amz-log-result");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The most bytes of `X-Amz-Client-Context` before decoding (AWS's limit).
const MAX_CONTEXT: usize = 3583;

/// Calls a function and waits for its answer. Dropping the future tells the worker.
pub async fn invoke(service: &Service, request: Request) -> Result<Response, Error> {
    let target = Target::parse(request.label("FunctionName"), request.query("Qualifier"), Shape::Namespaced)?;
    let kind = kind(&request)?;
    let tail = request.header("x-amz-log-type") == Some("Tail");
    let version = service.catalogue.routes().load().resolve(&target.reference()).cloned();
    let version = version.ok_or_else(|| uncallable(service, &target))?;
    match kind {
        Kind::RequestResponse => {}
        Kind::DryRun => return Ok(respond::empty(StatusCode::NO_CONTENT)),
        Kind::Event => {
            let advice = "send RequestResponse and wait for the answer";
            return Err(Error::unsupported_value("asynchronous invocation (InvocationType Event)", advice));
        }
    }
    let event = event(request)?;
    let id = event.request_id;
    let executed = version.version.clone();
    match service.dispatch.invoke(std::sync::Arc::clone(&version), event).await {
        Ok(outcome) => Ok(answer(&outcome, &executed, tail)),
        Err(Refusal::BackingOff { failure, retry_after }) => {
            let mut response = answer(&init_failed(&failure, id), &executed, tail);
            respond::set_retry_after(&mut response, retry_after);
            Ok(response)
        }
        Err(refusal) => Err(refused(&refusal, &version)),
    }
}

enum Kind {
    RequestResponse,
    Event,
    DryRun,
}

fn kind(request: &Request) -> Result<Kind, Error> {
    for (header, advice) in [
        ("x-amz-durable-execution-name", "durable executions are not there, leave it out"),
        ("x-amz-tenant-id", "tenant isolation is not there, leave it out"),
    ] {
        if request.header(header).is_some() {
            return Err(Error::unsupported_value(&format!("the header `{header}`"), advice));
        }
    }
    let mut check = Violations::new();
    if let Some(log) = request.header("x-amz-log-type") {
        check.one_of("logType", log, &["None", "Tail"]);
    }
    let kind = match request.header("x-amz-invocation-type") {
        None | Some("RequestResponse") => Kind::RequestResponse,
        Some("Event") => Kind::Event,
        Some("DryRun") => Kind::DryRun,
        Some(other) => {
            check.one_of("invocationType", other, &["Event", "RequestResponse", "DryRun"]);
            Kind::DryRun
        }
    };
    check.finish()?;
    Ok(kind)
}

/// Why a name leads to nothing callable: mostly because it is not there.
fn uncallable(service: &Service, target: &Target) -> Error {
    let entry = service.catalogue.get(&target.name);
    let there =
        entry.is_some_and(|entry| crate::view::Shown::of(&entry, target.qualifier.as_deref()).is_some());
    if there {
        return Error::Service(
            "the code of this version could not be unpacked when the server started: deploy it again; the \
             server's log has the cause"
                .to_owned(),
        );
    }
    let qualifier = target.qualifier.clone().or_else(|| Some(LATEST.to_owned()));
    Target { name: target.name.clone(), qualifier }.not_found()
}

fn event(request: Request) -> Result<Event, Error> {
    let client_context = request.header("x-amz-client-context").map(client_context).transpose()?;
    let trace = request.header("x-amzn-trace-id").map(str::to_owned);
    let payload = match request.body.iter().all(u8::is_ascii_whitespace) {
        true => Bytes::from_static(b"{}"),
        false => request.body,
    };
    let wrong = |why: &dyn std::fmt::Display| {
        Error::InvalidRequestContent(format!(
            "Could not parse request body into json: Could not parse payload into json: {why}"
        ))
    };
    // Checked apart: skipping over a value does not look into its strings.
    let text = std::str::from_utf8(&payload).map_err(|error| wrong(&error))?;
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| wrong(&error))?;
    Ok(Event { request_id: request.id, payload, client_context, trace })
}

fn client_context(encoded: &str) -> Result<String, Error> {
    let wrong = |why: &str| Error::InvalidRequestContent(format!("Client context {why}"));
    if encoded.len() > MAX_CONTEXT {
        return Err(wrong(&format!("must be no more than {MAX_CONTEXT} bytes")));
    }
    let bytes = STANDARD.decode(encoded).map_err(|_| wrong("must be base64-encoded"))?;
    let text = String::from_utf8(bytes).map_err(|_| wrong("must be UTF-8 text"))?;
    match serde_json::from_str::<IgnoredAny>(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(wrong(&format!("must be a valid Client Context-formatted JSON object: {error}"))),
    }
}

fn answer(outcome: &Outcome, version: &str, tail: bool) -> Response {
    let mut response = http::Response::new(body::full(outcome.payload.clone()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    if let Ok(version) = HeaderValue::from_str(version) {
        headers.insert(EXECUTED_VERSION, version);
    }
    if let Some(failure) = &outcome.failure {
        headers.insert(FUNCTION_ERROR, HeaderValue::from_static(failure.function_error()));
    }
    if tail && let Ok(log) = HeaderValue::from_str(&STANDARD.encode(&outcome.log_tail)) {
        headers.insert(LOG_RESULT, log);
    }
    if let Some(summary) = &outcome.summary {
        summary.write(headers);
    }
    response
}

/// A version whose init keeps failing: AWS runs it again and answers with the function's error. We answer
/// with the last one, without running it again until the pause is over.
fn init_failed(failure: &Failure, id: RequestId) -> Outcome {
    Outcome {
        payload: failure.payload(id),
        failure: Some(failure.clone()),
        log_tail: Bytes::from(failure.log_lines.join("\n")),
        summary: None,
    }
}

fn refused(refusal: &Refusal, version: &Version) -> Error {
    let retry_after = refusal.retry_after();
    tracing::debug!(function = version.name, version = version.version, %refusal, "an invocation was refused");
    match refusal {
        Refusal::ReservedConcurrency { .. } => Error::Throttled {
            reason: "ReservedFunctionConcurrentInvocationLimitExceeded",
            message: "Rate Exceeded.".to_owned(),
            retry_after,
        },
        Refusal::QueueTimeout { .. } | Refusal::BackingOff { .. } => Error::Throttled {
            reason: "ConcurrentInvocationLimitExceeded",
            message: refusal.to_string(),
            retry_after,
        },
        Refusal::TooLarge { .. } => {
            Error::TooLarge { code: "RequestTooLargeException", message: refusal.to_string() }
        }
        Refusal::Draining => Error::Unavailable(refusal.to_string()),
        Refusal::Platform(_) => Error::Service(refusal.to_string()),
    }
}
