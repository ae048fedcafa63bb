//! The way of a streamed answer from an instance to whoever asked.
//!
//! [`Answer`] is held by the task that reads the instance; the other side gets a response whose body is
//! fed by it. A client that reads slowly does not hold an instance: up to [`BUFFER`] bytes wait for it here,
//! and only beyond that does the instance have to wait too. Whatever tells the client that the answer is whole
//! is kept back until [`Answer::finish`], which comes after the lease is released, or [`Answer::release`] where
//! that takes long: the client's next request is then not ahead of its instance. Whoever holds an `Answer`
//! ends it with `finish`, `fail` or `whole`.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::response::Parts;
use http::{Method, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt as _;
use tokio::sync::{Semaphore, mpsc, oneshot};
use types::body::{self, Body};
use types::failure::Failure;
use types::invocation::Unserved;
use types::summary::Summary;

/// Bytes of an answer that may wait for the client.
const BUFFER: u32 = 8 * 1024 * 1024;

/// Where the head of an answer goes.
pub(crate) type Head = oneshot::Sender<Result<http::Response<Body>, Unserved>>;

/// The giving side of one answer.
#[derive(Debug)]
pub(crate) struct Answer {
    head: Option<Head>,
    body: Option<Stream>,
    last: Last,
    /// Bytes of the body still to come, where the head says how many.
    left: Option<u64>,
    /// Whether the request's method leaves the answer without a body.
    bodyless: bool,
    /// What the head says of what the request costs, where it is to say it.
    summary: Option<Box<Summary>>,
    /// Bytes of the body that the instance has given.
    given: u64,
}

/// What is kept back.
#[derive(Debug)]
enum Last {
    Nothing,
    /// The head of an answer without a body.
    Head(Box<Parts>),
    /// The last bytes of a body of known length.
    Chunk(Bytes),
}

#[derive(Debug)]
struct Stream {
    chunks: mpsc::UnboundedSender<Result<Bytes, body::Error>>,
    room: Arc<Semaphore>,
}

/// The taking side of a body.
struct Arriving {
    chunks: mpsc::UnboundedReceiver<Result<Bytes, body::Error>>,
    room: Arc<Semaphore>,
}

// === impl Answer ===

impl Answer {
    /// An answer to a request with this method.
    pub fn new(head: Head, method: &Method) -> Self {
        let bodyless = *method == Method::HEAD;
        Self {
            head: Some(head),
            body: None,
            last: Last::Nothing,
            left: None,
            bodyless,
            summary: None,
            given: 0,
        }
    }

    /// Whether the instance has given a head.
    pub fn has_begun(&self) -> bool {
        self.head.is_none() || matches!(self.last, Last::Head(_))
    }

    /// What its head is to say of what the request costs.
    pub fn announce(&mut self, summary: Summary) {
        self.summary = Some(Box::new(summary));
    }

    /// Bytes of the body that the instance has given so far.
    pub fn given(&self) -> u64 {
        self.given
    }

    /// Sends the head; the body follows by [`Self::chunk`].
    pub fn begin(&mut self, mut parts: Parts) {
        if let Some(summary) = &self.summary {
            summary.write(&mut parts.headers);
        }
        let length = parts.headers.get(CONTENT_LENGTH);
        self.left = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let none = matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if self.bodyless || none || self.left == Some(0) {
            self.last = Last::Head(Box::new(parts));
        } else {
            self.send_head(parts);
        }
    }

    fn send_head(&mut self, parts: Parts) {
        let Some(head) = self.head.take() else { return };
        let (chunks, receiver) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(BUFFER as usize));
        self.body = Some(Stream { chunks, room: Arc::clone(&room) });
        let arriving = Arriving { chunks: receiver, room };
        // A client that has gone is noticed with the first chunk.
        drop(head.send(Ok(http::Response::from_parts(parts, arriving.boxed_unsync()))));
    }

    /// Sends a part of the body once there is room. `false`: the client has gone.
    pub async fn chunk(&mut self, bytes: Bytes) -> bool {
        self.given += bytes.len() as u64;
        let Some(stream) = &self.body else { return !self.is_gone() };
        if bytes.is_empty() {
            return !stream.chunks.is_closed();
        }
        if let Some(left) = &mut self.left {
            let length = bytes.len() as u64;
            if length >= *left {
                self.last = Last::Chunk(bytes);
                return true;
            }
            *left -= length;
        }
        let permits = u32::try_from(bytes.len()).unwrap_or(BUFFER).min(BUFFER);
        tokio::select! {
            room = stream.room.acquire_many(permits) => match room {
                Ok(room) => room.forget(),
                Err(_) => return false,
            },
            () = stream.chunks.closed() => return false,
        }
        stream.chunks.send(Ok(bytes)).is_ok()
    }

    /// Done when the client has gone.
    pub async fn gone(&mut self) {
        match (&mut self.head, &self.body) {
            (Some(head), _) => head.closed().await,
            (None, Some(stream)) => stream.chunks.closed().await,
            (None, None) => {}
        }
    }

    fn is_gone(&self) -> bool {
        self.head.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    /// Whether all that the client waits for is here and kept back.
    pub fn is_whole(&self) -> bool {
        !matches!(self.last, Last::Nothing)
    }

    /// Gives the client what was kept back.
    pub fn release(&mut self) {
        match std::mem::replace(&mut self.last, Last::Nothing) {
            Last::Nothing => {}
            Last::Head(parts) => self.send_head(*parts),
            Last::Chunk(bytes) => {
                if let Some(stream) = &self.body {
                    // There is room for it: nothing follows that would have to wait.
                    drop(stream.chunks.send(Ok(bytes)));
                }
            }
        }
    }

    /// Ends the answer as it should. Comes after the instance is free again.
    pub fn finish(mut self) {
        self.release();
    }

    /// Ends the answer with a failure: instead of the head, or in the middle of the body.
    pub fn fail(mut self, failure: Failure) {
        if let Some(head) = self.head.take() {
            drop(head.send(Err(Unserved::Failed(Box::new(failure)))));
        } else if let Some(stream) = self.body.take() {
            drop(stream.chunks.send(Err(failure.message.into())));
        }
    }

    /// Gives an answer that is whole, or none.
    pub fn whole(mut self, answer: Result<http::Response<Body>, Unserved>) {
        if let Some(head) = self.head.take() {
            drop(head.send(answer));
        }
    }
}

// === impl Arriving ===

impl http_body::Body for Arriving {
    type Data = Bytes;
    type Error = body::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, body::Error>>> {
        self.chunks.poll_recv(context).map(|chunk| {
            chunk.map(|chunk| {
                let bytes = chunk?;
                self.room.add_permits(bytes.len().min(BUFFER as usize));
                Ok(Frame::data(bytes))
            })
        })
    }
}
