//! The Lambda service behind its router, over a real (ephemeral) store, with a fake worker: nothing is
//! run, invocations are answered by [`FakeWorker`]. What the worker does with a version is its own tests'.

#![allow(dead_code, reason = "each test binary uses a part of this")]

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use lambda::{Options, Service};
use serde_json::{Value, json};
use store::Store;
use types::body::{self, Body};
use types::failure::{Cause, Failure, Phase};
use types::function::Version;
use types::invocation::{Boxed, Dispatch, Event, Outcome, Refusal, Unserved};
use types::limits::Limits;
use types::routing::Table;

pub const ROLE: &str = "arn:aws:iam::000000000000:role/r";

/// A fake: answers instead of running anything. The event says what to answer (`{"act": "fail"}`).
#[derive(Default)]
pub struct FakeWorker {
    /// Calls that have begun.
    pub begun: AtomicUsize,
    /// Calls whose caller went away.
    pub dropped: Arc<AtomicUsize>,
}

pub struct Platform {
    pub router: aws::Router,
    pub service: Arc<Service>,
    pub routes: Table,
    pub changes: Arc<AtomicUsize>,
    pub worker: Arc<FakeWorker>,
    pub store: Store,
}

/// An answer, its body parsed if it is JSON.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Bytes,
    pub json: Value,
}

struct Gone(Option<Arc<AtomicUsize>>);

// === impl Platform ===

impl Platform {
    pub async fn new() -> Self {
        Self::over(ephemeral(), Limits::default()).await
    }

    pub async fn over(store: Store, limits: Limits) -> Self {
        let (routes, changes) = (Table::default(), Arc::new(AtomicUsize::new(0)));
        let worker = Arc::new(FakeWorker::default());
        let runtimes =
            ["python3.11", "python3.12", "nodejs20.x", "provided.al2023"].map(str::to_owned).to_vec();
        let options = Options { limits, gateway_authority: "localhost:8080".to_owned(), runtimes };
        let counted = Arc::clone(&changes);
        let changed = Box::new(move || _ = counted.fetch_add(1, Ordering::SeqCst));
        let dispatch: Arc<dyn Dispatch> = Arc::clone(&worker) as _;
        let service = Service::open(options, &store, routes.clone(), dispatch, changed).await.unwrap();
        let service = Arc::new(service);
        let router = aws::Router::new().with(Arc::clone(&service) as _);
        Self { router, service, routes, changes, worker, store }
    }

    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Body) -> Answer {
        let mut request = http::Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, body) = self.router.handle(request.body(body).unwrap()).await.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status: parts.status, headers: parts.headers, bytes, json }
    }

    pub async fn json(&self, method: &str, path: &str, body: Value) -> Answer {
        self.send(method, path, &[], body::full(body.to_string())).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], body::empty()).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], body::empty()).await
    }

    /// Makes a function and expects it to work.
    pub async fn create(&self, name: &str) -> Value {
        let answer = self.json("POST", "/2015-03-31/functions", function(name)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.json);
        answer.json
    }

    pub async fn invoke(&self, name: &str, headers: &[(&str, &str)], payload: &str) -> Answer {
        let path = format!("/2015-03-31/functions/{name}/invocations");
        self.send("POST", &path, headers, body::full(payload.to_owned())).await
    }

    /// The version a name leads to at this moment.
    pub fn resolve(&self, name: &str) -> Option<Arc<Version>> {
        self.routes.load().resolve(&name.parse().unwrap()).cloned()
    }
}

// === impl Answer ===

impl Answer {
    /// The error's code.
    pub fn code(&self) -> &str {
        self.headers.get("x-amzn-errortype").map_or("", |value| value.to_str().unwrap())
    }

    /// The error's text, however it is spelled.
    pub fn message(&self) -> &str {
        self.json["message"].as_str().or(self.json["Message"].as_str()).unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

// === impl FakeWorker ===

impl Dispatch for FakeWorker {
    fn invoke(&self, version: Arc<Version>, event: Event) -> Boxed<Result<Outcome, Refusal>> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let dropped = Arc::clone(&self.dropped);
        Box::pin(async move {
            let mut gone = Gone(Some(dropped));
            let result = act(&version, &event).await;
            gone.0 = None;
            result
        })
    }

    fn serve(
        &self,
        _version: Arc<Version>,
        _request: http::Request<Body>,
    ) -> Boxed<Result<http::Response<Body>, Unserved>> {
        Box::pin(async { Err(Unserved::Refused(Refusal::Draining)) })
    }
}

impl Drop for Gone {
    fn drop(&mut self) {
        if let Some(counter) = self.0.take() {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    }
}

async fn act(version: &Version, event: &Event) -> Result<Outcome, Refusal> {
    let wanted: Value = serde_json::from_slice(&event.payload).unwrap();
    let seen = json!({"version": version.version, "event": wanted, "context": event.client_context, "id": event.request_id.to_string()});
    let ok = Outcome {
        payload: seen.to_string().into(),
        failure: None,
        log_tail: "START\nEND\n".into(),
        summary: None,
    };
    match wanted["act"].as_str().unwrap_or_default() {
        "fail" => {
            let failure = failure("ValueError", "no");
            let payload = failure.payload(event.request_id);
            Ok(Outcome { payload, failure: Some(failure), ..ok })
        }
        "hang" => std::future::pending().await,
        "reserved" => Err(Refusal::ReservedConcurrency { limit: 1 }),
        "queue" => Err(Refusal::QueueTimeout { waited: Duration::from_secs(30), limit: 2 }),
        "backing-off" => Err(Refusal::BackingOff {
            retry_after: Duration::from_secs(4),
            failure: Box::new(failure("Runtime.ImportModuleError", "no module")),
        }),
        "draining" => Err(Refusal::Draining),
        "platform" => Err(Refusal::Platform("no memory".to_owned())),
        _ => Ok(ok),
    }
}

fn failure(error_type: &str, message: &str) -> Failure {
    Failure {
        phase: Phase::Handler,
        cause: Cause::Raised,
        error_type: error_type.to_owned(),
        message: message.to_owned(),
        stack_trace: Vec::new(),
        log_lines: vec!["last line".to_owned()],
        suggestion: "fix it".to_owned(),
    }
}

pub fn ephemeral() -> Store {
    Store::open(store::Options { directory: PathBuf::new(), ephemeral: true }).unwrap()
}

/// A small zip with one file.
pub fn zip_of(name: &str, text: &str) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
    writer.write_all(text.as_bytes()).unwrap();
    writer.finish().unwrap().into_inner()
}

/// The same as it travels.
pub fn encoded(text: &str) -> String {
    STANDARD.encode(zip_of("app.py", text))
}

/// What `CreateFunction` takes.
pub fn function(name: &str) -> Value {
    json!({
        "FunctionName": name,
        "Runtime": "python3.11",
        "Handler": "app.handler",
        "Role": ROLE,
        "Code": {"ZipFile": encoded("one")},
    })
}

/// The same with some members replaced or added.
#[expect(clippy::needless_pass_by_value, reason = "every caller hands over a literal")]
pub fn function_with(name: &str, members: Value) -> Value {
    let mut body = function(name);
    for (member, value) in members.as_object().unwrap() {
        body[member] = value.clone();
    }
    body
}

pub fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}
