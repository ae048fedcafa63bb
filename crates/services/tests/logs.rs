//! CloudWatch Logs through the router, over a real (ephemeral) store that a function's lines are written to.

use std::path::PathBuf;
use std::sync::Arc;

use http::StatusCode;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use store::{Logs, Store};
use types::body;
use types::log::{Line, Sink};

struct Platform {
    router: aws::Router,
    logs: Logs,
    _store: Store,
}

// === impl Platform ===

#[cfg(test)]
impl Platform {
    fn new() -> Self {
        let store = Store::open(store::Options { directory: PathBuf::new(), ephemeral: true }).unwrap();
        let logs = store.logs();
        let router = aws::Router::new().with(Arc::new(services::logs::Service::new(logs.clone())));
        Self { router, logs, _store: store }
    }

    async fn write(&self, function: &str, stream: &str, lines: &[(i64, &str)]) {
        for (timestamp_ms, text) in lines {
            let (function, stream, text) = (function.into(), stream.into(), (*text).to_owned());
            self.logs.write(Line { function, stream, timestamp_ms: *timestamp_ms, request_id: None, text });
        }
        self.logs.flush().await.unwrap();
    }

    async fn call(&self, operation: &str, body: Value) -> (StatusCode, Value) {
        let request = http::Request::post("/")
            .header("x-amz-target", format!("Logs_20140328.{operation}"))
            .header("content-type", "application/x-amz-json-1.1")
            .body(body::full(body.to_string()))
            .unwrap();
        let (parts, body) = self.router.handle(request).await.into_parts();
        assert_eq!(parts.headers["content-type"], "application/x-amz-json-1.1");
        let bytes = body.collect().await.unwrap().to_bytes();
        (parts.status, serde_json::from_slice(&bytes).unwrap())
    }

    async fn ok(&self, operation: &str, body: Value) -> Value {
        let (status, answer) = self.call(operation, body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer
    }

    async fn refused(&self, operation: &str, body: Value, code: &str, text: &str) {
        let (_, answer) = self.call(operation, body).await;
        assert_eq!(answer["__type"], code, "{answer}");
        assert!(answer["message"].as_str().unwrap().contains(text), "{answer}");
    }
}

#[cfg(test)]
fn messages(answer: &Value) -> Vec<&str> {
    answer["events"].as_array().unwrap().iter().map(|event| event["message"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn groups_and_streams_are_those_of_functions() {
    let platform = Platform::new();
    platform.write("a", "2026/01/01/[$LATEST]one", &[(5, "x")]).await;
    platform.write("a", "2026/01/01/[$LATEST]two", &[(9, "y")]).await;
    platform.write("b", "s", &[(1, "z")]).await;
    let groups = platform.ok("DescribeLogGroups", json!({"limit": 1})).await;
    assert_eq!(groups["logGroups"][0]["logGroupName"], "/aws/lambda/a");
    let arn = "arn:aws:logs:us-east-1:000000000000:log-group:/aws/lambda/a";
    assert_eq!(groups["logGroups"][0]["arn"], format!("{arn}:*"));
    let next = json!({"limit": 1, "nextToken": groups["nextToken"]});
    let second = platform.ok("DescribeLogGroups", next).await;
    assert_eq!(second["logGroups"][0]["logGroupName"], "/aws/lambda/b");
    assert!(second.get("nextToken").is_none());
    let found = platform.ok("DescribeLogGroups", json!({"logGroupNamePattern": "LAMBDA/b"})).await;
    assert_eq!(found["logGroups"].as_array().unwrap().len(), 1);

    let newest =
        json!({"logGroupName": "/aws/lambda/a", "orderBy": "LastEventTime", "descending": true, "limit": 1});
    let streams = platform.ok("DescribeLogStreams", newest.clone()).await;
    assert_eq!(streams["logStreams"][0]["logStreamName"], "2026/01/01/[$LATEST]two");
    assert_eq!(streams["logStreams"][0]["lastEventTimestamp"], 9);
    let mut rest = newest;
    rest["nextToken"] = streams["nextToken"].clone();
    let streams = platform.ok("DescribeLogStreams", rest).await;
    assert_eq!(streams["logStreams"][0]["logStreamName"], "2026/01/01/[$LATEST]one");

    platform.ok("DeleteLogGroup", json!({"logGroupName": "/aws/lambda/a"})).await;
    let left = platform.ok("DescribeLogGroups", json!({})).await;
    assert_eq!(left["logGroups"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_stream_is_read_in_both_directions() {
    let platform = Platform::new();
    platform.write("f", "s", &[(1, "one"), (2, "two"), (3, "three"), (4, "four")]).await;
    let stream = |more: Value| {
        let mut body = json!({"logGroupName": "/aws/lambda/f", "logStreamName": "s", "limit": 2});
        for (member, value) in more.as_object().unwrap() {
            body[member] = value.clone();
        }
        body
    };
    let tail = platform.ok("GetLogEvents", stream(json!({}))).await;
    assert_eq!(messages(&tail), ["three", "four"]);
    let before = platform.ok("GetLogEvents", stream(json!({"nextToken": tail["nextBackwardToken"]}))).await;
    assert_eq!(messages(&before), ["one", "two"]);
    let head = platform.ok("GetLogEvents", stream(json!({"startFromHead": true}))).await;
    assert_eq!(messages(&head), ["one", "two"]);
    let after = platform.ok("GetLogEvents", stream(json!({"nextToken": head["nextForwardToken"]}))).await;
    assert_eq!(messages(&after), ["three", "four"]);
    let end = platform.ok("GetLogEvents", stream(json!({"nextToken": after["nextForwardToken"]}))).await;
    assert_eq!((messages(&end).len(), &end["nextForwardToken"]), (0, &after["nextForwardToken"]));
    platform.write("f", "s", &[(5, "five")]).await;
    let more = platform.ok("GetLogEvents", stream(json!({"nextToken": end["nextForwardToken"]}))).await;
    assert_eq!(messages(&more), ["five"]);
    let span = platform.ok("GetLogEvents", stream(json!({"startTime": 2, "endTime": 4, "limit": 9}))).await;
    assert_eq!(messages(&span), ["two", "three"]);
}

#[tokio::test]
async fn a_filter_reads_all_streams_in_the_order_of_time() {
    let platform = Platform::new();
    platform.write("f", "s1", &[(1, "ERROR disk full"), (3, "ok")]).await;
    platform.write("f", "s2", &[(2, "ERROR network"), (4, "ERROR disk again")]).await;
    let filter = |more: Value| {
        let mut body =
            json!({"logGroupIdentifier": "arn:aws:logs:us-east-1:000000000000:log-group:/aws/lambda/f:*"});
        for (member, value) in more.as_object().unwrap() {
            body[member] = value.clone();
        }
        body
    };
    let found = platform.ok("FilterLogEvents", filter(json!({"filterPattern": "ERROR", "limit": 2}))).await;
    assert_eq!(messages(&found), ["ERROR disk full", "ERROR network"]);
    assert_eq!(found["events"][1]["logStreamName"], "s2");
    let next = filter(json!({"filterPattern": "ERROR", "limit": 2, "nextToken": found["nextToken"]}));
    let rest = platform.ok("FilterLogEvents", next).await;
    assert_eq!(messages(&rest), ["ERROR disk again"]);
    assert!(rest.get("nextToken").is_none());
    let phrase = platform.ok("FilterLogEvents", filter(json!({"filterPattern": "\"disk full\""}))).await;
    assert_eq!(messages(&phrase), ["ERROR disk full"]);
    let one = platform.ok("FilterLogEvents", filter(json!({"logStreamNames": ["s1"], "endTime": 3}))).await;
    assert_eq!(messages(&one), ["ERROR disk full", "ok"], "the end belongs to the span");
    let json_pattern = filter(json!({"filterPattern": "{ $.level = 1 }"}));
    platform.refused("FilterLogEvents", json_pattern, "InvalidParameterException", "not supported").await;
}

#[tokio::test]
async fn refusals_in_awss_words() {
    let platform = Platform::new();
    platform.write("f", "s", &[(1, "x")]).await;
    let invalid = "InvalidParameterException";
    let group = "/aws/lambda/f";
    for (operation, body, code, text) in [
        (
            "GetLogEvents",
            json!({"logGroupName": group, "logStreamName": "s", "limit": 10_001}),
            invalid,
            "1 validation error detected: Value '10001' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 10000",
        ),
        (
            "GetLogEvents",
            json!({"logGroupName": group, "logStreamName": "no"}),
            "ResourceNotFoundException",
            "The specified log stream does not exist.",
        ),
        (
            "GetLogEvents",
            json!({"logGroupName": "/aws/lambda/no", "logStreamName": "s"}),
            "ResourceNotFoundException",
            "The specified log group does not exist.",
        ),
        (
            "GetLogEvents",
            json!({"logGroupName": group, "logStreamName": "s", "nextToken": "x"}),
            invalid,
            "nextToken is invalid",
        ),
        ("FilterLogEvents", json!({}), invalid, "Value null at 'logGroupName'"),
        (
            "DescribeLogGroups",
            json!({"logGroupNamePrefix": "a", "logGroupNamePattern": "b"}),
            invalid,
            "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.",
        ),
        (
            "CreateLogGroup",
            json!({"logGroupName": "mine"}),
            "NotImplementedException",
            "logs:CreateLogGroup is not supported",
        ),
        ("PutLogEvents", json!({}), "NotImplementedException", "logs:PutLogEvents is not supported"),
    ] {
        platform.refused(operation, body, code, text).await;
    }
}
