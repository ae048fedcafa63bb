//! An instance that is spoken to by native frames: our shim in a language runtime.
//!
//! One request at a time owns the connection, so nothing has to be sorted: a frame of another stream than
//! the current one is a breach of the protocol, and the instance is given up.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::codec::{Frame, Kind};
use super::connection::{Connection, ReceiveError};
use super::head::{self, Serves};
use crate::answer::Answer;
use crate::call::{EventCall, Fault, HttpCall, is_hop_by_hop};

/// How long a whole answer is kept back for the shim to be free again.
const AFTERWORK: Duration = Duration::from_millis(5);

/// One shim that is ready.
#[derive(Debug)]
pub(crate) struct Shim {
    pub serves: Serves,
    /// Why it must not be forked, as far as it can tell itself.
    pub unshareable: Option<String>,
    line: Mutex<Line>,
}

#[derive(Debug)]
struct Line {
    connection: Connection,
    stream: u32,
}

// === impl Shim ===

impl Shim {
    /// Waits for the shim's first frame.
    pub async fn init(mut connection: Connection) -> Result<Self, Fault> {
        let frame = connection.receive().await.map_err(fault)?;
        match frame.kind {
            Kind::Ready => {
                let ready: head::Ready = parse(&frame)?;
                tracing::debug!(found = ready.found, "shim is ready");
                if ready.serves == Serves::Own {
                    return Err(unexpected(&frame));
                }
                let line = Mutex::new(Line { connection, stream: 0 });
                Ok(Self { serves: ready.serves, unshareable: ready.unshareable, line })
            }
            Kind::InitFailed => Err(Fault::Raised(parse(&frame)?)),
            _ => Err(unexpected(&frame)),
        }
    }

    /// A shim that was forked from one that serves `serves`: it says nothing before its first answer.
    pub fn forked(connection: Connection, serves: Serves) -> Self {
        Self { serves, unshareable: None, line: Mutex::new(Line { connection, stream: 0 }) }
    }

    /// Calls the handler. Not to be dropped half way unless the instance is given up too.
    pub async fn invoke(&self, call: &EventCall) -> Result<Bytes, Fault> {
        let mut line = self.line.lock().await;
        let stream = line.next();
        let sent = line.connection.send(Kind::Event, stream, &head::Event(call), &call.event.payload).await;
        sent.map_err(|_| Fault::NotSent)?;
        let frame = line.receive(stream).await?;
        match frame.kind {
            Kind::Result => Ok(frame.body),
            Kind::Failed => Err(Fault::Raised(parse(&frame)?)),
            _ => Err(unexpected(&frame)),
        }
    }

    /// Passes a request to the web application and its answer to `answer`.
    pub async fn serve(&self, call: &HttpCall, answer: &mut Answer) -> Result<(), Fault> {
        let mut line = self.line.lock().await;
        let stream = line.next();
        let sent = line.connection.send(Kind::Request, stream, &head::Request(call), &call.body).await;
        sent.map_err(|_| Fault::NotSent)?;
        let mut wanted = true;
        loop {
            let frame = tokio::select! {
                frame = line.connection.receive() => frame.map_err(fault)?,
                () = tokio::time::sleep(AFTERWORK), if answer.is_whole() => {
                    // Something goes on after the answer (a background task): the client need not wait.
                    answer.release();
                    continue;
                }
                () = answer.gone(), if wanted => {
                    wanted = false;
                    // The shim still ends the stream, so the instance stays of use.
                    let cancel = line.connection.send(Kind::Cancel, stream, &head::Nothing, &[]).await;
                    cancel.map_err(|_| Fault::Broken)?;
                    continue;
                }
            };
            if frame.stream != stream {
                return Err(astray(&frame));
            }
            match frame.kind {
                Kind::Head if !answer.has_begun() => {
                    answer.begin(response_head(&frame)?);
                    answer.chunk(frame.body).await;
                }
                Kind::Chunk if answer.has_begun() => drop(answer.chunk(frame.body).await),
                Kind::End if answer.has_begun() => {
                    answer.chunk(frame.body).await;
                    return Ok(());
                }
                Kind::End if !wanted => return Ok(()),
                Kind::Failed => return Err(Fault::Raised(parse(&frame)?)),
                _ => return Err(unexpected(&frame)),
            }
        }
    }
}

// === impl Line ===

impl Line {
    fn next(&mut self) -> u32 {
        // 0 is for frames about the instance.
        self.stream = self.stream.checked_add(1).unwrap_or(1);
        self.stream
    }

    async fn receive(&mut self, stream: u32) -> Result<Frame, Fault> {
        let frame = self.connection.receive().await.map_err(fault)?;
        if frame.stream == stream { Ok(frame) } else { Err(astray(&frame)) }
    }
}

/// What a program that was to be an ember says when it would begin to listen.
pub(crate) enum Held {
    /// It waits to be forked, unless it knows better itself.
    Waits { unshareable: Option<String> },
    /// It listens.
    Listens { address: SocketAddr, unshareable: String },
}

/// Waits for it.
pub(crate) async fn held(connection: &mut Connection) -> Result<Held, Fault> {
    let frame = connection.receive().await.map_err(fault)?;
    match frame.kind {
        Kind::Ready => {
            let ready: head::Ready = parse(&frame)?;
            let waits = ready.serves == Serves::Own;
            if waits { Ok(Held::Waits { unshareable: ready.unshareable }) } else { Err(unexpected(&frame)) }
        }
        Kind::Listening => {
            let (address, unshareable) = listens(&frame)?;
            let unshareable = unshareable.unwrap_or_else(|| "it does not wait to be forked".to_owned());
            Ok(Held::Listens { address, unshareable })
        }
        Kind::InitFailed => Err(Fault::Raised(parse(&frame)?)),
        _ => Err(unexpected(&frame)),
    }
}

/// Lets a program go that waits to be forked: it listens itself.
pub(crate) async fn let_go(connection: &mut Connection) -> io::Result<()> {
    connection.send(Kind::Cancel, 0, &head::Nothing, &[]).await
}

/// Waits for the first frame of a shim that stands by.
pub(crate) async fn waiting(connection: &mut Connection) -> Result<(), Fault> {
    let frame = connection.receive().await.map_err(fault)?;
    if frame.kind == Kind::Waiting { Ok(()) } else { Err(unexpected(&frame)) }
}

/// Tells a shim that stands by which function it is for.
pub(crate) async fn assign(
    connection: &mut Connection,
    environment: &[(String, String)],
    directory: &Path,
) -> io::Result<()> {
    connection.send(Kind::Assign, 0, &head::Assign { environment, directory }, &[]).await
}

/// The address in the first `Listening` frame of a program that the shim only starts.
pub(crate) async fn listening(connection: &mut Connection) -> Result<SocketAddr, Fault> {
    loop {
        let frame = connection.receive().await.map_err(fault)?;
        match frame.kind {
            Kind::Listening => {
                return listens(&frame).map(|(address, _)| address);
            }
            Kind::Ready => {}
            Kind::InitFailed => return Err(Fault::Raised(parse(&frame)?)),
            _ => return Err(unexpected(&frame)),
        }
    }
}

fn listens(frame: &Frame) -> Result<(SocketAddr, Option<String>), Fault> {
    let head: head::Listening = parse(frame)?;
    let host: IpAddr = head.host.parse().map_err(|_| Fault::Malformed(head.host))?;
    Ok((SocketAddr::new(host, head.port), head.unshareable))
}

fn response_head(frame: &Frame) -> Result<http::response::Parts, Fault> {
    let head: head::Answered<'_> = parse(frame)?;
    let status = StatusCode::from_u16(head.status)
        .map_err(|_| Fault::Malformed(format!("{} is not an HTTP status", head.status)))?;
    let (mut parts, ()) = http::Response::new(()).into_parts();
    parts.status = status;
    for (head::Text(name), head::Text(value)) in &head.headers {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| Fault::Malformed(format!("`{name}` is not a header name")))?;
        if !is_hop_by_hop(name.as_str()) {
            parts.headers.append(name, header_value(value)?);
        }
    }
    Ok(parts)
}

/// A header's value from text in which each character stands for one byte.
fn header_value(text: &str) -> Result<HeaderValue, Fault> {
    let malformed = |_| Fault::Malformed("a header has a line break in it".to_owned());
    if text.is_ascii() {
        return HeaderValue::from_str(text).map_err(malformed);
    }
    let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    let bytes = bytes.unwrap_or_else(|| text.as_bytes().to_vec());
    HeaderValue::from_bytes(&bytes).map_err(malformed)
}

fn parse<'a, T: Deserialize<'a>>(frame: &'a Frame) -> Result<T, Fault> {
    serde_json::from_slice(&frame.head)
        .map_err(|error| Fault::Malformed(format!("the head of a {:?} frame: {error}", frame.kind)))
}

/// A frame that is not about the request: a newborn whose hooks have failed says so when it is asked first.
fn astray(frame: &Frame) -> Fault {
    match frame.kind {
        Kind::InitFailed => parse(frame).map_or_else(|fault| fault, Fault::Raised),
        _ => unexpected(frame),
    }
}

fn unexpected(frame: &Frame) -> Fault {
    Fault::Malformed(format!("an unexpected {:?} frame on stream {}", frame.kind, frame.stream))
}

fn fault(error: ReceiveError) -> Fault {
    match error {
        ReceiveError::Closed => Fault::Broken,
        ReceiveError::Malformed(error) => Fault::Malformed(error.to_string()),
    }
}
