//! A bare hyper server on tokio, as the gateway is made of: it answers every request with its body, or with
//! a line where it has none. Whatever it costs, no gateway on the same stack can cost less.

use std::convert::Infallible;
use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, server::conn::http1};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

/// Serves until it is killed.
pub(crate) fn serve(listen: SocketAddr, threads: usize) -> Result<()> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if threads > 0 {
        builder.worker_threads(threads);
    }
    builder.enable_all().build()?.block_on(accept(listen))
}

async fn accept(listen: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    writeln!(std::io::stdout(), "{}", serde_json::json!({ "listen": address.to_string() }))?;
    let tracker = TaskTracker::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tracker.spawn(async move {
            let mut builder = http1::Builder::new();
            let connection = builder.timer(TokioTimer::new());
            // A client that leaves is no news.
            let _ = connection.serve_connection(TokioIo::new(stream), service_fn(echo)).await;
        });
    }
}

async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
    let body = match body {
        Ok(body) if !body.is_empty() => body,
        _ => Bytes::from_static(b"{\"message\": \"Hello, World!\"}"),
    };
    Ok(Response::new(Full::new(body)))
}
