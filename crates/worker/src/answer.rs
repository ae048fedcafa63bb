//! The way of a streamed answer from an instance to whoever asked.
//!
//! [`Answer`] is held by the task that reads the instance; the other side gets a response whose body is
//! fed by it. A client that reads slowly does not hold an instance: up to [`BUFFER`] bytes wait for it here,
//! and only beyond that does the instance have to wait too. Whoever holds an `Answer`
//! ends it with `finish`, `fail` or `whole`.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::response::Parts;
use http_body::Frame;
use http_body_util::BodyExt as _;
use tokio::sync::{Semaphore, mpsc, oneshot};
use types::body::{self, Body};
use types::failure::Failure;
use types::invocation::Unserved;

/// Bytes of an answer that may wait for the client.
const BUFFER: u32 = 8 * 1024 * 1024;

/// Where the head of an answer goes.
pub(crate) type Head = oneshot::Sender<Result<http::Response<Body>, Unserved>>;

/// The giving side of one answer.
#[derive(Debug)]
pub(crate) struct Answer {
    head: Option<Head>,
    body: Option<Stream>,
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
    pub fn new(head: Head) -> Self {
        Self { head: Some(head), body: None }
    }

    /// Whether the client has its head, so that a failure can only break the body.
    pub fn has_begun(&self) -> bool {
        self.head.is_none()
    }

    /// Sends the head; the body follows by [`Self::chunk`].
    pub fn begin(&mut self, parts: Parts) {
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
        let Some(stream) = &self.body else { return false };
        if bytes.is_empty() {
            return !stream.chunks.is_closed();
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

    /// Ends the body as it should.
    pub fn finish(mut self) {
        self.body = None;
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
