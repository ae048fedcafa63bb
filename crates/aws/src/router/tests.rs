//! The router in front of two services that only say what they were called with.

use http_body_util::BodyExt;
use serde_json::{Value, json};
use types::body;

use super::*;
use crate::route::Route;

const ROUTES: &[Route] = &[Route::new("POST", "/things/{Name}", "MakeThing")];

struct Echo(Protocol);

impl Service for Echo {
    fn name(&self) -> &'static str {
        "echo"
    }

    fn protocol(&self) -> Protocol {
        self.0
    }

    fn body_limit(&self, _operation: &str) -> u64 {
        8
    }

    fn too_large(&self, operation: &str, limit: u64, size: Option<u64>) -> Error {
        let text = format!("{operation}: {size:?} over {limit}");
        Error::user("RequestTooLargeException", StatusCode::PAYLOAD_TOO_LARGE, text)
    }

    fn call(self: Arc<Self>, request: Request) -> Boxed<Result<Response, Error>> {
        Box::pin(async move {
            if request.label("Name") == "missing" {
                let gone = Error::user("ResourceNotFoundException", StatusCode::NOT_FOUND, "gone");
                return Err(gone.capital());
            }
            let seen = json!({"operation": request.operation, "name": request.label("Name"), "q": request.query("q")});
            Ok(respond::json(StatusCode::CREATED, &seen))
        })
    }
}

fn router() -> Router {
    let json = Protocol::Json { target: "Echo_2026", version: "1.1" };
    Router::new().with(Arc::new(Echo(Protocol::RestJson(ROUTES)))).with(Arc::new(Echo(json)))
}

async fn send(path: &str, headers: &[(&str, &str)], text: &'static str) -> (StatusCode, HeaderMap, String) {
    let mut request = http::Request::post(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router().handle(request.body(body::full(text)).unwrap()).await;
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (parts.status, parts.headers, String::from_utf8(bytes.to_vec()).unwrap())
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn a_path_leads_to_its_operation_with_labels_and_query() {
    let (status, headers, text) = send("/things/a%3Ab?q=1%202", &[], "{}").await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(parsed(&text), json!({"operation": "MakeThing", "name": "a:b", "q": "1 2"}));
    assert_eq!(headers[respond::REQUEST_ID].len(), 36);
}

#[tokio::test]
async fn a_rest_error_has_its_code_in_a_header() {
    let (status, headers, text) = send("/things/missing", &[], "{}").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(headers[respond::ERROR_TYPE], "ResourceNotFoundException");
    assert_eq!(parsed(&text), json!({"Type": "User", "Message": "gone"}));
    assert_eq!(headers[respond::REQUEST_ID].len(), 36);
}

#[tokio::test]
async fn a_target_header_leads_to_its_operation() {
    let (status, _, text) = send("/", &[("x-amz-target", "Echo_2026.DoIt")], "{}").await;
    assert_eq!((status, parsed(&text)["operation"].as_str()), (StatusCode::CREATED, Some("DoIt")));
}

#[tokio::test]
async fn a_body_over_the_limit_is_the_services_own_error() {
    let (status, _, text) = send("/things/a", &[], "123456789").await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(parsed(&text)["message"], "MakeThing: Some(9) over 8");
}

#[tokio::test]
async fn what_is_not_here_is_said_in_the_callers_protocol() {
    let sign =
        |service: &str| format!("AWS4-HMAC-SHA256 Credential=AK/20260101/us-east-1/{service}/aws4_request");
    let (status, _, text) = send("/", &[("x-amz-target", "DynamoDB_20120810.PutItem")], "{}").await;
    assert_eq!(status, StatusCode::NOT_IMPLEMENTED);
    assert_eq!(parsed(&text)["__type"], "NotImplementedException");
    assert!(text.contains("DynamoDB_20120810:PutItem"), "{text}");

    let (_, _, text) = send("/bucket", &[("authorization", &sign("s3"))], "").await;
    assert!(text.contains("<Error><Code>NotImplementedException</Code>") && text.contains("`s3`"), "{text}");

    let (_, _, text) = send("/", &[("authorization", &sign("sts"))], "").await;
    assert!(text.contains("<ErrorResponse>") && text.contains("`sts`"), "{text}");

    let (status, headers, text) = send("/nothing", &[], "").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(headers[respond::ERROR_TYPE], "UnknownOperationException");
    assert!(text.contains("POST /nothing"), "{text}");
}
