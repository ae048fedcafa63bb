//! The gateway through real sockets, against a dispatch that the test plays itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::task::TaskTracker;
use types::arn::FunctionReference;
use types::body::{self, Body};
use types::failure::{Cause, Failure, Phase};
use types::function::{Runtime, Version};
use types::invocation::{Boxed, Dispatch, Event, Outcome, Refusal, Unserved};
use types::routing::{Function, Snapshot, Table, Url};
use types::settings::Settings;

use super::{Limits, Metrics, Service, Shutdown, serve};

const PATIENCE: Duration = Duration::from_secs(10);

type Play = Box<dyn Fn(http::Request<Body>) -> Boxed<Result<http::Response<Body>, Unserved>> + Send + Sync>;

/// A dispatch that does what the test says.
struct Played(Play);

impl Dispatch for Played {
    fn invoke(&self, _: Arc<Version>, _: Event) -> Boxed<Result<Outcome, Refusal>> {
        unreachable!("the gateway never invokes")
    }

    fn serve(
        &self,
        _: Arc<Version>,
        request: http::Request<Body>,
    ) -> Boxed<Result<http::Response<Body>, Unserved>> {
        (self.0)(request)
    }
}

struct World {
    address: SocketAddr,
    shutdown: Shutdown,
    tasks: TaskTracker,
}

impl World {
    async fn start(play: Play) -> Self {
        Self::with_limits(play, Limits::default()).await
    }

    async fn with_limits(play: Play, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let metrics = Metrics::register(&mut Registry::default());
        let service = Service::new(routes(), Arc::new(Played(play)), metrics);
        let (shutdown, tasks) = (Shutdown::default(), TaskTracker::new());
        tasks.spawn(serve(listener, Arc::new(service), limits, shutdown.clone()));
        tasks.close();
        Self { address, shutdown, tasks }
    }

    /// Sends these bytes and reads until the gateway closes.
    async fn exchange(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        read_all(&mut stream).await
    }

    async fn get(&self, host: &str) -> String {
        self.exchange(&format!("GET /a%20b?q=1 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await
    }
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    within(stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap().to_ascii_lowercase()
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

fn routes() -> Table {
    let version = |name: &str| {
        Arc::new(Version {
            name: name.to_owned(),
            version: "1".to_owned(),
            arn: types::arn::function_arn(name),
            revision: "r".to_owned(),
            runtime: Runtime::Provided,
            handler: "x".to_owned(),
            memory_mib: 128,
            tmp_mib: 512,
            timeout: Duration::from_secs(3),
            environment: BTreeMap::new(),
            code: PathBuf::new(),
            code_sha256: String::new(),
            settings: Settings::default(),
            reserved_concurrency: None,
            provisioned: 0,
            snap_start: false,
        })
    };
    let function = |name: &str, urls| Function {
        versions: BTreeMap::from([("1".to_owned(), version(name))]),
        aliases: BTreeMap::from([("live".to_owned(), "1".to_owned())]),
        urls,
    };
    let mut snapshot = Snapshot::default();
    let urls = vec![(Some("live".to_owned()), "abc".to_owned())];
    snapshot.functions.insert("Hello".to_owned(), function("Hello", urls));
    snapshot.functions.insert("private".to_owned(), function("private", Vec::new()));
    let target = FunctionReference { name: "Hello".to_owned(), qualifier: Some("live".to_owned()) };
    snapshot.urls.insert("abc".to_owned(), Url { target });
    let table = Table::default();
    table.publish(snapshot);
    table
}

/// Answers with the request as the function would see it.
fn echo() -> Play {
    Box::new(|request| {
        Box::pin(async move {
            let mut text = format!("{} {}\n", request.method(), request.uri());
            for (name, value) in request.headers() {
                text.push_str(&format!("{name}={}\n", value.to_str().unwrap()));
            }
            let response = http::Response::builder().header("connection", "x-secret").header("x-secret", "1");
            Ok(response.body(body::full(text)).unwrap())
        })
    })
}

fn refusing(unserved: Unserved) -> Play {
    Box::new(move |_| {
        let unserved = unserved.clone();
        Box::pin(async move { Err(unserved) })
    })
}

fn failure() -> Failure {
    Failure {
        phase: Phase::Init,
        cause: Cause::Raised,
        error_type: "Runtime.ImportModuleError".to_owned(),
        message: "No module named 'nope'".to_owned(),
        stack_trace: Vec::new(),
        log_lines: Vec::new(),
        suggestion: "add nope to requirements.txt".to_owned(),
    }
}

#[tokio::test]
async fn passes_a_request_on_and_says_where_it_came_from() {
    let world = World::start(echo()).await;
    for host in ["hello.localhost:8080", "abc.lambda-url.us-east-1.localhost:8080"] {
        let answer = world.get(host).await;
        assert!(answer.starts_with("http/1.1 200"), "{answer}");
        assert!(answer.contains("get /a%20b?q=1\n"), "{answer}");
        assert!(answer.contains(&format!("host={host}\n")), "{answer}");
        assert!(answer.contains("x-forwarded-for=127.0.0.1\n"), "{answer}");
        assert!(answer.contains("x-forwarded-proto=http\n"), "{answer}");
        assert!(answer.contains(&format!("x-forwarded-host={host}\n")), "{answer}");
        assert!(answer.contains("x-amzn-trace-id=root=1-"), "{answer}");
        assert!(answer.contains("\r\nx-amzn-requestid: "), "{answer}");
        assert!(!answer.contains("connection=") && !answer.contains("x-secret"), "{answer}");
    }
}

#[tokio::test]
async fn keeps_what_a_proxy_on_this_machine_said() {
    let world = World::start(echo()).await;
    let answer = world
        .exchange(
            "GET / HTTP/1.1\r\nHost: hello.localhost\r\nX-Forwarded-For: 198.51.100.7\r\nX-Forwarded-Proto: https\r\n\
             X-Amzn-Trace-Id: Root=1-a\r\nX-Hop: 1\r\nConnection: close, x-hop\r\n\r\n",
        )
        .await;
    assert!(answer.contains("x-forwarded-for=198.51.100.7, 127.0.0.1\n"), "{answer}");
    assert!(answer.contains("x-forwarded-proto=https\n"), "{answer}");
    assert!(answer.contains("x-amzn-trace-id=root=1-a\n"), "{answer}");
    assert!(!answer.contains("x-hop"), "{answer}");
}

#[tokio::test]
async fn names_what_it_does_not_serve() {
    let world = World::start(echo()).await;
    for (request, status, text) in [
        ("GET / HTTP/1.1\r\nHost: nobody.localhost\r\n", "404", "no function answers at `nobody.localhost`"),
        ("GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n", "404", "hint: hosts look like name.localhost"),
        ("GET / HTTP/1.1\r\nHost: private.localhost\r\n", "404", "function `private` has no url"),
        ("GET / HTTP/1.1\r\n", "400", "no usable host"),
        ("GET / HTTP/1.1\r\nHost: hello.localhost\r\nHost: private.localhost\r\n", "400", "no usable host"),
        ("TRACE / HTTP/1.1\r\nHost: hello.localhost\r\n", "405", "method trace is not served"),
        ("CONNECT a:1 HTTP/1.1\r\nHost: hello.localhost\r\n", "405", "method connect is not served"),
        ("OPTIONS * HTTP/1.1\r\nHost: hello.localhost\r\n", "400", "target is not a path"),
        (
            "GET / HTTP/1.1\r\nHost: hello.localhost\r\nUpgrade: websocket\r\n",
            "501",
            "upgrading to `websocket`",
        ),
    ] {
        let answer = world.exchange(&format!("{request}Connection: close\r\n\r\n")).await;
        assert!(answer.starts_with(&format!("http/1.1 {status}")), "{request}: {answer}");
        assert!(answer.contains(text), "{request}: {answer}");
    }
}

#[tokio::test]
async fn turns_each_refusal_into_its_response() {
    let limit = 6 * types::limits::MIB;
    let back_off =
        Refusal::BackingOff { retry_after: Duration::from_millis(2100), failure: Box::new(failure()) };
    let cases: Vec<(Unserved, &str, Vec<&str>)> = vec![
        (
            Refusal::ReservedConcurrency { limit: 2 }.into(),
            "429",
            vec!["retry-after: 1", "x-amzn-errortype: toomanyrequestsexception", "rate exceeded."],
        ),
        (
            Refusal::QueueTimeout { waited: Duration::from_secs(1), limit: 2 }.into(),
            "429",
            vec!["retry-after: 1", "\"type\":\"user\"", "lambent:max-instances"],
        ),
        (back_off.into(), "429", vec!["retry-after: 3", "no module named 'nope'", "requirements.txt"]),
        (
            Refusal::TooLarge { size: limit + 1, limit }.into(),
            "413",
            vec!["6291457 bytes", "--limit-payload", "requesttoolargeexception"],
        ),
        (Refusal::Draining.into(), "503", vec!["retry-after: 1", "connection: close"]),
        (Refusal::Platform("no memory".to_owned()).into(), "500", vec!["no memory", "serviceexception"]),
        (
            Unserved::Failed(Box::new(failure())),
            "502",
            vec!["internal server error\n", "importmoduleerror", "hint: add nope", "`lambent logs hello`"],
        ),
    ];
    for (unserved, status, texts) in cases {
        let name = format!("{unserved:?}");
        let answer = World::start(refusing(unserved)).await.get("hello.localhost").await;
        assert!(answer.starts_with(&format!("http/1.1 {status}")), "{name}: {answer}");
        for text in texts {
            assert!(answer.contains(text), "{name}: no `{text}` in {answer}");
        }
    }
}

#[tokio::test]
async fn a_client_still_sending_reads_why_it_was_refused() {
    let limit = 6 * types::limits::MIB;
    let world = World::start(refusing(Refusal::TooLarge { size: limit + 1, limit }.into())).await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let length = limit + 1;
    let head = format!(
        "POST / HTTP/1.1\r\nHost: hello.localhost\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    within(stream.write_all(&vec![b'x'; usize::try_from(length).unwrap()])).await.unwrap();
    let answer = read_all(&mut stream).await;
    assert!(answer.starts_with("http/1.1 413"), "{answer}");
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_along() {
    struct Told(mpsc::UnboundedSender<&'static str>);
    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.0.send("dropped");
        }
    }
    let (tell, mut told) = mpsc::unbounded_channel();
    let world = World::start(Box::new(move |_| {
        let tell = tell.clone();
        Box::pin(async move {
            tell.send("begun").unwrap();
            let _told = Told(tell);
            std::future::pending().await
        })
    }))
    .await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: hello.localhost\r\n\r\n").await.unwrap();
    assert_eq!(within(told.recv()).await, Some("begun"));
    drop(stream);
    assert_eq!(within(told.recv()).await, Some("dropped"));
}

#[tokio::test]
async fn stopping_answers_what_is_in_progress_and_accepts_nothing_new() {
    let gate = Arc::new(Semaphore::new(0));
    let (tell, mut told) = mpsc::unbounded_channel();
    let world = World::start(Box::new({
        let gate = Arc::clone(&gate);
        move |_| {
            let (gate, tell) = (Arc::clone(&gate), tell.clone());
            Box::pin(async move {
                tell.send(()).unwrap();
                let _permit = gate.acquire().await.unwrap();
                Ok(http::Response::new(body::full("finished")))
            })
        }
    }))
    .await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: hello.localhost\r\n\r\n").await.unwrap();
    within(told.recv()).await.unwrap();
    world.shutdown.finish.cancel();
    within(async { while TcpStream::connect(world.address).await.is_ok() {} }).await;
    gate.add_permits(1);
    let answer = read_all(&mut stream).await;
    assert!(answer.contains("connection: close") && answer.ends_with("finished"), "{answer}");
    within(world.tasks.wait()).await;
}

#[tokio::test]
async fn abandoning_ends_everything_at_once() {
    let world = World::start(Box::new(|_| Box::pin(std::future::pending()))).await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: hello.localhost\r\n\r\n").await.unwrap();
    world.shutdown.abandon.cancel();
    within(world.tasks.wait()).await;
}

#[tokio::test]
async fn a_silent_client_is_let_go() {
    let limits = Limits { head_timeout: Duration::from_millis(50), ..Limits::default() };
    let world = World::with_limits(echo(), limits).await;
    for said in ["", "PRI", "GET / HT"] {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // Closed or reset: either way the connection is gone.
        let _ = within(stream.read_to_end(&mut answer)).await;
    }
}

#[tokio::test]
async fn speaks_http2_without_being_told() {
    let world = World::start(echo()).await;
    let stream = TcpStream::connect(world.address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(stream),
    )
    .await
    .unwrap();
    let tasks = TaskTracker::new();
    tasks.spawn(connection);
    let request = http::Request::get("http://hello.localhost:8080/two").body(Empty::<Bytes>::new()).unwrap();
    let response = within(sender.send_request(request)).await.unwrap();
    assert_eq!(response.status(), 200);
    let text = within(response.into_body().collect()).await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains("GET /two\n") && text.contains("host=hello.localhost:8080\n"), "{text}");
}
