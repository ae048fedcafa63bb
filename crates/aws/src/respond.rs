//! Answers and errors as bytes, per protocol. The one place where an [`Error`] becomes a response.

use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{HeaderName, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};
use types::body;

use crate::Response;
use crate::error::{Error, Fault};

/// The header that carries a REST error's code.
pub const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
/// The header that carries the request's id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const JSON_1_0: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.0");
const JSON_1_1: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.1");
const XML: HeaderValue = HeaderValue::from_static("text/xml");

/// A JSON answer of a REST service.
#[must_use]
pub fn json(status: StatusCode, value: &impl Serialize) -> Response {
    bytes_of(status, JSON, &serde_json::to_vec(value).unwrap_or_default())
}

/// A JSON answer of a target-header service.
#[must_use]
pub fn target_json(version: &str, value: &impl Serialize) -> Response {
    bytes_of(StatusCode::OK, target_type(version), &serde_json::to_vec(value).unwrap_or_default())
}

/// An answer without a body.
#[must_use]
pub fn empty(status: StatusCode) -> Response {
    let mut response = http::Response::new(body::empty());
    *response.status_mut() = status;
    response
}

/// An error of a REST-JSON service.
#[must_use]
pub fn rest_json_error(error: &Error) -> Response {
    let mut response = json(error.status, &members(error));
    if let Ok(code) = HeaderValue::from_str(error.code) {
        response.headers_mut().insert(ERROR_TYPE, code);
    }
    retry_after(error, response)
}

/// An error of a target-header service.
#[must_use]
pub fn json_error(error: &Error, version: &str) -> Response {
    let mut object = error.members.clone();
    object.insert("__type".to_owned(), error.code.into());
    if let Some(message) = &error.message {
        object.insert("message".to_owned(), message.as_str().into());
    }
    let body = serde_json::to_vec(&object).unwrap_or_default();
    retry_after(error, bytes_of(error.status, target_type(version), &body))
}

/// An error of a Query (form) service: what SQS, STS, IAM and CloudFormation clients read.
#[must_use]
pub fn query_error(error: &Error, request_id: &str) -> Response {
    let text = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{}</Code><Message>{}</Message></Error>\
         <RequestId>{request_id}</RequestId></ErrorResponse>",
        error.code,
        xml_text(error.message.as_deref().unwrap_or_default()),
    );
    retry_after(error, bytes_of(error.status, XML, text.as_bytes()))
}

/// An error as S3 spells it.
#[must_use]
pub fn s3_error(error: &Error, request_id: &str) -> Response {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>{}</Message>\
         <RequestId>{request_id}</RequestId></Error>",
        error.code,
        xml_text(error.message.as_deref().unwrap_or_default()),
    );
    retry_after(error, bytes_of(error.status, XML, text.as_bytes()))
}

/// Says when a retry may help: in whole seconds and never "at once", since the caller was just refused.
pub fn set_retry_after(response: &mut Response, after: Duration) {
    let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
}

fn members(error: &Error) -> Map<String, Value> {
    let mut object = error.members.clone();
    match error.fault {
        Fault::User => _ = object.insert("Type".to_owned(), "User".into()),
        Fault::Service => _ = object.insert("Type".to_owned(), "Service".into()),
        Fault::Unsaid => {}
    }
    let name = if error.capital_message { "Message" } else { "message" };
    object.insert(name.to_owned(), error.message.clone().into());
    object
}

fn retry_after(error: &Error, mut response: Response) -> Response {
    if let Some(after) = error.retry_after {
        set_retry_after(&mut response, after);
    }
    response
}

fn target_type(version: &str) -> HeaderValue {
    if version == "1.0" { JSON_1_0 } else { JSON_1_1 }
}

fn bytes_of(status: StatusCode, content_type: HeaderValue, bytes: &[u8]) -> Response {
    let mut response = http::Response::new(body::full(bytes.to_vec()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

fn xml_text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
