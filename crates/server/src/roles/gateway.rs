//! The gateway's role: the data plane on its listener.

use std::sync::Arc;

use gateway::{Limits, Metrics, Service, Shutdown};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;
use types::invocation::Dispatch;
use types::routing::Table;

/// Serves functions and web applications until told to stop.
pub(crate) fn start(
    listener: TcpListener,
    routes: Table,
    dispatch: Arc<dyn Dispatch>,
    registry: &mut Registry,
    shutdown: Shutdown,
    tasks: &TaskTracker,
) {
    let service = Service::new(routes, dispatch, Metrics::register(registry));
    tasks.spawn(gateway::serve(listener, Arc::new(service), Limits::default(), shutdown));
}
