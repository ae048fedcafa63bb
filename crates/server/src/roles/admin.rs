//! The admin's role: its pages on its listener. It is the last to stop: a server that drains says so.

use std::sync::Arc;

use gateway::{Limits, Shutdown};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use crate::admin::{Admin, Sources};

/// Serves the admin's pages until told to stop.
pub(crate) fn start(listener: TcpListener, sources: Sources, shutdown: Shutdown, tasks: &TaskTracker) {
    let limits = Limits { connections: 256, ..Limits::default() };
    tasks.spawn(gateway::serve(listener, Arc::new(Admin::new(sources)), limits, shutdown));
}
