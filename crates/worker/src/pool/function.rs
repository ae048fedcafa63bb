//! One function's requests and instances: carries out what the pure state machine decides.
//!
//! One lock per function, never held over an await and never together with another. Decisions are made
//! under it; what they ask for is done after it is released, so that the release of a lease, which decides
//! again, can happen anywhere. Each decision may set a timer for the next deadline; a timer that comes too
//! early only decides again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use autoscaler::{Event, Instance as Key, Policy, Request, Revision, StartFault, State, decide};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use types::failure::Failure;
use types::function::Version;
use types::invocation::Refusal;

use super::actions::Effect;
use super::lease::Lease;
use super::member::{Member, milliseconds};
use super::node::Node;
use crate::instance::Instance;
use crate::metrics::Handles;
use crate::status;

/// How long an instance may stay idle where nothing is set.
const DEFAULT_IDLE: Duration = Duration::from_secs(300);

/// One function.
pub(crate) struct Function {
    pub(super) name: String,
    pub(super) node: Arc<Node>,
    pub(super) metrics: Handles,
    /// Whether the last snapshot had it no more.
    deleted: AtomicBool,
    inner: Mutex<Inner>,
}

pub(super) struct Inner {
    pub scale: State,
    pub waiting: HashMap<Request, Waiting>,
    pub members: HashMap<Key, Member>,
    pub versions: HashMap<Revision, Arc<Version>>,
    pub failures: HashMap<Revision, Failure>,
    pub last_failure: Option<Failure>,
    pub next_request: u64,
    pub timer: Option<Duration>,
}

/// A request that waits.
pub(super) struct Waiting {
    pub reply: oneshot::Sender<Result<Lease, Refused>>,
    pub revision: Revision,
    pub arrived: Duration,
}

/// Why a request got no instance.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It is not run.
    Refusal(Refusal),
    /// The start made for it failed.
    Failed(Box<Failure>),
}

// === impl Refused ===

impl Refused {
    /// Why, as one word for metrics and records.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Failed(_) => "start_failed",
            Self::Refusal(Refusal::ReservedConcurrency { .. }) => "reserved_concurrency",
            Self::Refusal(Refusal::QueueTimeout { .. }) => "queue_timeout",
            Self::Refusal(Refusal::BackingOff { .. }) => "backing_off",
            Self::Refusal(Refusal::TooLarge { .. }) => "too_large",
            Self::Refusal(Refusal::Draining) => "draining",
            Self::Refusal(Refusal::Platform(_)) => "platform",
        }
    }
}

/// Takes a request out of the queue when its caller goes.
struct Leaving<'a> {
    function: &'a Arc<Function>,
    request: Request,
    answered: bool,
}

// === impl Function ===

impl Function {
    pub fn new(node: Arc<Node>, version: &Version) -> Arc<Self> {
        let policy = policy(&node, version);
        let inner = Inner {
            scale: State::new(policy),
            waiting: HashMap::new(),
            members: HashMap::new(),
            versions: HashMap::new(),
            failures: HashMap::new(),
            last_failure: None,
            next_request: 0,
            timer: None,
        };
        let metrics = node.metrics.of(&version.name);
        Arc::new(Self {
            name: version.name.clone(),
            node,
            metrics,
            deleted: AtomicBool::new(false),
            inner: Mutex::new(inner),
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    pub fn metrics(&self) -> &Handles {
        &self.metrics
    }

    /// Waits for an instance. Dropping the future leaves the queue.
    pub async fn acquire(self: &Arc<Self>, version: Arc<Version>) -> Result<Lease, Refused> {
        let (reply, answer) = oneshot::channel();
        let request = self.step(|inner, now| {
            let request = Request(inner.next_request);
            inner.next_request += 1;
            let revision = inner.expect_reply(request, version, now, reply);
            (Event::Arrive { request, revision }, request)
        });
        self.wait(request, answer).await
    }

    /// Waits again, for a request that never reached its instance.
    pub async fn requeue(
        self: &Arc<Self>,
        version: Arc<Version>,
        request: Request,
        arrived: Duration,
        instance: Key,
    ) -> Result<Lease, Refused> {
        let (reply, answer) = oneshot::channel();
        self.step(|inner, _| {
            let revision = inner.expect_reply(request, version, arrived, reply);
            (Event::Returned { request, revision, arrived, instance }, ())
        });
        self.wait(request, answer).await
    }

    async fn wait(
        self: &Arc<Self>,
        request: Request,
        answer: oneshot::Receiver<Result<Lease, Refused>>,
    ) -> Result<Lease, Refused> {
        let mut leaving = Leaving { function: self, request, answered: false };
        let answer = answer.await;
        leaving.answered = true;
        answer.unwrap_or(Err(Refused::Refusal(Refusal::Draining)))
    }

    /// Tells the state machine what has happened.
    pub fn send(self: &Arc<Self>, event: Event) {
        self.step(|inner, now| {
            match &event {
                Event::Gone { instance } => drop(inner.members.remove(instance)),
                Event::Released { instance, .. } => inner.set_free(*instance, now),
                _ => {}
            }
            (event, ())
        });
    }

    /// The settings, as of a version that is current.
    pub fn configure(self: &Arc<Self>, version: &Version) {
        let policy = policy(&self.node, version);
        if *self.inner.lock().scale.policy() != policy {
            self.send(Event::Configure(policy));
        }
    }

    /// The node has capacity for a start. Whether it is made use of.
    pub fn admitted(self: &Arc<Self>, instance: Key) -> bool {
        self.step(|inner, _| {
            let known = inner.members.contains_key(&instance);
            (Event::Admitted { instance }, known)
        })
    }

    /// An instance is ready.
    pub fn started(self: &Arc<Self>, key: Key, instance: Arc<Instance>) {
        self.step(|inner, now| {
            inner.failures.remove(&revision(&instance.version));
            if let Some(member) = inner.members.get_mut(&key) {
                member.instance = Some(instance);
                member.since = now;
            }
            (Event::Started { instance: key }, ())
        });
    }

    /// A start has failed and nothing of it is left.
    pub fn start_failed(self: &Arc<Self>, key: Key, fault: StartFault, failure: Failure) {
        self.step(|inner, _| {
            if let Some(version) = inner.members.get(&key).and_then(|member| member.version.clone()) {
                inner.failures.insert(revision(&version), failure.clone());
            }
            inner.last_failure = Some(failure);
            (Event::StartFailed { instance: key, fault }, ())
        });
        self.inner.lock().members.remove(&key);
    }

    /// Remembers what went wrong last.
    pub fn failed(&self, failure: &Failure) {
        self.inner.lock().last_failure = Some(failure.clone());
    }

    /// Whether the last snapshot has it.
    pub fn set_deleted(&self, deleted: bool) {
        self.deleted.store(deleted, Ordering::Relaxed);
    }

    /// Whether it is deleted and nothing of it is left to be seen.
    pub fn is_over(&self) -> bool {
        self.deleted.load(Ordering::Relaxed) && self.is_empty()
    }

    /// Whether it has neither requests nor instances.
    pub fn is_empty(&self) -> bool {
        self.inner.lock().scale.is_empty()
    }

    /// Revisions that have been called, with their version.
    pub fn revisions(&self) -> Vec<Revision> {
        self.inner.lock().versions.keys().cloned().collect()
    }

    /// A revision is not the current one of any name any more.
    pub fn replaced(self: &Arc<Self>, old: Revision) {
        self.step(|inner, _| {
            inner.failures.remove(&old);
            (Event::Replaced { revision: old }, ())
        });
        self.inner.lock().prune();
    }

    /// What it holds at this moment.
    pub fn status(&self) -> status::Function {
        let now = self.node.now();
        let templates = self.node.templates.status(&self.name);
        let inner = self.inner.lock();
        let counts = inner.scale.counts();
        let mut members: Vec<(&Key, &Member)> = inner.members.iter().collect();
        members.sort_by_key(|(key, _)| **key);
        let backing_off = inner.versions.iter().filter_map(|(revision, version)| {
            let (rounds, left) = inner.scale.backing_off(revision, now)?;
            let version = version.version.clone();
            Some(status::BackingOff { version, rounds, retry_after_ms: milliseconds(left) })
        });
        status::Function {
            name: self.name.clone(),
            queued: counts.queued,
            starting: counts.starting,
            max_instances: inner.scale.policy().max_instances,
            instances: members.into_iter().filter_map(|(_, member)| member.status(now)).collect(),
            backing_off: backing_off.collect(),
            templates,
            last_failure: inner.last_failure.clone(),
        }
    }

    pub(super) fn step<T>(self: &Arc<Self>, change: impl FnOnce(&mut Inner, Duration) -> (Event, T)) -> T {
        let now = self.node.now();
        let mut effects = Vec::new();
        let result = {
            let mut inner = self.inner.lock();
            let (event, result) = change(&mut inner, now);
            for action in decide(&mut inner.scale, event, now) {
                self.translate(&mut inner, action, now, &mut effects);
            }
            inner.set_timer(now, &mut effects);
            self.metrics.counts(&inner.scale.counts());
            result
        };
        for effect in effects {
            self.carry_out(effect);
        }
        result
    }
}

// === impl Inner ===

impl Inner {
    fn expect_reply(
        &mut self,
        request: Request,
        version: Arc<Version>,
        arrived: Duration,
        reply: oneshot::Sender<Result<Lease, Refused>>,
    ) -> Revision {
        let revision = revision(&version);
        // The newest copy: settings may differ between copies of one revision.
        self.versions.insert(Revision::clone(&revision), version);
        self.waiting.insert(request, Waiting { reply, revision: Revision::clone(&revision), arrived });
        revision
    }

    fn set_free(&mut self, key: Key, now: Duration) {
        if let Some(member) = self.members.get_mut(&key) {
            member.busy = member.busy.saturating_sub(1);
            member.since = now;
        }
    }

    /// Sets a timer if none is set that fires early enough.
    fn set_timer(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        let Some(deadline) = self.scale.next_deadline(now) else { return };
        if self.timer.is_none_or(|timer| timer > deadline) {
            self.timer = Some(deadline);
            effects.push(Effect::Timer(deadline));
        }
    }

    /// Forgets versions that nobody waits for and nothing runs.
    fn prune(&mut self) {
        let waiting = &self.waiting;
        let members = &self.members;
        self.versions.retain(|known, version| {
            waiting.values().any(|waiting| waiting.revision == *known)
                || members
                    .values()
                    .any(|member| member.version.as_ref() == Some(version) || member.version.is_none())
        });
    }
}

// === impl Leaving ===

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if !self.answered {
            let request = self.request;
            self.function.step(|inner, _| {
                inner.waiting.remove(&request);
                (Event::Leave { request }, ())
            });
        }
    }
}

/// What makes instances interchangeable: the revision, and the version they say they are.
pub(crate) fn revision(version: &Version) -> Revision {
    Revision::from(format!("{}@{}", version.revision, version.version))
}

fn policy(node: &Node, version: &Version) -> Policy {
    Policy {
        max_instances: version.settings.max_instances.unwrap_or(node.limits.instances),
        concurrency: 1,
        idle: version.settings.idle.unwrap_or(DEFAULT_IDLE),
        queue: version.settings.queue,
        reserved: version.reserved_concurrency,
    }
}
