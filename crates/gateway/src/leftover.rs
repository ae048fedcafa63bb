//! Keeps hold of a request's body that was refused before it was read.
//!
//! [`keep`] wraps the body; when the wrapper is dropped before its end, the rest comes back through
//! [`Leftover`]. [`discard`] then reads it away, bounded in bytes and time. Without this a client that
//! is still sending sees its connection reset before it can read the refusal. A client that asks first
//! (`Expect: 100-continue`) sends nothing more once refused, so nothing is kept of it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::oneshot;
use types::body::{Body, Error};

/// The most that is read only to be thrown away.
const MOST_BYTES: u64 = 64 * types::limits::MIB;
/// The longest that reading it away may take.
const MOST_TIME: Duration = Duration::from_secs(10);

/// Receives the unread rest of a body.
pub(crate) type Leftover = oneshot::Receiver<Body>;

/// A body that is given back when it is dropped before its end.
struct Kept {
    body: Option<Body>,
    back: Option<oneshot::Sender<Body>>,
}

// === impl Kept ===

impl http_body::Body for Kept {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(body) = self.body.as_mut() else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let (Some(body), Some(back)) = (self.body.take(), self.back.take()) {
            // Nobody listens where the request was answered: then the rest goes with the connection.
            let _unread = back.send(body);
        }
    }
}

/// Wraps a request's body so that what stays unread can be had back.
pub(crate) fn keep(request: http::Request<Body>) -> (http::Request<Body>, Leftover) {
    let (back, leftover) = oneshot::channel();
    let nothing = request.body().is_end_stream();
    if nothing || request.headers().contains_key(http::header::EXPECT) {
        return (request, leftover);
    }
    let request = request.map(|body| Kept { body: Some(body), back: Some(back) }.boxed_unsync());
    (request, leftover)
}

/// Reads away what was left unread, if the body has been let go of.
pub(crate) async fn discard(mut leftover: Leftover) {
    let Ok(mut body) = leftover.try_recv() else { return };
    let reading = async {
        let mut read = 0;
        while let Some(Ok(frame)) = body.frame().await {
            read += frame.data_ref().map_or(0, |data| data.len() as u64);
            if read > MOST_BYTES {
                return;
            }
        }
    };
    if tokio::time::timeout(MOST_TIME, reading).await.is_err() {
        tracing::debug!("gave up on a slow client that was refused");
    }
}
