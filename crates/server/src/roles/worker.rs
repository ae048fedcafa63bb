//! The worker's role: whoever runs functions, with what this host has.

use std::sync::Arc;

use prometheus_client::registry::Registry;
use sandbox::handle::Handle;
use store::Store;
use store::records::{Records, Write};
use types::invocation::Boxed;
use worker::runtimes::Runtimes;
use worker::shim::Installed;
use worker::{Isolation, Memories, Worker};

use crate::options::{self, Options};

/// The kind of the records of what was learned, by function.
const LEARNED: &str = "worker-learned";

/// What this host has for functions.
pub(crate) struct Host {
    pub sandbox: Handle,
    /// Whether instances can be forked here, else why not.
    pub forks: Result<(), String>,
    pub runtimes: Runtimes,
    pub shim: Installed,
}

/// What was learned, among the other records.
struct Learned(Arc<dyn Records>);

// === impl Learned ===

impl Memories for Learned {
    fn save(&self, values: Vec<(String, Option<Vec<u8>>)>) -> Boxed<Result<(), String>> {
        let write = |(name, value): (String, Option<Vec<u8>>)| match value {
            Some(value) => Write::put(LEARNED, &name, value),
            None => Write::delete(LEARNED, &name),
        };
        let commit = self.0.commit(values.into_iter().map(write).collect());
        Box::pin(async move { commit.await.map(drop).map_err(|error| error.to_string()) })
    }
}

/// What an earlier server has learned on this data; nothing where it cannot be read.
pub(crate) async fn learned(store: &Store) -> Vec<(String, Vec<u8>)> {
    match store.records().list(LEARNED, "").await {
        Ok(records) => records.into_iter().map(|record| (record.key, record.value.to_vec())).collect(),
        Err(error) => {
            tracing::warn!(%error, "what was learned before cannot be read: it is learned again");
            Vec::new()
        }
    }
}

/// Makes the worker; it runs nothing until something is called.
pub(crate) fn start(
    options: &Options,
    host: Host,
    store: &Store,
    learned: Vec<(String, Vec<u8>)>,
    registry: &mut Registry,
) -> Worker {
    let Host { sandbox, forks, runtimes, shim } = host;
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
        memories: Arc::new(Learned(store.records())),
        learned,
    });
    worker.register_metrics(registry);
    worker
}
