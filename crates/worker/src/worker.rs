//! The worker: implements [`Dispatch`] over the pools, and stops them in order.
//!
//! One per server, a cheap clone. A request is checked, waits for a lease and is then driven by whoever
//! brought it; see [`crate::invocation`]. [`Worker::sync`] is told of every published snapshot and retires what is
//! not current any more; nothing here is durable.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use sandbox::spec::Spec;
use tokio::sync::oneshot;
use types::arn::LATEST;
use types::body::Body;
use types::function::Version;
use types::invocation::{Boxed, Dispatch, Event, Outcome, Provided, Refusal, Unserved};
use types::limits::{Limits, MIB};
use types::log::Sink;
use types::request_id::RequestId;
use types::routing::Snapshot;

use crate::answer::Answer;
use crate::begun::{self, Begun};
use crate::call::{HttpCall, epoch_ms};
use crate::collect::{Incomplete, collect};
use crate::compose::{Composer, Identity, Isolation, Purpose};
use crate::explain::Explanation;
use crate::instance::Serving;
use crate::invocation::{self, NotSent};
use crate::launcher::Launcher;
use crate::metering::{Arrival, Origin, Record};
use crate::metrics::Metrics;
use crate::pool::{Lease, Memories, Node, Parts, Refused, Remembered};
use crate::runtimes::Runtimes;
use crate::shim;
use crate::status::Status;
use crate::template;
use crate::trace::Trace;

/// Instances that may turn out gone before a request is given up.
const ATTEMPTS: u32 = 3;

/// What a worker is made of.
pub struct Options {
    /// The server's limits.
    pub limits: Limits,
    /// How instances are kept apart.
    pub isolation: Isolation,
    /// The interpreters of this machine, from [`crate::runtimes::discover`].
    pub runtimes: Runtimes,
    /// The shims, from [`crate::shim::install`].
    pub shim: shim::Installed,
    /// Whether this host can fork instances, else why not: `sandbox::Probe::embers`.
    pub forks: Result<(), String>,
    /// Whoever makes sandboxes.
    pub sandbox: sandbox::handle::Handle,
    /// Where functions' lines go.
    pub logs: Arc<dyn Sink>,
    /// Where what is learned goes, and what an earlier server left there.
    pub memories: Arc<dyn Memories>,
    /// Names and values that were kept.
    pub learned: Vec<(String, Vec<u8>)>,
}

/// Runs functions.
#[derive(Clone)]
pub struct Worker {
    node: Arc<Node>,
    /// Revisions that were current in the last snapshot, with the function they belong to.
    current: Arc<Mutex<HashSet<(String, autoscaler::Revision)>>>,
}

/// Why no spec can be shown.
#[derive(Debug, thiserror::Error)]
#[error("{message}; {suggestion}")]
pub struct ComposeError {
    /// What is wrong.
    pub message: String,
    /// What would help.
    pub suggestion: String,
}

// === impl Worker ===

impl Worker {
    /// A worker without any instance. Call it inside the runtime.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let Options { limits, isolation, runtimes, shim, forks, sandbox, logs, memories, learned } = options;
        let composer = Composer { isolation, runtimes, shim, forks };
        let pressure = sandbox.pressure();
        let remembered = Remembered::new(Some(memories), learned);
        let worker = Self::with(composer, Box::new(sandbox), logs, limits, remembered);
        let node = Arc::clone(&worker.node);
        worker.node.tracker.spawn(crate::pool::watch_memory(node, Some(pressure)));
        worker
    }

    pub(crate) fn with(
        composer: Composer,
        launcher: Box<dyn Launcher>,
        logs: Arc<dyn Sink>,
        limits: Limits,
        remembered: Remembered,
    ) -> Self {
        let metrics = Metrics::new();
        let parts = Parts { composer, launcher, logs, limits, metrics, remembered };
        Self { node: Node::new(parts), current: Arc::default() }
    }

    /// Makes the worker's metrics visible in a registry.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.node.metrics.register(registry);
    }

    /// Takes a newly published snapshot into account: settings change at once, instances of what is no
    /// longer current go as soon as they are free.
    pub fn sync(&self, snapshot: &Snapshot) {
        let mut current = HashSet::new();
        for (name, function) in &snapshot.functions {
            let targets = function.aliases.values().map(String::as_str).chain([LATEST]);
            let provisioned = function.versions.values().filter(|version| version.provisioned > 0);
            for version in targets.filter_map(|target| function.versions.get(target)).chain(provisioned) {
                current.insert((name.clone(), crate::pool::revision(version)));
            }
            let Some(any) = function.versions.values().next_back() else { continue };
            let provisions = function.versions.values().any(|version| version.provisioned > 0);
            let known = if provisions { Some(self.node.function(any)) } else { self.node.known(name) };
            if let Some(known) = known {
                known.configure(any, function.versions.values());
            }
        }
        let has_synced = self.node.exist(snapshot.functions.keys().cloned().collect());
        let previous = std::mem::replace(&mut *self.current.lock(), current.clone());
        if has_synced {
            self.expect_calls(snapshot, &previous);
        }
        for (name, revision) in previous.difference(&current) {
            let key = template::Key { function: name.clone(), revision: revision.clone() };
            self.node.templates.retire(&key, template::Retirement::Replaced);
            if let Some(function) = self.node.known(name) {
                function.replaced(revision.clone());
            }
        }
        self.forget_deleted(snapshot);
    }

    /// What has just been deployed is soon called: an interpreter may wait for it, and its `/tmp` be prepared.
    fn expect_calls(&self, snapshot: &Snapshot, previous: &HashSet<(String, autoscaler::Revision)>) {
        for (name, function) in &snapshot.functions {
            let Some(version) = function.versions.get(LATEST) else { continue };
            if !previous.contains(&(name.clone(), crate::pool::revision(version))) {
                if self.node.composer.embers(version).is_err() {
                    self.node.standby.fill(&self.node, version);
                }
                self.node.launcher.expect_scratch(u64::from(version.tmp_mib) * MIB);
            }
        }
    }

    /// What is held at this moment.
    #[must_use]
    pub fn status(&self) -> Status {
        let mut functions: Vec<_> = self
            .node
            .functions()
            .iter()
            .filter(|function| !function.is_over())
            .map(|function| function.status())
            .collect();
        functions.sort_by(|one, other| one.name.cmp(&other.name));
        Status {
            functions,
            starts_running: self.node.starts_running(),
            starts_limit: self.node.starts_limit(),
            standby: self.node.standby.count(),
            draining: self.node.draining.is_cancelled(),
            no_forks: self.node.composer.forks.clone().err(),
        }
    }

    /// The isolation of a version's instances, as the broker would get it.
    ///
    /// # Errors
    /// [`ComposeError`] when nothing of the version can be started here.
    pub fn isolation(&self, version: &Version) -> Result<Spec, ComposeError> {
        let composer = &self.node.composer;
        let purpose = if composer.embers(version).is_ok() { Purpose::Ember } else { Purpose::Instance };
        let composed = composer.compose(version, &Identity::example(version), purpose);
        composed
            .map(|composition| composition.spec)
            .map_err(|error| ComposeError { message: error.message, suggestion: error.suggestion })
    }

    /// Writes down what was learned, for the next server on this data.
    pub async fn remember(&self) {
        self.node.remember().await;
    }

    /// Takes no more work, lets what runs finish for up to `grace`, then ends every instance. Done when no
    /// sandbox is left.
    pub async fn drain(&self, grace: Duration) {
        self.node.draining.cancel();
        for function in self.node.functions() {
            function.send(autoscaler::Event::Drain);
        }
        self.node.tracker.close();
        if tokio::time::timeout(grace, self.node.tracker.wait()).await.is_err() {
            self.node.ending.cancel();
            self.node.tracker.wait().await;
        }
        self.node.forget_all();
    }

    fn forget_deleted(&self, snapshot: &Snapshot) {
        for function in self.node.functions() {
            let deleted = !snapshot.functions.contains_key(function.name());
            function.set_deleted(deleted);
            if deleted {
                self.node.templates.forget(function.name());
                for revision in function.revisions() {
                    function.replaced(revision);
                }
            }
            if function.is_over() {
                self.node.forget(function.name());
            }
        }
    }

    /// Keeps what there is to say of a request that got no instance.
    fn turned_away(
        &self,
        version: &Version,
        request_id: RequestId,
        arrival: Arrival,
        refused: &Refused,
        bytes_in: u64,
    ) {
        let (function, version) = (version.name.clone(), version.version.clone());
        let ready = arrival.at;
        let origin = Origin { function, version, instance: String::new(), start: None, ready };
        let record = Record::refused(request_id, origin, arrival, refused.reason(), bytes_in);
        self.node.requests.push(record);
    }

    async fn lease(&self, version: Arc<Version>) -> Result<Lease, Refused> {
        if self.node.draining.is_cancelled() {
            return Err(Refused::Refusal(Refusal::Draining));
        }
        self.node.function(&version).acquire(version).await
    }

    /// Why a function is as it is. One that has not been called has nothing to explain but that.
    #[must_use]
    pub fn explain(&self, name: &str) -> Explanation {
        self.node.known(name).map_or_else(|| Explanation::never_called(name), |known| known.explanation())
    }

    /// What is known of a request, if it is among the last that are kept.
    #[must_use]
    pub fn trace(&self, request_id: RequestId) -> Option<Trace> {
        self.node.requests.find(request_id).map(|record| record.trace())
    }

    async fn run_invoke(self, version: Arc<Version>, event: Event) -> Result<Outcome, Refusal> {
        let arrival = Arrival::now();
        let (size, limit) = (event.payload.len() as u64, self.node.limits.payload);
        if size > limit {
            return Err(Refusal::TooLarge { size, limit });
        }
        let request_id = event.request_id;
        let lease = match self.lease(Arc::clone(&version)).await {
            Ok(lease) => lease,
            Err(refused) => {
                self.turned_away(&version, request_id, arrival, &refused, size);
                return failed_start(refused, request_id);
            }
        };
        // What has begun is finished, whether or not the caller stays.
        Begun::new(&self.node.tracker, run_event(lease, event, arrival, limit)).await
    }

    async fn run_serve(
        self,
        version: Arc<Version>,
        request: http::Request<Body>,
    ) -> Result<http::Response<Body>, Unserved> {
        if is_upgrade(&request) {
            return Ok(not_implemented());
        }
        let arrival = Arrival::now();
        let request_id = request.extensions().get::<RequestId>().copied().unwrap_or_default();
        let limit = self.node.limits.payload;
        let (parts, body) = request.into_parts();
        // A slow upload holds no instance: the body is here before one is asked for.
        let body = read(body, limit).await?;
        let arrival = arrival.received();
        let lease = self.lease(Arc::clone(&version)).await.map_err(|refused| {
            self.turned_away(&version, request_id, arrival, &refused, body.len() as u64);
            unserved(refused)
        })?;
        let (head, answer) = oneshot::channel();
        let deadline_ms = epoch_ms(version.timeout);
        let call = HttpCall { request_id, deadline_ms, parts, body };
        let answering = Answer::new(head, &call.parts.method);
        let begun = Begun::new(&self.node.tracker, run_http(lease, call, arrival, limit, answering));
        begun::answered(begun, answer).await.unwrap_or_else(|| {
            Err(Unserved::Refused(Refusal::Platform("the request's task ended".to_owned())))
        })
    }
}

impl Dispatch for Worker {
    fn provided(&self, version: &Version) -> Provided {
        self.node.known(&version.name).map(|function| function.provided(version)).unwrap_or_default()
    }

    fn invoke(&self, version: Arc<Version>, event: Event) -> Boxed<Result<Outcome, Refusal>> {
        Box::pin(self.clone().run_invoke(version, event))
    }

    fn serve(
        &self,
        version: Arc<Version>,
        request: http::Request<Body>,
    ) -> Boxed<Result<http::Response<Body>, Unserved>> {
        Box::pin(self.clone().run_serve(version, request))
    }
}

async fn run_event(mut lease: Lease, event: Event, arrival: Arrival, limit: u64) -> Result<Outcome, Refusal> {
    let requests = Arc::clone(&lease.function().node().requests);
    for _ in 0..ATTEMPTS {
        match invocation::event(&mut lease, &event, arrival, limit).await {
            Ok((outcome, pending)) => {
                drop(lease);
                pending.keep(&requests);
                return Ok(outcome);
            }
            Err(NotSent) => match lease.again().await {
                Ok(next) => lease = next,
                Err(refused) => return failed_start(refused, event.request_id),
            },
        }
    }
    Err(gave_up())
}

async fn run_http(mut lease: Lease, call: HttpCall, arrival: Arrival, limit: u64, mut answer: Answer) {
    let requests = Arc::clone(&lease.function().node().requests);
    for _ in 0..ATTEMPTS {
        match lease.instance().serving() {
            Serving::Handler => {
                let answered = invocation::http_handler(&mut lease, &call, arrival, limit).await;
                if let Ok((response, pending)) = answered {
                    // Released before the client hears: its next request finds the instance free.
                    drop(lease);
                    pending.keep(&requests);
                    return answer.whole(response);
                }
            }
            Serving::Web => match invocation::http_application(&mut lease, &call, arrival, answer).await {
                Ok(finish) => {
                    drop(lease);
                    return finish.finish(&requests);
                }
                Err((NotSent, unused)) => answer = unused,
            },
        }
        match lease.again().await {
            Ok(next) => lease = next,
            Err(refused) => return answer.whole(Err(unserved(refused))),
        }
    }
    answer.whole(Err(Unserved::Refused(gave_up())));
}

fn gave_up() -> Refusal {
    Refusal::Platform("instances keep ending before they get the request; see `lambent logs`".to_owned())
}

/// What a call comes to that got no instance.
fn failed_start(refused: Refused, request_id: RequestId) -> Result<Outcome, Refusal> {
    match refused {
        Refused::Refusal(refusal) => Err(refusal),
        Refused::Failed(failure) => Ok(Outcome {
            payload: failure.payload(request_id),
            log_tail: failure.log_lines.join("\n").into(),
            failure: Some(*failure),
            summary: None,
        }),
    }
}

fn unserved(refused: Refused) -> Unserved {
    match refused {
        Refused::Refusal(refusal) => Unserved::Refused(refusal),
        Refused::Failed(failure) => Unserved::Failed(failure),
    }
}

async fn read(body: Body, limit: u64) -> Result<Bytes, Unserved> {
    collect(body, limit).await.map_err(|incomplete| {
        Unserved::Refused(match incomplete {
            Incomplete::TooLarge(size) => Refusal::TooLarge { size, limit },
            // The client is gone, so nobody reads this.
            Incomplete::Broken(error) => Refusal::Platform(format!("the request broke off: {error}")),
        })
    })
}

fn is_upgrade(request: &http::Request<Body>) -> bool {
    request.headers().contains_key(http::header::UPGRADE) || request.method() == http::Method::CONNECT
}

fn not_implemented() -> http::Response<Body> {
    let text = "upgrades (WebSocket) are not supported yet: use plain HTTP requests\n";
    let mut response = http::Response::new(types::body::full(text));
    *response.status_mut() = http::StatusCode::NOT_IMPLEMENTED;
    response
}
