//! A server that is up: what it consists of, how it comes to be inside the runtime, and how it ends.
//!
//! It ends by a signal, which drains it in the order of [`crate::drain`], or by its broker's death, after
//! which no instance lives: then only what is on disk counts, and the server ends with an error.

use std::sync::Arc;
use std::time::Duration;

use gateway::Shutdown;
use prometheus_client::registry::Registry;
use sandbox::Launched;
use sandbox::handle::Handle;
use store::Store;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::routing::Table;
use worker::Worker;
use worker::runtimes::Runtimes;
use worker::shim::Installed;

use crate::admin::{Description, Sources};
use crate::drain::{Drained, Step, drain};
use crate::error::Error;
use crate::listeners::{Addresses, Listeners};
use crate::options::Options;
use crate::roles;
use crate::signals::Signals;

/// How long instances may take to end between SIGTERM and SIGKILL.
const INSTANCE_GRACE: Duration = Duration::from_secs(2);
/// How long the last answers may take to be written once every instance has ended.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// How long the broker may take to clean up.
const BROKER_GRACE: Duration = Duration::from_secs(5);

/// What was made on the way up.
pub(crate) struct Parts<'a> {
    pub options: &'a Options,
    pub listeners: Listeners,
    pub name: &'a str,
    pub launched: Launched,
    pub store: Store,
    pub interpreters: Runtimes,
    pub shims: Installed,
}

/// A server that is up.
pub(crate) struct Running {
    store: Store,
    /// Everything that holds on to the broker; let go of in the last step.
    serving: Option<Serving>,
    grace: Duration,
    /// The gateway's and the API's connections.
    connections: TaskTracker,
    shutdown: Shutdown,
    /// The admin's connections, which outlive the others.
    admin_connections: TaskTracker,
    admin_shutdown: Shutdown,
    /// What talks to the broker; ends when nobody needs the broker any more and it has cleaned up.
    broker_tasks: TaskTracker,
}

/// What needs the broker.
struct Serving {
    worker: Worker,
    lambda: Arc<lambda::Service>,
    broker: Handle,
}

// === impl Running ===

impl Running {
    /// Starts every role. When this is done, requests are served.
    pub(crate) async fn start(parts: Parts<'_>) -> Result<Self, Error> {
        let Parts { options, listeners, name, launched, store, interpreters, shims } = parts;
        let addresses = listeners.addresses()?;
        let broker_pid = launched.broker_pid();
        let forks = launched.probe().embers.clone();
        let broker_tasks = TaskTracker::new();
        let broker = launched
            .connect(&broker_tasks)
            .map_err(|source| Error::System { action: "talk to the broker", source })?;
        broker_tasks.close();
        let mut registry = Registry::with_prefix("lambent");

        let runtimes = interpreters.identifiers();
        let learned = roles::worker::learned(&store).await;
        let host =
            roles::worker::Host { sandbox: broker.clone(), forks, runtimes: interpreters, shim: shims };
        let worker = roles::worker::start(options, host, &store, learned, &mut registry);
        let routes = Table::default();
        let lambda_options = lambda::Options {
            limits: options.limits.clone(),
            gateway_authority: format!("localhost:{}", addresses.gateway.port()),
            runtimes: runtimes.clone(),
        };
        let lambda = roles::api::open(lambda_options, &store, routes.clone(), &worker).await?;

        let (connections, admin_connections) = (TaskTracker::new(), TaskTracker::new());
        let (shutdown, admin_shutdown) = (Shutdown::default(), Shutdown::default());
        let api = into_async(listeners.api)?;
        roles::api::start(api, Arc::clone(&lambda), &store, shutdown.clone(), &connections);
        let gateway = into_async(listeners.gateway)?;
        let dispatch = Arc::new(worker.clone());
        roles::gateway::start(
            gateway,
            routes.clone(),
            dispatch,
            &mut registry,
            shutdown.clone(),
            &connections,
        );
        let description = describe(options, addresses, &store, name, broker_pid, runtimes);
        let started = Instant::now();
        let stopping = shutdown.finish.clone();
        let worker_seen = worker.clone();
        let sources = Sources { description, started, routes, worker: worker_seen, stopping, registry };
        roles::admin::start(
            into_async(listeners.admin)?,
            sources,
            admin_shutdown.clone(),
            &admin_connections,
        );
        connections.close();
        admin_connections.close();

        let grace = options.grace;
        Ok(Self {
            store,
            serving: Some(Serving { worker, lambda, broker }),
            grace,
            connections,
            shutdown,
            admin_connections,
            admin_shutdown,
            broker_tasks,
        })
    }

    /// Serves until a signal or the broker's end.
    pub(crate) async fn until_stopped(mut self, mut signals: Signals) -> Result<(), Error> {
        tokio::select! {
            () = signals.next() => {}
            () = self.broker_gone() => return self.without_broker().await,
        }
        tracing::info!("stopping: finishing requests in progress (press Ctrl-C again to hurry)");
        let hurry = CancellationToken::new();
        let hurrying = async {
            signals.next().await;
            tracing::info!("hurrying: requests in progress are given up");
            hurry.cancel();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = drain(&mut self, &hurry) => {}
            () = hurrying => {}
        }
        tracing::info!("stopped");
        Ok(())
    }

    /// Without the broker there is nothing to finish: instances ended with it.
    async fn without_broker(mut self) -> Result<(), Error> {
        tracing::error!("the sandbox broker is gone");
        let hurry = CancellationToken::new();
        hurry.cancel();
        drain(&mut self, &hurry).await;
        Err(Error::BrokerGone)
    }

    async fn broker_gone(&self) {
        if let Some(serving) = &self.serving {
            serving.broker.gone().await;
        }
    }

    async fn finish_requests(&self, hurry: &CancellationToken) {
        tokio::select! {
            () = self.connections.wait() => {}
            () = tokio::time::sleep(self.grace) => {
                tracing::warn!(grace = ?self.grace, "requests are still in progress and given up");
            }
            () = hurry.cancelled() => {}
        }
    }

    async fn persist(&self) {
        // Changes that have begun are finished first: their callers may have been told.
        if let Some(serving) = &self.serving {
            serving.lambda.drain().await;
            serving.worker.remember().await;
        }
        if let Err(error) = self.store.logs().flush().await {
            tracing::warn!(%error, "the last log lines are lost");
        }
    }

    async fn stop_instances(&self, hurry: &CancellationToken) {
        let Some(serving) = &self.serving else { return };
        let grace = if hurry.is_cancelled() { Duration::ZERO } else { INSTANCE_GRACE };
        tokio::select! {
            () = serving.worker.drain(grace) => {}
            // What the worker has not ended the broker will.
            () = async { hurry.cancelled().await; tokio::time::sleep(INSTANCE_GRACE).await } => {}
        }
        // Requests that waited have been refused by now; their answers are on their way.
        let answered = tokio::time::timeout(LAST_ANSWERS, self.connections.wait()).await;
        if answered.is_err() {
            self.shutdown.abandon.cancel();
            self.connections.wait().await;
        }
    }

    /// Letting go of the broker's socket tells it to clean up and end.
    async fn remove_sandboxes(&mut self) {
        self.admin_shutdown.abandon.cancel();
        self.admin_connections.wait().await;
        self.serving = None;
        if tokio::time::timeout(BROKER_GRACE, self.broker_tasks.wait()).await.is_err() {
            tracing::warn!("the broker is still cleaning up");
        }
    }
}

impl Drained for Running {
    async fn step(&mut self, step: Step, hurry: &CancellationToken) {
        match step {
            Step::StopAccepting => self.shutdown.finish.cancel(),
            Step::FinishRequests => self.finish_requests(hurry).await,
            Step::Persist => self.persist().await,
            Step::StopInstances => self.stop_instances(hurry).await,
            Step::RemoveSandboxes => self.remove_sandboxes().await,
        }
    }
}

fn describe(
    options: &Options,
    addresses: Addresses,
    store: &Store,
    name: &str,
    broker_pid: u32,
    runtimes: Vec<String>,
) -> Description {
    Description {
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        broker_pid,
        name: name.to_owned(),
        isolation: options.isolation,
        data_dir: store.directory().to_owned(),
        ephemeral: options.ephemeral,
        listen: addresses.api,
        gateway: addresses.gateway,
        admin: addresses.admin,
        runtimes,
        limits: options.limits.clone(),
    }
}

fn into_async(listener: std::net::TcpListener) -> Result<TcpListener, Error> {
    TcpListener::from_std(listener).map_err(|source| Error::System { action: "serve a listener", source })
}
