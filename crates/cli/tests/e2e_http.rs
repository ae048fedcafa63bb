//! HTTP as clients really speak it, through the gateway to a web application and back: nothing is
//! buffered that could stream, nothing is passed on that could be read in two ways.
#![expect(clippy::unwrap_used, reason = "a test's panic is its verdict")]

mod fixture;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use fixture::{SOON, create, world, zipped};
use testkit::{Client, World};

/// A bare WSGI application with one path per test.
const APPLICATION: &str = r#"
import time

def application(environ, start_response):
    path = environ['PATH_INFO']
    if path == '/stream':
        start_response('200 OK', [('Content-Type', 'text/plain')])
        def parts():
            yield b'first\n'
            time.sleep(2)
            yield b'last\n'
        return parts()
    if path == '/echo':
        body = environ['wsgi.input'].read()
        text = '%s %s %d' % (environ['REQUEST_METHOD'], environ.get('QUERY_STRING', ''), len(body))
        start_response('200 OK', [('Content-Type', 'text/plain'), ('Set-Cookie', 'a=1'), ('Set-Cookie', 'b=2')])
        return [text.encode()]
    if path == '/teapot':
        start_response("418 I'm a teapot", [])
        return [b'short and stout']
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [('\n'.join('%s=%s' % item for item in sorted(environ.items()) if item[0].startswith('HTTP_'))).encode()]
"#;

const HOST: &str = "web.localhost";

#[test]
fn an_answer_streams_as_it_is_made() {
    let world = deployed();
    assert_eq!(world.get(HOST, "/teapot").unwrap().status, 418, "warm, so that only the stream takes time");
    let mut stream = connected(&world);
    write!(stream, "GET /stream HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n").unwrap();
    let begun = Instant::now();
    let mut lines = BufReader::new(stream).lines().map(|line| line.unwrap());
    assert!(lines.by_ref().any(|line| line == "first"));
    assert!(begun.elapsed() < Duration::from_millis(1500), "the first part came after {:?}", begun.elapsed());
    assert!(lines.any(|line| line == "last"));
}

#[test]
fn methods_bodies_and_repeated_headers_arrive() {
    let world = deployed();
    let mut client = Client::keeping_alive(world.ready().gateway);
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let body = vec![b'x'; 100_000];
        let answer = client.request(method, HOST, "/echo?a=1&a=2", &[], &body).unwrap();
        assert_eq!(answer.text(), format!("{method} a=1&a=2 100000"));
        let cookies = answer.headers.iter().filter(|(name, _)| name == "set-cookie").count();
        assert_eq!(cookies, 2);
    }
    let head = client.request("HEAD", HOST, "/echo", &[], b"").unwrap();
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[test]
fn chunked_bodies_and_old_clients_are_understood() {
    let world = deployed();
    let chunked = format!(
        "POST /echo HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
         5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    );
    let answer = exchange(&world, &chunked);
    assert!(answer.contains("\nPOST  11\r\n"), "{answer}");
    let old = format!("GET /teapot HTTP/1.0\r\nHost: {HOST}\r\n\r\n");
    let answer = exchange(&world, &old);
    assert!(answer.starts_with("HTTP/1.0 418") && answer.contains("short and stout"), "{answer}");
    let patient = format!(
        "POST /echo HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    );
    let mut stream = connected(&world);
    stream.write_all(patient.as_bytes()).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 100"), "{line}");
    stream.write_all(b"hello").unwrap();
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("\nPOST  5\r\n"), "{rest}");
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let world = deployed();
    for (name, request) in [
        (
            "two lengths",
            "POST /echo HTTP/1.1\r\nHost: web.localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        ),
        (
            "a length that is none",
            "POST /echo HTTP/1.1\r\nHost: web.localhost\r\nContent-Length: +5\r\n\r\nhello",
        ),
        ("a space before the colon", "GET /echo HTTP/1.1\r\nHost: web.localhost\r\nX-A : 1\r\n\r\n"),
        ("no version", "GET /echo\r\nHost: web.localhost\r\n\r\n"),
        (
            "a chunk size that is none",
            "POST /echo HTTP/1.1\r\nHost: web.localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
        ),
    ] {
        let answer = exchange(&world, request);
        assert!(!answer.starts_with("HTTP/1.1 200"), "{name}: {answer}");
    }
    // A length beside chunks: the chunks count (RFC 9112, 6.1), and no byte is left for a second request.
    let both = "POST /echo HTTP/1.1\r\nHost: web.localhost\r\nContent-Length: 60\r\nTransfer-Encoding: chunked\r\n\r\n\
                0\r\n\r\nGET /teapot HTTP/1.1\r\nHost: web.localhost\r\nConnection: close\r\n\r\n";
    let answer = exchange(&world, both);
    assert!(answer.starts_with("HTTP/1.1 400") || answer.contains("POST  0"), "{answer}");
}

#[test]
fn a_head_over_the_limit_is_refused_and_others_go_on() {
    let world = deployed();
    let long = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nX-Long: {}\r\n\r\n", "x".repeat(200_000));
    let answer = exchange(&world, &long);
    assert!(answer.starts_with("HTTP/1.1 431") || answer.is_empty(), "{answer}");
    let many = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n{}\r\n", "X-A: 1\r\n".repeat(500));
    assert!(exchange(&world, &many).starts_with("HTTP/1.1 431"));
    assert_eq!(world.get(HOST, "/teapot").unwrap().status, 418);
}

#[test]
fn a_function_url_and_the_functions_name_lead_to_the_same() {
    let world = deployed();
    let path = "/2021-10-31/functions/web/url";
    let url: serde_json::Value = serde_json::from_slice(&world.aws("GET", path, "").unwrap().body).unwrap();
    let url = url.get("FunctionUrl").and_then(|url| url.as_str()).unwrap().to_owned();
    let host = url.strip_prefix("http://").unwrap().trim_end_matches('/').to_owned();
    assert!(host.contains(".lambda-url.us-east-1.localhost:"), "{host}");
    assert!(host.ends_with(&format!(":{}", world.ready().gateway.port())), "{host}");
    let seen = world.get(&host, "/").unwrap().text();
    assert!(seen.contains(&format!("HTTP_HOST={host}")), "{seen}");
    assert!(seen.contains("HTTP_X_FORWARDED_FOR=127.0.0.1"), "{seen}");
    assert_eq!(world.get("WEB.localhost", "/teapot").unwrap().status, 418, "hosts have no case");
    assert_eq!(world.get("nobody.localhost", "/").unwrap().status, 404);
}

#[test]
fn a_client_that_leaves_a_stream_frees_the_instance() {
    let world = deployed();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let mut stream = connected(&world);
            write!(stream, "GET /stream HTTP/1.1\r\nHost: {HOST}\r\n\r\n").unwrap();
            thread::spawn(move || {
                let mut lines = BufReader::new(stream).lines().map(|line| line.unwrap());
                assert!(lines.any(|line| line == "first"));
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    let begun = Instant::now();
    for _ in 0..8 {
        assert_eq!(world.get(HOST, "/teapot").unwrap().status, 418);
    }
    assert!(begun.elapsed() < SOON);
}

fn deployed() -> World {
    let world = world().start().unwrap();
    let made = create(&world, "web", &zipped(&[("app.py", APPLICATION)]), "app.application");
    assert_eq!(made.status, 201, "{}", made.text());
    let url = world.aws("POST", "/2021-10-31/functions/web/url", r#"{"AuthType":"NONE"}"#).unwrap();
    assert_eq!(url.status, 201, "{}", url.text());
    world
}

fn connected(world: &World) -> TcpStream {
    let stream = TcpStream::connect(world.ready().gateway).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

/// Sends these bytes and reads until the gateway closes or says no more.
fn exchange(world: &World, request: &str) -> String {
    let mut stream = connected(world);
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    // A server may refuse before it has read everything.
    let _refused = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _closed_or_silent = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}
