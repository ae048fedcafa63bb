//! HTTP to handlers, to applications in the shim, to servers of their own; the Runtime API.

use http::{Request, Response};
use http_body_util::BodyExt as _;
use types::body::{self, Body};
use types::failure::{Cause, Phase};
use types::function::Runtime;
use types::invocation::Unserved;
use types::limits::Limits;
use types::settings::Server;

use super::*;

const WSGI: &str = r#"
import os, time
def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/raise":
        raise ValueError("no")
    if path == "/exit":
        os._exit(7)
    length = [("Content-Length", "4")] if path == "/after" else []
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Path", path)] + length)
    if path == "/after":
        class Answer:
            def __iter__(self):
                return iter([b"done"])
            def close(self):
                time.sleep(1)
        return Answer()
    if path == "/stream":
        return (b"x" * 65536 for _ in range(100))
    if path == "/break":
        def parts():
            yield b"begun"
            raise ValueError("in the middle")
        return parts()
    return [environ["REQUEST_METHOD"].encode(), b" ", environ["wsgi.input"].read(), b" ", str(os.getpid()).encode()]
"#;

const OWN: &str = r#"
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1." + os.environ.get("MINOR", "1")
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/exit":
            os._exit(7)
        if self.path == "/hang-up" or (self.path == "/once" and not os.path.exists(os.environ["MARK"])):
            open(os.environ["MARK"], "w").close()
            self.close_connection = True
            return
        answer = b" ".join([self.path.encode(), body, self.headers["Host"].encode()])
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
    do_GET = do_POST
    def log_message(self, *arguments):
        pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;

const BOOTSTRAP: &str = r#"#!/usr/bin/python3.11
import json, os, sys, urllib.error, urllib.request
base = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/"
def post(path, value, headers={}):
    data = json.dumps(value).encode()
    try:
        return urllib.request.urlopen(urllib.request.Request(base + path, data, headers)).status
    except urllib.error.HTTPError as error:
        return error.code
if os.environ.get("FAIL"):
    post("init/error", {"errorMessage": "no luck", "errorType": "Init.Luck"})
    sys.exit(1)
while True:
    with urllib.request.urlopen(base + "invocation/next") as work:
        id = work.headers["Lambda-Runtime-Aws-Request-Id"]
        event = json.load(work)
        seen = {name.lower(): value for name, value in work.headers.items() if name.lower().startswith("lambda-")}
    if event.get("do") == "raise":
        post("invocation/" + id + "/error", {"errorMessage": "bad", "errorType": "Bad", "stackTrace": ["here"]})
    elif event.get("do") == "exit":
        sys.exit(5)
    elif event.get("do") == "large":
        print("status", post("invocation/" + id + "/response", "x" * (6 * 1024 * 1024 + 200)), flush=True)
    else:
        wrong = post("invocation/wrong/response", "not mine")
        post("invocation/" + id + "/response", {"event": event, "wrong": wrong, "headers": seen})
"#;

fn request(method: &str, target: &str, body: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri(target).header("host", "hello.localhost");
    request.body(body::full(body.to_owned())).unwrap()
}

async fn serve(
    world: &World,
    version: &Arc<Version>,
    request: Request<Body>,
) -> Result<Response<Body>, Unserved> {
    world.worker.serve(Arc::clone(version), request).await
}

async fn text(response: Response<Body>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

fn wsgi(world: &World) -> Arc<Version> {
    let mut version = world.version("wsgi", &[("app.py", WSGI)]);
    version.handler = "app.application".to_owned();
    Arc::new(version)
}

fn own(world: &World, name: &str, code: &str) -> Version {
    let mut version = world.version(name, &[("server.py", code)]);
    version.handler = "server.py".to_owned();
    version.settings.server = Some(Server::Own);
    version
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_gets_http_as_an_event() {
    let world = World::new(Limits::default());
    let code = "def lambda_handler(event, context):\n    \
                return {'statusCode': 201, 'headers': {'X-A': 'b'}, 'body': event['rawPath'] + event['body']}\n";
    let version = Arc::new(world.version("hello", &[("lambda_function.py", code)]));
    let response = serve(&world, &version, request("POST", "/p?x=1", "body")).await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["x-a"]), (201, &"b".parse().unwrap()));
    assert_eq!(text(response).await, "/pbody");
    let code = "def lambda_handler(event, context):\n    return {'statusCode': 'x'}\n";
    let version = Arc::new(world.version("bad", &[("lambda_function.py", code)]));
    let Err(Unserved::Failed(failure)) = serve(&world, &version, request("GET", "/", "")).await else {
        panic!()
    };
    assert_eq!(failure.cause, Cause::Malformed);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_in_the_shim_answers_streams_and_fails() {
    let world = World::new(Limits::default());
    let version = wsgi(&world);
    let mut first = request("POST", "/p%20q?x", "body");
    let id = RequestId::new();
    first.extensions_mut().insert(id);
    let response = serve(&world, &version, first).await.unwrap();
    assert!(world.lines.texts().iter().any(|line| line.starts_with(&format!("START RequestId: {id} "))));
    assert_eq!(response.headers()["x-path"], "/p q");
    let answer = text(response).await;
    let (answer, pid) = answer.rsplit_once(' ').unwrap();
    assert_eq!(answer, "POST body");
    let stream = serve(&world, &version, request("GET", "/stream", "")).await.unwrap();
    assert_eq!(text(stream).await.len(), 6_553_600);
    let Err(Unserved::Failed(failure)) = serve(&world, &version, request("GET", "/raise", "")).await else {
        panic!()
    };
    assert_eq!((failure.phase, failure.error_type.as_str()), (Phase::Handler, "ValueError"));
    let broken = serve(&world, &version, request("GET", "/break", "")).await.unwrap();
    assert!(broken.into_body().collect().await.is_err());
    // A client that leaves in the middle leaves the instance in use.
    drop(serve(&world, &version, request("GET", "/stream", "")).await.unwrap());
    let again = text(serve(&world, &version, request("GET", "/", "")).await.unwrap()).await;
    assert!(again.ends_with(pid), "{again} is not of {pid}");
    let Err(Unserved::Failed(failure)) = serve(&world, &version, request("GET", "/exit", "")).await else {
        panic!()
    };
    assert_eq!(failure.cause, Cause::Exited { code: 7 });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_again_at_once_finds_its_instance_free() {
    let world = World::new(Limits::default());
    let shim = wsgi(&world);
    let own = Arc::new(own(&world, "own", OWN));
    for round in 0..50 {
        for version in [&shim, &own] {
            let method = if round % 2 == 0 { "GET" } else { "HEAD" };
            if method == "GET" || version.name == "wsgi" {
                text(serve(&world, version, request(method, "/", "")).await.unwrap()).await;
            }
        }
    }
    assert_eq!(instances(&world), 2, "{:?}", world.worker.status());
}

#[tokio::test(flavor = "multi_thread")]
async fn work_after_the_answer_does_not_hold_it_up() {
    let world = World::new(Limits::default());
    let version = wsgi(&world);
    text(serve(&world, &version, request("GET", "/", "")).await.unwrap()).await;
    let began = Instant::now();
    let mut body = serve(&world, &version, request("GET", "/after", "")).await.unwrap().into_body();
    let first = body.frame().await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), "done");
    assert!(began.elapsed() < Duration::from_millis(900), "the client waited for work after its answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_gets_events_as_requests() {
    let world = World::new(Limits::default());
    let version = wsgi(&world);
    let result = call(&world, &version, r#"{"Records": []}"#).await;
    assert_eq!(result["headers"]["x-path"], "/events");
    let body = result["body"].as_str().unwrap();
    assert!(body.starts_with(r#"POST {"Records": []} "#), "{body}");
    let http = r#"{"version":"2.0","rawPath":"/x","requestContext":{"http":{"method":"PUT"}},"body":"hi"}"#;
    let result = call(&world, &version, http).await;
    assert_eq!((&result["statusCode"], &result["headers"]["x-path"]), (&200.into(), &"/x".into()));
    assert!(result["body"].as_str().unwrap().starts_with("PUT hi "));
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_of_their_own_share_a_port_number() {
    let world = World::new(Limits::default());
    let mut versions = Vec::new();
    for (name, minor) in [("one", "0"), ("two", "1")] {
        let mut version = own(&world, name, OWN);
        version.environment =
            [("PORT".to_owned(), "5000".to_owned()), ("MINOR".to_owned(), minor.to_owned())].into();
        versions.push(Arc::new(version));
    }
    for round in 0..5 {
        for version in &versions {
            let target = format!("/{}/{round}?q", version.name);
            let response = serve(&world, version, request("POST", &target, "body")).await.unwrap();
            assert_eq!(text(response).await, format!("{target} body hello.localhost"));
        }
    }
    assert_eq!(instances(&world), 2);
    let Err(Unserved::Failed(failure)) = serve(&world, &versions[1], request("GET", "/exit", "")).await
    else {
        panic!()
    };
    assert_eq!(failure.cause, Cause::Exited { code: 7 });
    let response = serve(&world, &versions[1], request("GET", "/", "")).await.unwrap();
    assert_eq!(text(response).await, "/  hello.localhost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_up_keeps_its_instance_and_gets_what_may_be_sent_twice_again() {
    let world = World::new(Limits::default());
    let mut version = own(&world, "own", OWN);
    let mark = version.code.join("mark").display().to_string();
    version.environment = [("MARK".to_owned(), mark)].into();
    let version = Arc::new(version);
    let first = serve(&world, &version, request("GET", "/", "")).await.unwrap();
    assert_eq!(text(first).await, "/  hello.localhost");
    // The connection is kept, and the server closes it on the next request: as if it had been idle too long.
    let again = serve(&world, &version, request("GET", "/once", "")).await.unwrap();
    assert_eq!(text(again).await, "/once  hello.localhost");
    let Err(Unserved::Failed(failure)) = serve(&world, &version, request("POST", "/hang-up", "")).await
    else {
        panic!()
    };
    assert!(failure.message.contains("closed the connection"), "{}", failure.message);
    serve(&world, &version, request("GET", "/", "")).await.unwrap();
    let status = world.worker.status();
    assert_eq!(status.functions[0].instances[0].requests, 4, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_listens_is_explained() {
    let world = World::new(Limits { init_seconds: 1, ..Limits::default() });
    let cases = [
        (
            "sleeps",
            "import time\nprint('waiting', flush=True)\ntime.sleep(60)\n",
            "did not listen on a TCP port",
        ),
        (
            "exits",
            "print('waiting', flush=True)\nraise SystemExit(2)\n",
            "exit status 2 before the program listened",
        ),
    ];
    for (name, code, expected) in cases {
        let version = Arc::new(own(&world, name, code));
        let Err(Unserved::Failed(failure)) = serve(&world, &version, request("GET", "/", "")).await else {
            panic!()
        };
        assert_eq!(failure.phase, Phase::Init);
        assert!(failure.message.contains(expected), "{}", failure.message);
        assert!(failure.log_lines.contains(&"waiting".to_owned()), "{:?}", failure.log_lines);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bootstrap_speaks_the_runtime_api() {
    let world = World::new(Limits::default());
    let mut version = world.version("provided", &[("bootstrap", BOOTSTRAP)]);
    version.runtime = Runtime::Provided;
    let failing = Version { name: "failing".to_owned(), ..version.clone() };
    let version = Arc::new(version);
    let result = call(&world, &version, r#"{"a": 1}"#).await;
    assert_eq!((&result["event"]["a"], &result["wrong"]), (&1.into(), &400.into()));
    assert_eq!(result["headers"]["lambda-runtime-invoked-function-arn"], version.arn);
    assert!(result["headers"]["lambda-runtime-deadline-ms"].as_str().unwrap().len() == 13);
    let failed = invoke(&world, &version, r#"{"do": "raise"}"#).await.unwrap().failure.unwrap();
    assert_eq!((failed.error_type.as_str(), failed.message.as_str()), ("Bad", "bad"));
    let large = invoke(&world, &version, r#"{"do": "large"}"#).await.unwrap().failure.unwrap();
    assert_eq!(large.error_type, "Function.ResponseSizeTooLarge");
    let exited = invoke(&world, &version, r#"{"do": "exit"}"#).await.unwrap().failure.unwrap();
    assert_eq!(exited.cause, Cause::Exited { code: 5 });
    let environment = [("FAIL".to_owned(), "1".to_owned())].into();
    let failing = Arc::new(Version { environment, ..failing });
    let failed = invoke(&world, &failing, "{}").await.unwrap().failure.unwrap();
    assert_eq!((failed.phase, failed.error_type.as_str()), (Phase::Init, "Init.Luck"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_or_an_upgrade_never_gets_an_instance() {
    let world = World::new(Limits::default());
    let version = wsgi(&world);
    let large = request("POST", "/", &"x".repeat(6 * 1024 * 1024 + 1));
    let Err(Unserved::Refused(refusal)) = serve(&world, &version, large).await else { panic!() };
    assert!(matches!(refusal, Refusal::TooLarge { limit: 6_291_456, .. }), "{refusal}");
    let mut upgrade = request("GET", "/", "");
    upgrade.headers_mut().insert("upgrade", "websocket".parse().unwrap());
    assert_eq!(serve(&world, &version, upgrade).await.unwrap().status(), 501);
    assert_eq!(instances(&world), 0);
}
