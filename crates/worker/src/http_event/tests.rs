//! Examples from AWS's documentation, and that nothing a function or a client sends makes us panic.

use proptest::prelude::*;

use super::*;

fn call(method: &str, uri: &str, headers: &[(&str, &str)], body: &[u8]) -> HttpCall {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    HttpCall { request_id: RequestId::new(), deadline_ms: 0, parts, body: Bytes::copy_from_slice(body) }
}

fn event_of(call: &HttpCall) -> Value {
    serde_json::from_slice(&event(call, jiff::Timestamp::from_second(1_584_043_438).unwrap())).unwrap()
}

#[test]
fn a_request_becomes_the_event_that_aws_documents() {
    let headers = [
        ("host", "abc.lambda-url.us-east-1.localhost:8080"),
        ("header2", "value1"),
        ("header2", "value2"),
        ("cookie", "cookie1=a; cookie2=b"),
        ("x-forwarded-for", "10.0.0.1, 127.0.0.1"),
        ("user-agent", "agent"),
        ("content-type", "application/json"),
    ];
    let call = call("POST", "/my/path?parameter1=value1&parameter1=value2&x=a%20b", &headers, b"{\"a\":1}");
    let event = event_of(&call);
    let context = &event["requestContext"];
    assert_eq!(event["version"], "2.0");
    assert_eq!(event["rawPath"], "/my/path");
    assert_eq!(event["rawQueryString"], "parameter1=value1&parameter1=value2&x=a%20b");
    assert_eq!(event["cookies"], json!(["cookie1=a", "cookie2=b"]));
    assert_eq!(event["headers"]["header2"], "value1,value2");
    assert_eq!(event["queryStringParameters"], json!({ "parameter1": "value1,value2", "x": "a b" }));
    assert_eq!(event["body"], "{\"a\":1}");
    assert_eq!(event["isBase64Encoded"], false);
    assert_eq!(context["apiId"], "abc");
    assert_eq!(context["http"]["method"], "POST");
    assert_eq!(context["http"]["sourceIp"], "127.0.0.1");
    assert_eq!(context["http"]["userAgent"], "agent");
    assert_eq!(context["time"], "12/Mar/2020:20:03:58 +0000");
    assert_eq!(context["timeEpoch"], 1_584_043_438_000_i64);
    assert_eq!(context["requestId"], call.request_id.to_string());
}

#[test]
fn a_body_that_is_not_text_is_encoded() {
    let binary = event_of(&call("PUT", "/", &[("content-type", "image/png")], &[0x89, b'P']));
    assert_eq!((&binary["body"], &binary["isBase64Encoded"]), (&json!("iVA="), &json!(true)));
    let broken = event_of(&call("PUT", "/", &[("content-type", "text/plain")], &[0xff]));
    assert_eq!(broken["isBase64Encoded"], true);
    let none = event_of(&call("GET", "/", &[("content-type", "image/png")], b""));
    assert!(none.get("body").is_none() && none["isBase64Encoded"] == false);
    assert!(none.get("queryStringParameters").is_none() && none.get("cookies").is_none());
}

#[test]
fn results_become_answers_as_aws_infers_them() {
    let cases = [
        // AWS's own examples: what the function returns, and what the client sees.
        (r#""Hello, world!""#, 200, "application/json", r#""Hello, world!""#),
        (r#"{"message": "Hello, world!"}"#, 200, "application/json", r#"{"message": "Hello, world!"}"#),
        (
            r#"{"statusCode":201,"headers":{"Content-Type":"text/html","My-Custom-Header":"x"},"body":"<p>","isBase64Encoded":false}"#,
            201,
            "text/html",
            "<p>",
        ),
        ("null", 200, "application/json", "null"),
        (r#"{"statusCode":204}"#, 204, "application/json", ""),
        (r#"{"statusCode":"404","body":"no"}"#, 404, "application/json", "no"),
        (r#"{"statusCode":200,"body":"aGk=","isBase64Encoded":true}"#, 200, "application/json", "hi"),
    ];
    for (result, status, kind, body) in cases {
        let response = response(&Bytes::from(result)).unwrap();
        assert_eq!(response.status(), status, "{result}");
        assert_eq!(response.headers()["content-type"], kind, "{result}");
        assert_eq!(response.body(), body, "{result}");
    }
    let cookies = r#"{"statusCode":200,"cookies":["Cookie_1=Value1; Expires=21 Oct","Cookie_2=b"]}"#;
    let response = response(&Bytes::from(cookies)).unwrap();
    let set: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
    assert_eq!(set, ["Cookie_1=Value1; Expires=21 Oct", "Cookie_2=b"]);
}

#[test]
fn a_malformed_result_says_what_is_wrong() {
    let cases = [
        ("{", "not JSON"),
        (r#"{"statusCode":"ok"}"#, "statusCode"),
        (r#"{"statusCode":99}"#, "statusCode"),
        (r#"{"statusCode":200,"body":{"a":1}}"#, "an object"),
        (r#"{"statusCode":200,"body":"%","isBase64Encoded":true}"#, "base64"),
        (r#"{"statusCode":200,"headers":[]}"#, "headers"),
        (r#"{"statusCode":200,"headers":{"a b":"c"}}"#, "`a b`"),
        (r#"{"statusCode":200,"headers":{"a":"b\nc"}}"#, "`a`"),
    ];
    for (result, expected) in cases {
        let error = response(&Bytes::from(result)).unwrap_err();
        assert!(error.contains(expected), "{result}: {error}");
    }
}

#[test]
fn an_http_event_reaches_a_web_application_as_the_request_it_was() {
    let headers = [("host", "a.localhost"), ("cookie", "a=1; b=2"), ("content-type", "image/png")];
    let sent = call("PATCH", "/p%C3%A4th?x=1&x=2", &headers, &[1, 2, 255]);
    let got = request(&event(&sent, jiff::Timestamp::UNIX_EPOCH), sent.request_id, 0);
    assert_eq!(got.parts.method, sent.parts.method);
    assert_eq!(got.target(), sent.target());
    assert_eq!(got.header("cookie"), sent.header("cookie"));
    assert_eq!(got.body, sent.body);
    let plain = request(&Bytes::from_static(b"{\"Records\":[]}"), sent.request_id, 0);
    assert_eq!((plain.parts.method.as_str(), plain.target()), ("POST", "/events"));
    assert_eq!(plain.body, "{\"Records\":[]}");
}

#[test]
fn an_answer_becomes_a_result() {
    let answer =
        Response::builder().status(201).header("content-type", "text/plain").header("set-cookie", "a=1");
    let (parts, ()) = answer.body(()).unwrap().into_parts();
    let result: Value = serde_json::from_slice(&result(&parts, &Bytes::from_static(b"hi"))).unwrap();
    assert_eq!(result["statusCode"], 201);
    assert_eq!(result["cookies"], json!(["a=1"]));
    assert_eq!((&result["body"], &result["isBase64Encoded"]), (&json!("hi"), &json!(false)));
    assert!(result["headers"].get("set-cookie").is_none());
}

proptest! {
    #[test]
    fn nothing_panics(
        noise in proptest::collection::vec(any::<u8>(), 0..200),
        text in "[ -~]{0,40}",
        status in any::<i64>(),
    ) {
        let _ = response(&Bytes::from(noise.clone()));
        let _ = request(&Bytes::from(noise.clone()), RequestId::new(), 0);
        let odd = json!({
            "statusCode": status, "headers": { text.clone(): text.clone() }, "cookies": [text.clone()],
            "body": text.clone(), "isBase64Encoded": true, "version": "2.0", "rawPath": text.clone(),
            "rawQueryString": text.clone(), "requestContext": { "http": { "method": text.clone() } },
        });
        let _ = response(&Bytes::from(odd.to_string()));
        let _ = request(&Bytes::from(odd.to_string()), RequestId::new(), 0);
        let _ = event(&call("POST", "/", &[("cookie", &text), ("host", &text)], &noise), jiff::Timestamp::UNIX_EPOCH);
    }
}
