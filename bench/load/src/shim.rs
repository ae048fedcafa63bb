//! Drives shims over their socketpairs, as `docs/protocols/frames.md` describes: what an instance can do
//! when nothing stands before it. One request at a time per shim, from one blocking thread each.

use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::arguments::Shim;
use crate::load::{charge, nanoseconds};
use crate::processes;
use crate::summary::Seen;

const EVENT: u8 = 1;
const REQUEST: u8 = 2;
const READY: u8 = 16;
const RESULT: u8 = 18;
const FAILED: u8 = 19;
const END: u8 = 22;
/// Bytes of a frame after its length and before its head.
const FIXED: usize = 9;
/// The socket comes as standard input and is moved to where shims look for it.
const MOVE: &str = "exec 3<&0 </dev/null; exec \"$@\"";

/// One shim that is ready.
struct Driven {
    child: Child,
    socket: UnixStream,
    frame: Vec<u8>,
    buffer: Vec<u8>,
}

/// Drives shims for the asked time.
pub(crate) fn drive(options: &Shim) -> Result<Value> {
    let mut shims = (0..options.shims).map(|_| Driven::start(options)).collect::<Result<Vec<_>>>()?;
    let roots: Vec<u32> = shims.iter().map(|shim| shim.child.id()).collect();
    let counts_from = Instant::now() + Duration::try_from_secs_f64(options.warm_up)?;
    let until = counts_from + Duration::try_from_secs_f64(options.seconds)?;
    let (seen, spent) = thread::scope(|scope| -> Result<_> {
        let threads: Vec<_> =
            shims.iter_mut().map(|shim| scope.spawn(move || shim.run(counts_from, until))).collect();
        thread::sleep(counts_from.saturating_duration_since(Instant::now()));
        let before = processes::cpu_times(&roots);
        thread::sleep(until.saturating_duration_since(Instant::now()));
        let spent = processes::spent(&before, &processes::cpu_times(&roots));
        let mut all = Seen::default();
        for thread in threads {
            all.merge(thread.join().map_err(|_| anyhow::anyhow!("a driver panicked"))??);
        }
        Ok((all, spent))
    })?;
    let requests = seen.latencies.len() as u64;
    let mut report = seen.report("shim", options.seconds);
    if let Some(report) = report.as_object_mut() {
        report.insert("shims".to_owned(), json!(options.shims));
        charge(report, &spent, requests);
    }
    Ok(report)
}

// === impl Driven ===

impl Driven {
    fn start(options: &Shim) -> Result<Self> {
        let (socket, theirs) = UnixStream::pair()?;
        let directory = options.directory.canonicalize().context("the function's directory")?;
        let child = Command::new("/bin/sh")
            .args(["-c", MOVE, "sh"])
            .args(&options.command)
            .env("LAMBDA_TASK_ROOT", &directory)
            .env("_HANDLER", &options.handler)
            .env("LAMBENT_FRAMES_FD", "3")
            .env("AWS_LAMBDA_FUNCTION_NAME", "load")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .spawn()
            .context("the shim's command cannot be run")?;
        let mut driven = Self { child, socket, frame: Vec::new(), buffer: Vec::new() };
        let (kind, head) = driven.receive()?;
        if kind != READY {
            bail!("the shim is not ready: {}", String::from_utf8_lossy(&head));
        }
        let ready: Value = serde_json::from_slice(&head)?;
        driven.frame = if ready.get("serves") == Some(&json!("handler")) { event() } else { request() };
        Ok(driven)
    }

    fn run(&mut self, counts_from: Instant, until: Instant) -> Result<Seen> {
        let mut seen = Seen::default();
        loop {
            let begin = Instant::now();
            if begin >= until {
                return Ok(seen);
            }
            self.socket.write_all(&self.frame)?;
            loop {
                match self.receive()? {
                    (RESULT | END, _) => break,
                    (FAILED, head) => bail!("the shim failed: {}", String::from_utf8_lossy(&head)),
                    _ => {}
                }
            }
            if begin >= counts_from {
                seen.latencies.push(nanoseconds(begin.elapsed()));
            }
        }
    }

    /// The next frame's kind and everything after its stream.
    fn receive(&mut self) -> Result<(u8, Vec<u8>)> {
        loop {
            if let Some((length, rest)) = self.buffer.split_first_chunk::<4>() {
                let length = u32::from_be_bytes(*length) as usize;
                if let Some(frame) = rest.get(..length) {
                    let kind = frame.first().copied().unwrap_or(0);
                    let head = frame.get(FIXED..).unwrap_or_default().to_vec();
                    self.buffer.drain(..4 + length);
                    return Ok((kind, head));
                }
            }
            let mut chunk = [0; 16 * 1024];
            let length = self.socket.read(&mut chunk)?;
            if length == 0 {
                bail!("the shim has closed its socket");
            }
            self.buffer.extend_from_slice(chunk.get(..length).unwrap_or_default());
        }
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An event such as the gateway makes of a GET.
fn event() -> Vec<u8> {
    let id = "3f2b8a6e-5d4c-4b3a-9f1e-0d2c4b6a8e01";
    let head = json!({
        "request_id": id,
        "deadline_ms": 4_000_000_000_000_u64,
        "arn": "arn:aws:lambda:us-east-1:000000000000:function:load",
        "trace": "Root=1-6923a0c0-9f1e0d2c4b6a8e013f2b8a6e",
    });
    let body = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/",
        "rawQueryString": "",
        "headers": {
            "accept": "*/*",
            "host": "load.localhost:8080",
            "x-amzn-trace-id": "Root=1-6923a0c0-9f1e0d2c4b6a8e013f2b8a6e",
            "x-forwarded-for": "127.0.0.1",
            "x-forwarded-host": "load.localhost:8080",
            "x-forwarded-port": "8080",
            "x-forwarded-proto": "http",
        },
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "load",
            "domainName": "load.localhost:8080",
            "domainPrefix": "load",
            "http": {
                "method": "GET",
                "path": "/",
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": null,
            },
            "requestId": id,
            "routeKey": "$default",
            "stage": "$default",
            "time": "23/Nov/2026:00:00:00 +0000",
            "timeEpoch": 1_795_392_000_000_u64,
        },
        "isBase64Encoded": false,
    });
    frame(EVENT, &head, body.to_string().as_bytes())
}

/// A request such as the gateway passes on.
fn request() -> Vec<u8> {
    let head = json!({
        "request_id": "3f2b8a6e-5d4c-4b3a-9f1e-0d2c4b6a8e01",
        "deadline_ms": 4_000_000_000_000_u64,
        "method": "GET",
        "target": "/",
        "headers": [
            ["host", "load.localhost:8080"],
            ["accept", "*/*"],
            ["x-forwarded-for", "127.0.0.1"],
            ["x-forwarded-host", "load.localhost:8080"],
            ["x-forwarded-port", "8080"],
            ["x-forwarded-proto", "http"],
            ["x-amzn-trace-id", "Root=1-6923a0c0-9f1e0d2c4b6a8e013f2b8a6e"],
        ],
        "scheme": "http",
        "host": "load.localhost:8080",
        "client": ["127.0.0.1", 0],
    });
    frame(REQUEST, &head, b"")
}

fn frame(kind: u8, head: &Value, body: &[u8]) -> Vec<u8> {
    let head = head.to_string();
    let length = u32::try_from(FIXED + head.len() + body.len()).unwrap_or(0);
    let head_length = u32::try_from(head.len()).unwrap_or(0);
    [
        &length.to_be_bytes()[..],
        &[kind],
        &1_u32.to_be_bytes(),
        &head_length.to_be_bytes(),
        head.as_bytes(),
        body,
    ]
    .concat()
}
