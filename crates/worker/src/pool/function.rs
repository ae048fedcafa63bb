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

use autoscaler::{
    Action, Event, Instance as Key, Policy, Refusal as Verdict, Request, Revision, StartFault, State, decide,
};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use types::failure::{Cause, Failure};
use types::function::Version;
use types::invocation::Refusal;

use super::lease::Lease;
use super::life;
use super::member::{Member, milliseconds};
use super::node::Node;
use crate::instance::Instance;
use crate::metrics::Handles;
use crate::status;

/// One function.
pub(crate) struct Function {
    name: String,
    node: Arc<Node>,
    metrics: Handles,
    /// Whether the last snapshot had it no more.
    deleted: AtomicBool,
    inner: Mutex<Inner>,
}

struct Inner {
    scale: State,
    waiting: HashMap<Request, Waiting>,
    members: HashMap<Key, Member>,
    versions: HashMap<Revision, Arc<Version>>,
    failures: HashMap<Revision, Failure>,
    last_failure: Option<Failure>,
    next_request: u64,
    timer: Option<Duration>,
}

/// A request that waits.
struct Waiting {
    reply: oneshot::Sender<Result<Lease, Refused>>,
    revision: Revision,
    arrived: Duration,
}

/// Why a request got no instance.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It is not run.
    Refusal(Refusal),
    /// The start made for it failed.
    Failed(Box<Failure>),
}

/// What is done once the lock is released.
enum Effect {
    Reply(oneshot::Sender<Result<Lease, Refused>>, Result<Lease, Refused>),
    Want(Key),
    Withdraw(Key),
    Live(Key, Arc<Version>, CancellationToken),
    Timer(Duration),
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
            last_failure: inner.last_failure.clone(),
        }
    }

    fn step<T>(self: &Arc<Self>, change: impl FnOnce(&mut Inner, Duration) -> (Event, T)) -> T {
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

    fn translate(
        self: &Arc<Self>,
        inner: &mut Inner,
        action: Action,
        now: Duration,
        effects: &mut Vec<Effect>,
    ) {
        match action {
            Action::Assign { request, instance } => {
                effects.extend(self.assign(inner, request, instance, now));
            }
            Action::Want { instance } => {
                inner.members.insert(instance, Member::new(now));
                effects.push(Effect::Want(instance));
            }
            Action::Start { instance, revision } => {
                let version = inner.versions.get(&revision).cloned();
                if let (Some(version), Some(member)) = (version, inner.members.get_mut(&instance)) {
                    member.version = Some(Arc::clone(&version));
                    member.began = now;
                    effects.push(Effect::Live(instance, version, member.retire.clone()));
                }
            }
            Action::Withdraw { instance } => {
                inner.members.remove(&instance);
                effects.push(Effect::Withdraw(instance));
            }
            Action::Retire { instance, reason } => {
                if let Some(member) = inner.members.get_mut(&instance) {
                    tracing::debug!(function = self.name, ?reason, "an instance is retired");
                    member.retiring = true;
                    member.retire.cancel();
                }
            }
            Action::Refuse { request, refusal } => {
                if let Some(waiting) = inner.waiting.remove(&request) {
                    let refused = self.refused(inner, &waiting.revision, &refusal);
                    effects.push(Effect::Reply(waiting.reply, Err(refused)));
                }
            }
            Action::Fail { request, .. } => {
                if let Some(waiting) = inner.waiting.remove(&request) {
                    let refused = match inner.failures.get(&waiting.revision) {
                        Some(failure) if failure.cause == Cause::Sandbox => {
                            Refused::Refusal(Refusal::Platform(failure.message.clone()))
                        }
                        Some(failure) => Refused::Failed(Box::new(failure.clone())),
                        None => Refused::Refusal(Refusal::Platform("the start failed".to_owned())),
                    };
                    effects.push(Effect::Reply(waiting.reply, Err(refused)));
                }
            }
        }
    }

    fn assign(
        self: &Arc<Self>,
        inner: &mut Inner,
        request: Request,
        key: Key,
        now: Duration,
    ) -> Option<Effect> {
        let waiting = inner.waiting.remove(&request)?;
        let member = inner.members.get_mut(&key)?;
        let instance = Arc::clone(member.instance.as_ref()?);
        member.requests += 1;
        member.busy += 1;
        self.metrics.waited(now.saturating_sub(waiting.arrived));
        let lease = Lease::new(Arc::clone(self), instance, key, request, waiting.arrived);
        Some(Effect::Reply(waiting.reply, Ok(lease)))
    }

    fn refused(&self, inner: &Inner, revision: &Revision, verdict: &Verdict) -> Refused {
        let (reason, refusal) = match *verdict {
            Verdict::Reserved { limit } => ("reserved_concurrency", Refusal::ReservedConcurrency { limit }),
            Verdict::QueueTimeout { waited } => {
                let limit = inner.scale.policy().max_instances;
                ("queue_timeout", Refusal::QueueTimeout { waited, limit })
            }
            Verdict::BackingOff { retry_after } => match inner.failures.get(revision) {
                Some(failure) => {
                    let failure = Box::new(failure.clone());
                    ("backing_off", Refusal::BackingOff { retry_after, failure })
                }
                None => ("backing_off", Refusal::Platform("starts keep failing".to_owned())),
            },
            Verdict::Draining => ("draining", Refusal::Draining),
        };
        self.metrics.refused(reason);
        Refused::Refusal(refusal)
    }

    fn carry_out(self: &Arc<Self>, effect: Effect) {
        match effect {
            // A caller that has gone leaves the lease here, and dropping it releases it.
            Effect::Reply(reply, answer) => drop(reply.send(answer)),
            Effect::Want(instance) => self.node.want(self, instance),
            Effect::Withdraw(instance) => self.node.withdraw(self, instance),
            Effect::Live(instance, version, retire) => {
                self.node.tracker.spawn(life::live(Arc::clone(self), instance, version, retire));
            }
            Effect::Timer(deadline) => self.spawn_timer(deadline),
        }
    }

    fn spawn_timer(self: &Arc<Self>, deadline: Duration) {
        let function = Arc::clone(self);
        self.node.tracker.spawn(async move {
            tokio::select! {
                () = function.node.draining.cancelled() => return,
                () = tokio::time::sleep_until(function.node.moment(deadline)) => {}
            }
            function.step(|inner, _| {
                inner.timer.take_if(|timer| *timer == deadline);
                (Event::Tick, ())
            });
        });
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
        idle: version.settings.idle,
        queue: version.settings.queue,
        reserved: version.reserved_concurrency,
    }
}
