//! The worker's role: whoever runs functions, with what this host has.

use std::sync::Arc;

use prometheus_client::registry::Registry;
use sandbox::handle::Handle;
use store::Store;
use worker::runtimes::Runtimes;
use worker::shim::Installed;
use worker::{Isolation, Worker};

use crate::options::{self, Options};

/// Makes the worker; it runs nothing until something is called.
pub(crate) fn start(
    options: &Options,
    sandbox: Handle,
    forks: Result<(), String>,
    store: &Store,
    runtimes: Runtimes,
    shim: Installed,
    registry: &mut Registry,
) -> Worker {
    let worker = Worker::new(worker::Options {
        limits: options.limits.clone(),
        isolation: match options.isolation {
            options::Isolation::Namespaces => Isolation::Namespaces,
            options::Isolation::Process => Isolation::Process,
        },
        runtimes,
        shim,
        forks,
        sandbox,
        logs: Arc::new(store.logs()),
    });
    worker.register_metrics(registry);
    worker
}
