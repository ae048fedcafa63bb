//! From a listener to requests: the accept loop, one task per connection, and how both end.
//!
//! A connection is made by `accept` and bounded by [`Limits`]. It ends when its client closes it, when
//! it stays silent too long, when [`Shutdown::finish`] fires and its request in progress is answered,
//! or at once when [`Shutdown::abandon`] fires. Dropping a connection drops the futures of its
//! requests, which is how the rest of the server learns that a client has gone.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::body::Body;
use types::invocation::Boxed;

use crate::leftover;

/// How long accepting rests after the kernel refused a connection for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Answers requests. The client's `SocketAddr` is in the request's extensions.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. Dropping the future means that the client has gone.
    fn handle(&self, request: http::Request<Body>) -> Boxed<http::Response<Body>>;
}

/// What connections may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once; further ones wait in the kernel's backlog.
    pub connections: usize,
    /// How long a request's head may take to arrive, and how long a connection may stay idle.
    pub head_timeout: Duration,
    /// Bytes of a request's head.
    pub head_bytes: u32,
    /// Headers of a request.
    pub headers: usize,
    /// Requests at once on one HTTP/2 connection.
    pub streams: u32,
}

/// The two stages of stopping.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Accept nothing more; answer what is in progress and close.
    pub finish: CancellationToken,
    /// Close everything now.
    pub abandon: CancellationToken,
}

/// Runs what hyper starts for HTTP/2 streams on the listener's own tracker.
#[derive(Clone)]
struct Tracked(TaskTracker);

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 8192,
            head_timeout: Duration::from_secs(60),
            head_bytes: 64 * 1024,
            headers: 128,
            streams: 256,
        }
    }
}

// === impl Tracked ===

impl<F> hyper::rt::Executor<F> for Tracked
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

// === accept ===

/// Serves a listener until [`Shutdown::finish`]; done when its last connection has ended.
pub async fn serve(listener: TcpListener, handler: Arc<dyn Handler>, limits: Limits, shutdown: Shutdown) {
    let tracker = TaskTracker::new();
    let builder = Arc::new(builder(&limits, &tracker));
    let permits = Arc::new(Semaphore::new(limits.connections));
    loop {
        // The order matters: once stopping, a waiting client is not accepted any more.
        let accepted = tokio::select! {
            biased;
            () = shutdown.finish.cancelled() => break,
            () = shutdown.abandon.cancelled() => break,
            accepted = accept(&listener, &permits) => accepted,
        };
        let Some((stream, peer, permit)) = accepted else { continue };
        let connection = Connection {
            stream,
            peer,
            handler: Arc::clone(&handler),
            builder: Arc::clone(&builder),
            limits,
            shutdown: shutdown.clone(),
            _permit: permit,
        };
        tracker.spawn(connection.run());
    }
    // The port is free from here on: the next server can take it while this one finishes.
    drop(listener);
    tracker.close();
    tracker.wait().await;
}

/// The next connection; `None` where this one came to nothing and the next may be better.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            // Answers are written whole; waiting for more to send would only delay them.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%peer, %error, "no TCP_NODELAY");
            }
            Some((stream, peer, permit))
        }
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

fn builder(limits: &Limits, tracker: &TaskTracker) -> Builder<Tracked> {
    let mut builder = Builder::new(Tracked(tracker.clone()));
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_headers(limits.headers)
        .max_buf_size(limits.head_bytes as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.head_bytes)
        .keep_alive_interval(limits.head_timeout)
        .adaptive_window(true);
    builder
}

// === impl Connection ===

/// One connection with everything its task needs.
struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    handler: Arc<dyn Handler>,
    builder: Arc<Builder<Tracked>>,
    limits: Limits,
    shutdown: Shutdown,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    async fn run(self) {
        let Self { stream, peer, handler, builder, limits, shutdown, _permit } = self;
        let asked = Arc::new(AtomicBool::new(false));
        let service = service_fn({
            let asked = Arc::clone(&asked);
            move |request: http::Request<Incoming>| {
                asked.store(true, Ordering::Relaxed);
                let (request, leftover) = leftover::keep(prepared(request, peer));
                let response = handler.handle(request);
                async move {
                    let response = response.await;
                    let status = response.status();
                    if status.is_client_error() || status.is_server_error() {
                        leftover::discard(leftover).await;
                    }
                    Ok::<_, Infallible>(response)
                }
            }
        });
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        // hyper's own timeout starts once it knows the protocol; a client that never says a word is
        // bounded here.
        let mut silence = pin!(tokio::time::sleep(limits.head_timeout));
        let (mut finishing, mut silent) = (false, true);
        loop {
            tokio::select! {
                biased;
                () = shutdown.abandon.cancelled() => return,
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%peer, error, "connection ended early");
                    }
                    return;
                }
                () = shutdown.finish.cancelled(), if !finishing => {
                    finishing = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = silence.as_mut(), if silent => {
                    if !asked.load(Ordering::Relaxed) {
                        return;
                    }
                    silent = false;
                }
            }
        }
    }
}

fn prepared(request: http::Request<Incoming>, peer: SocketAddr) -> http::Request<Body> {
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(peer);
    http::Request::from_parts(parts, body.map_err(Into::into).boxed_unsync())
}
