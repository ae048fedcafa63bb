//! The AWS API's role: every service that is offered, behind one router on one listener.

use std::sync::Arc;

use gateway::{Handler, Limits, Shutdown};
use store::Store;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;
use types::body::Body;
use types::invocation::{Boxed, Dispatch};
use types::routing::Table;
use worker::Worker;

use crate::error::Error;

/// The router as the accept loop wants it.
struct Api(aws::Router);

// === impl Api ===

impl Handler for Api {
    fn handle(&self, request: http::Request<Body>) -> Boxed<http::Response<Body>> {
        self.0.handle(request)
    }
}

/// Opens the Lambda service: when this is done, everything deployed can be called.
pub(crate) async fn open(
    options: lambda::Options,
    store: &Store,
    routes: Table,
    worker: &Worker,
) -> Result<Arc<lambda::Service>, Error> {
    let dispatch: Arc<dyn Dispatch> = Arc::new(worker.clone());
    let changed = {
        let (worker, routes) = (worker.clone(), routes.clone());
        Box::new(move || worker.sync(&routes.load()))
    };
    let service = lambda::Service::open(options, store, routes, dispatch, changed).await?;
    Ok(Arc::new(service))
}

/// Serves the AWS API until told to stop.
pub(crate) fn start(
    listener: TcpListener,
    lambda: Arc<lambda::Service>,
    store: &Store,
    shutdown: Shutdown,
    tasks: &TaskTracker,
) {
    let logs = services::logs::Service::new(store.logs());
    let router = aws::Router::new().with(lambda).with(Arc::new(logs));
    tasks.spawn(gateway::serve(listener, Arc::new(Api(router)), Limits::default(), shutdown));
}
