//! An instance that is a web server of its own: spoken to in HTTP over its own socket.
//!
//! One connection at a time, kept alive between requests and made anew when the server has closed it
//! (Flask's does after each answer) or may be about to: servers close what is idle for a few seconds, and a
//! new connection costs less than losing that race. A request that the closed connection never carried is
//! sent again; one whose fate is unknown only if its method allows that.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::answer::Answer;
use crate::call::{Fault, HttpCall, is_hop_by_hop};
use crate::launcher::Tree;

/// Connections that may turn out closed before a request is given up.
const ATTEMPTS: u32 = 4;
/// How long a connection may have been idle to be used again.
const KEEP_ALIVE: Duration = Duration::from_secs(1);

/// One server that listens.
pub(crate) struct Server {
    pub address: SocketAddr,
    tree: Arc<dyn Tree>,
    tracker: TaskTracker,
    kept: Mutex<Option<Kept>>,
}

/// A connection between requests.
struct Kept {
    sender: SendRequest<Full<Bytes>>,
    since: Instant,
}

// === impl Server ===

impl Server {
    pub fn new(tree: Arc<dyn Tree>, address: SocketAddr, tracker: TaskTracker) -> Self {
        Self { address, tree, tracker, kept: Mutex::new(None) }
    }

    /// Passes a request and streams its answer.
    pub async fn serve(&self, call: &HttpCall, answer: &mut Answer) -> Result<(), Fault> {
        let response = self.send(call).await?;
        let (mut parts, mut body) = response.into_parts();
        let connection_only: Vec<_> =
            parts.headers.keys().filter(|name| is_hop_by_hop(name.as_str())).cloned().collect();
        for name in connection_only {
            parts.headers.remove(name);
        }
        parts.version = http::Version::HTTP_11;
        answer.begin(parts);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Fault::Broken)?;
            if let Ok(bytes) = frame.into_data()
                && !answer.chunk(bytes).await
            {
                // The client has gone. Closing the connection is how HTTP tells the server.
                *self.kept.lock().await = None;
                return Ok(());
            }
        }
        Ok(())
    }

    async fn send(&self, call: &HttpCall) -> Result<http::Response<Incoming>, Fault> {
        let mut request = Some(upstream(call)?);
        let mut kept = self.kept.lock().await;
        for _ in 0..ATTEMPTS {
            let Some(message) = request.take() else { return Err(Fault::Broken) };
            let (mut sender, used) = match reusable(kept.take()).await {
                Some(sender) => (sender, true),
                None => (self.connect().await?, false),
            };
            match sender.try_send_request(message).await {
                Ok(response) => {
                    *kept = Some(Kept { sender, since: Instant::now() });
                    return Ok(response);
                }
                Err(mut error) => match error.take_message() {
                    // Given back: the connection was closed before it carried anything.
                    Some(message) => request = Some(message),
                    None if used && call.parts.method.is_idempotent() => request = Some(upstream(call)?),
                    None => return Err(Fault::Broken),
                },
            }
        }
        Err(Fault::NotSent)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Fault> {
        let stream = Arc::clone(&self.tree).connect(self.address).await.map_err(|error| {
            tracing::debug!(%error, address = %self.address, "cannot connect to an instance");
            Fault::NotSent
        })?;
        // Small writes are the rule here; failing to say so only costs time.
        let _ = stream.set_nodelay(true);
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|_| Fault::NotSent)?;
        self.tracker.spawn(async move {
            if let Err(error) = connection.await {
                tracing::trace!(%error, "an instance's connection ended");
            }
        });
        Ok(sender)
    }
}

/// A kept connection, if it is still open and fresh.
async fn reusable(kept: Option<Kept>) -> Option<SendRequest<Full<Bytes>>> {
    let Kept { mut sender, since } = kept?;
    if since.elapsed() > KEEP_ALIVE {
        return None;
    }
    sender.ready().await.ok()?;
    Some(sender)
}

/// The request as the server gets it.
fn upstream(call: &HttpCall) -> Result<Request<Full<Bytes>>, Fault> {
    let malformed = |error: &dyn std::fmt::Display| Fault::Malformed(format!("the request: {error}"));
    let mut request = Request::new(Full::new(call.body.clone()));
    *request.method_mut() = call.parts.method.clone();
    *request.uri_mut() = call.target().parse::<Uri>().map_err(|error| malformed(&error))?;
    for (name, value) in &call.parts.headers {
        let ours = matches!(*name, header::CONTENT_LENGTH | header::EXPECT | header::HOST);
        if !ours && !is_hop_by_hop(name.as_str()) {
            request.headers_mut().append(name, value.clone());
        }
    }
    let host = HeaderValue::from_str(&call.host()).map_err(|error| malformed(&error))?;
    request.headers_mut().insert(header::HOST, host);
    Ok(request)
}
