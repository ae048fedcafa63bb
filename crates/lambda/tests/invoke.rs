//! `Invoke` through the router: what reaches the worker and how its outcome is spelled. The worker is a
//! fake; the refusals it makes are told apart here, what causes them is tested where they are made.

#[cfg(test)]
mod support;

use std::sync::atomic::Ordering;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde_json::json;
use support::{Platform, ephemeral};
use types::limits::Limits;

#[tokio::test]
async fn an_outcome_is_passed_with_version_and_log() {
    let platform = Platform::new().await;
    platform.create("hello").await;
    let answer = platform.invoke("hello", &[("x-amz-log-type", "Tail")], r#"{"a": 1}"#).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!((&answer.json["version"], &answer.json["event"]), (&json!("$LATEST"), &json!({"a": 1})));
    assert_eq!(answer.header("x-amz-executed-version"), Some("$LATEST"));
    assert_eq!(answer.header("x-amz-log-result"), Some(STANDARD.encode("START\nEND\n").as_str()));
    assert_eq!(answer.header("x-amz-function-error"), None);
    assert_eq!(answer.header("x-amzn-requestid"), answer.json["id"].as_str(), "one id for answer and worker");

    let quiet = platform.invoke("hello", &[], "").await;
    assert_eq!(quiet.json["event"], json!({}), "an empty payload is an empty object");
    assert_eq!(quiet.header("x-amz-log-result"), None);
}

#[tokio::test]
async fn a_failure_is_an_answer_and_not_an_error() {
    let platform = Platform::new().await;
    platform.create("hello").await;
    let answer = platform.invoke("hello", &[], r#"{"act": "fail"}"#).await;
    assert_eq!((answer.status, answer.header("x-amz-function-error")), (StatusCode::OK, Some("Unhandled")));
    assert_eq!(
        (&answer.json["errorType"], &answer.json["errorMessage"]),
        (&json!("ValueError"), &json!("no"))
    );

    let answer = platform.invoke("hello", &[("x-amz-log-type", "Tail")], r#"{"act": "backing-off"}"#).await;
    assert_eq!((answer.status, answer.header("x-amz-function-error")), (StatusCode::OK, Some("Unhandled")));
    assert_eq!(answer.json["errorType"], "Runtime.ImportModuleError");
    assert_eq!(answer.header("retry-after"), Some("4"));
    assert_eq!(answer.header("x-amz-log-result"), Some(STANDARD.encode("last line").as_str()));
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let platform = Platform::new().await;
    platform.create("hello").await;
    let reserved = platform.invoke("hello", &[], r#"{"act": "reserved"}"#).await;
    assert_eq!(
        (reserved.status, reserved.code()),
        (StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException")
    );
    assert_eq!(reserved.message(), "Rate Exceeded.");
    assert_eq!(reserved.json["Reason"], "ReservedFunctionConcurrentInvocationLimitExceeded");
    assert_eq!(reserved.header("retry-after"), Some("1"));

    let queue = platform.invoke("hello", &[], r#"{"act": "queue"}"#).await;
    assert_eq!((queue.status, queue.code()), (StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException"));
    assert_eq!(queue.json["Reason"], "ConcurrentInvocationLimitExceeded");
    assert!(queue.message().contains("lambent:max-instances"), "{}", queue.message());
    assert_eq!(queue.header("retry-after"), Some("1"));

    let draining = platform.invoke("hello", &[], r#"{"act": "draining"}"#).await;
    assert_eq!((draining.status, draining.code()), (StatusCode::SERVICE_UNAVAILABLE, "ServiceException"));
    let platform_failed = platform.invoke("hello", &[], r#"{"act": "platform"}"#).await;
    assert_eq!(platform_failed.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(platform_failed.message().contains("no memory"), "{}", platform_failed.message());
}

#[tokio::test]
async fn a_payload_over_the_limit_names_limit_and_setting() {
    let platform = Platform::over(ephemeral(), Limits { payload: 10, ..Limits::default() }).await;
    platform.create("hello").await;
    assert_eq!(platform.invoke("hello", &[], r#""12345678""#).await.status, StatusCode::OK);
    let refused = platform.invoke("hello", &[], r#""123456789""#).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLargeException"));
    assert_eq!(
        refused.message(),
        "11 byte payload is too large for the RequestResponse invocation type (limit 10 bytes) \
         (setting --limit-payload)"
    );
}

#[tokio::test]
async fn what_cannot_be_called_says_so() {
    let platform = Platform::new().await;
    platform.create("hello").await;
    let gone = platform.invoke("gone", &[], "{}").await;
    assert_eq!((gone.status, gone.code()), (StatusCode::NOT_FOUND, "ResourceNotFoundException"));
    assert_eq!(
        gone.message(),
        "Function not found: arn:aws:lambda:us-east-1:000000000000:function:gone:$LATEST"
    );
    let alias = platform.invoke("hello:live", &[], "{}").await;
    assert!(alias.message().ends_with("function:hello:live"), "{}", alias.message());
    let text = platform.invoke("hello", &[], "not json").await;
    assert_eq!((text.status, text.code()), (StatusCode::BAD_REQUEST, "InvalidRequestContentException"));
    let path = "/2015-03-31/functions/hello/invocations";
    let bytes = platform.send("POST", path, &[], types::body::full(&b"\"\xff\""[..])).await;
    assert_eq!((bytes.status, bytes.code()), (StatusCode::BAD_REQUEST, "InvalidRequestContentException"));
    let event = platform.invoke("hello", &[("x-amz-invocation-type", "Event")], "{}").await;
    assert_eq!(event.code(), "InvalidParameterValueException");
    assert!(event.message().contains("asynchronous invocation"), "{}", event.message());
    let dry = platform.invoke("hello", &[("x-amz-invocation-type", "DryRun")], "{}").await;
    assert_eq!(dry.status, StatusCode::NO_CONTENT);
    let odd = platform.invoke("hello", &[("x-amz-invocation-type", "Odd")], "{}").await;
    assert_eq!((odd.status, odd.code()), (StatusCode::BAD_REQUEST, "ValidationException"));
    assert_eq!(platform.worker.begun.load(Ordering::SeqCst), 0, "none of these reached the worker");
}

#[tokio::test]
async fn a_client_context_is_decoded_and_checked() {
    let platform = Platform::new().await;
    platform.create("hello").await;
    let header = STANDARD.encode(r#"{"custom": {}}"#);
    let answer = platform.invoke("hello", &[("x-amz-client-context", &header)], "{}").await;
    assert_eq!(answer.json["context"], r#"{"custom": {}}"#);
    let answer = platform.invoke("hello", &[("x-amz-client-context", "***")], "{}").await;
    assert_eq!(answer.code(), "InvalidRequestContentException");
}

#[tokio::test]
async fn the_worker_learns_that_the_caller_has_gone() {
    let platform = Platform::new().await;
    platform.create("hello").await;
    let mut call = Box::pin(platform.invoke("hello", &[], r#"{"act": "hang"}"#));
    let once = std::future::poll_fn(|context| std::task::Poll::Ready(call.as_mut().poll(context)));
    assert!(once.await.is_pending());
    drop(call);
    let counts = (&platform.worker.begun, &platform.worker.dropped);
    assert_eq!((counts.0.load(Ordering::SeqCst), counts.1.load(Ordering::SeqCst)), (1, 1));
}
