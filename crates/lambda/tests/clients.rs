//! The same API through the official SDK: the router on a real socket, and `tests/clients/lambda_boto3.py`
//! against it. The worker is a fake, so only its echo is checked of invocations and nothing is logged.
//!
//! Needs a Python with boto3: `LAMBENT_AWS_PYTHON`, which then has to have it, else `python3`, which may
//! lack it: then this says so and checks nothing.

#[cfg(test)]
mod support;

use std::convert::Infallible;
use std::process::{Command, Stdio};
use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use support::Platform;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

#[tokio::test]
async fn the_sdk_gets_what_it_expects() {
    let asked = std::env::var("LAMBENT_AWS_PYTHON").ok();
    let python = asked.clone().unwrap_or_else(|| "python3".to_owned());
    let has_sdk = Command::new(&python).args(["-c", "import boto3"]).stderr(Stdio::null()).status();
    if !has_sdk.is_ok_and(|status| status.success()) {
        assert!(asked.is_none(), "LAMBENT_AWS_PYTHON is `{python}`, which cannot import boto3");
        eprintln!("not run: `{python}` has no boto3 (set LAMBENT_AWS_PYTHON to one that has)");
        return;
    }
    let platform = Arc::new(Platform::new().await);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let tasks = TaskTracker::new();
    let serving = tasks.spawn(serve(listener, platform, tasks.clone()));

    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/clients/lambda_boto3.py");
    let mut command = Command::new(&python);
    command.args([script, &endpoint, "--no-invoke"]);
    let run = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    serving.abort();
    let text = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{text}\n{}", String::from_utf8_lossy(&run.stderr));
    println!("{}", text.lines().last().unwrap());
}

#[cfg(test)]
async fn serve(listener: TcpListener, platform: Arc<Platform>, tasks: TaskTracker) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let logs = services::logs::Service::new(platform.store.logs());
        let router = platform.router.clone().with(Arc::new(logs));
        let answer = service_fn(move |request: hyper::Request<Incoming>| {
            let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
            let answered = router.handle(request);
            async move { Ok::<_, Infallible>(answered.await) }
        });
        tasks.spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new();
            // A client that leaves is not this test's business.
            let _ = connection.serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}
