//! One function's requests and instances: carries out what the pure state machine decides.
//!
//! One lock per function, never held over an await and never together with another. Decisions are made
//! under it; what they ask for is done after it is released, so that the release of a lease, which decides
//! again, can happen anywhere. Each decision may set a timer for the next deadline; a timer that comes too
//! early only decides again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use autoscaler::explain::Change;
use autoscaler::{
    Event, Instance as Key, Keep, Memory, Policy, Request, Revision, StartFault, State, Tier, decide,
};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use types::failure::Failure;
use types::function::Version;
use types::invocation::{Provided, Refusal};

use super::actions::Effect;
use super::conditions::Idle;
use super::history::History;
use super::lease::Lease;
use super::member::{Member, milliseconds};
use super::node::Node;
use super::traits;
use crate::explain::Happening;
use crate::instance::Instance;
use crate::metering::{Account, Buckets};
use crate::metrics::Handles;
use crate::status;
use crate::template;

/// How long an ember stays without instances if the policy does not let it go before.
const LONGEST_KEEP: Duration = Duration::from_secs(2 * 86_400);

/// One function.
pub(crate) struct Function {
    pub(super) name: String,
    pub(super) node: Arc<Node>,
    pub(super) metrics: Handles,
    account: Arc<Account>,
    /// Whether the last snapshot had it no more.
    deleted: AtomicBool,
    inner: Mutex<Inner>,
}

pub(super) struct Inner {
    pub scale: State,
    pub waiting: HashMap<Request, Waiting>,
    pub members: HashMap<Key, Member>,
    pub versions: HashMap<Revision, Arc<Version>>,
    pub history: History,
    pub failures: HashMap<Revision, Failure>,
    pub last_failure: Option<Failure>,
    pub next_request: u64,
    pub timer: Option<Duration>,
    /// The version that was called last, and its revision.
    pub last: Option<(Arc<Version>, Revision)>,
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
            scale: State::new(policy, node.prior(), node.memory_of(&version.name)),
            waiting: HashMap::new(),
            members: HashMap::new(),
            versions: HashMap::new(),
            history: History::default(),
            failures: HashMap::new(),
            last_failure: None,
            next_request: 0,
            timer: None,
            last: None,
        };
        let metrics = node.metrics.of(&version.name);
        Arc::new(Self {
            name: version.name.clone(),
            node,
            metrics,
            account: Arc::default(),
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
                Event::Gone { instance } => inner.gone(*instance, now),
                Event::Released { instance, .. } => inner.set_free(*instance, now),
                _ => {}
            }
            (event, ())
        });
    }

    /// The settings, as of a version that is current.
    pub fn configure<'a>(
        self: &Arc<Self>,
        version: &Version,
        versions: impl Iterator<Item = &'a Arc<Version>>,
    ) {
        let mut policy = policy(&self.node, version);
        for version in versions.filter(|version| version.provisioned > 0) {
            let revision = revision(version);
            policy.provisioned.insert(Revision::clone(&revision), version.provisioned);
            self.inner.lock().versions.insert(revision, Arc::clone(version));
        }
        // What is provisioned is there whatever the limit is.
        let all = policy.provisioned.values().copied().fold(0, u32::saturating_add);
        policy.max_instances = policy.max_instances.max(all);
        if *self.inner.lock().scale.policy() != policy {
            self.send(Event::Configure(policy));
        }
    }

    /// What there is of a version's provisioned concurrency.
    pub fn provided(&self, version: &Version) -> Provided {
        let (revision, now) = (revision(version), self.node.now());
        let inner = self.inner.lock();
        let failed = inner.scale.backing_off(&revision, now).is_some();
        Provided { ready: inner.scale.ready(&revision), failed }
    }

    /// The node has capacity for a start. Whether it is made use of.
    pub fn admitted(self: &Arc<Self>, instance: Key, tier: Tier) -> bool {
        self.step(|inner, _| {
            let known = inner.members.get_mut(&instance).map(|member| member.tier = tier).is_some();
            (Event::Admitted { instance }, known)
        })
    }

    /// An instance is ready.
    pub fn started(self: &Arc<Self>, key: Key, instance: Arc<Instance>) {
        self.template_changed(&instance.version);
        let ready = traits::ready(&instance);
        self.step(|inner, now| {
            inner.failures.remove(&revision(&instance.version));
            inner.history.started(now, key, &instance.id, &instance.start);
            if let Some(member) = inner.members.get_mut(&key) {
                member.instance = Some(instance);
                member.since = now;
            }
            (Event::Started { instance: key, ready }, ())
        });
    }

    /// A version may have an ember now, or may have lost it.
    pub fn template_changed(self: &Arc<Self>, version: &Version) {
        let key = template::Key::of(version);
        let there = self.node.templates.is_alive(&key);
        let changed = self.step(|inner, _| {
            let changed = inner.scale.has_template(&key.revision) != there;
            let event = Event::Template { revision: key.revision, there };
            (if changed { event } else { Event::Tick }, changed)
        });
        if changed && there {
            // From here on the policy says when it goes.
            self.node.templates.keep(&template::Key::of(version), LONGEST_KEEP);
            self.node.starts_are(&self.name, Tier::Fork);
        }
    }

    /// What survives a restart.
    pub fn memory(&self) -> Memory {
        self.inner.lock().scale.memory()
    }

    /// What its idle instances hold.
    pub fn idle_memory(&self) -> Idle {
        let inner = self.inner.lock();
        let mut held = Idle::default();
        for member in inner.members.values().filter(|member| member.busy == 0 && !member.retiring) {
            if let Some(bytes) = member.memory_bytes() {
                held.bytes = held.bytes.saturating_add(bytes);
                held.instances += 1;
            }
        }
        held
    }

    /// Its idle instance that is worth the least, what that is, and what it holds.
    pub fn cheapest(&self) -> Option<(Key, f64, u64)> {
        let now = self.node.now();
        let inner = self.inner.lock();
        let (key, worth) = inner.scale.cheapest(now)?;
        let bytes = inner.members.get(&key).and_then(Member::memory_bytes).unwrap_or_default();
        Some((key, worth, bytes))
    }

    /// A start has failed and nothing of it is left.
    pub fn start_failed(self: &Arc<Self>, key: Key, fault: StartFault, failure: Failure) {
        self.step(|inner, now| {
            inner.history.failed(now, key, &failure);
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

    /// Versions that have been called.
    pub(super) fn versions(&self) -> Vec<Arc<Version>> {
        self.inner.lock().versions.values().cloned().collect()
    }

    /// A revision is not the current one of any name any more.
    pub fn replaced(self: &Arc<Self>, old: Revision) {
        self.step(|inner, _| {
            inner.failures.remove(&old);
            (Event::Replaced { revision: old }, ())
        });
        self.inner.lock().prune();
    }

    /// What it has cost.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// The last starts and stops, and what it has cost until now.
    pub(super) fn observed(&self, changes: &[Change]) -> (Vec<Happening>, Buckets) {
        let now = self.node.now();
        let (history, live) = {
            let inner = self.inner.lock();
            let instances = inner.members.values().filter_map(|member| member.instance.clone());
            (inner.history.newest_first(now, changes), instances.collect::<Vec<_>>())
        };
        (history, self.account.total(live.iter().filter_map(|instance| instance.books.buckets())))
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
            instances: members
                .into_iter()
                .filter(|(key, _)| !inner.scale.is_spare(**key))
                .filter_map(|(_, member)| member.status(now))
                .collect(),
            spares: counts.spare,
            backing_off: backing_off.collect(),
            templates,
            scaling: Some(inner.scale.explain(now)),
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
            inner.set_timer(&mut effects);
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
        let revision = match &self.last {
            Some((last, revision)) if Arc::ptr_eq(last, &version) => Revision::clone(revision),
            _ => {
                let revision = revision(&version);
                // The newest copy: settings may differ between copies of one revision.
                self.versions.insert(Revision::clone(&revision), Arc::clone(&version));
                self.last = Some((version, Revision::clone(&revision)));
                revision
            }
        };
        self.waiting.insert(request, Waiting { reply, revision: Revision::clone(&revision), arrived });
        revision
    }

    fn gone(&mut self, key: Key, now: Duration) {
        let Some(member) = self.members.remove(&key) else { return };
        if let Some(instance) = &member.instance {
            self.history.stopped(now, key, &instance.id);
        }
    }

    fn set_free(&mut self, key: Key, now: Duration) {
        if let Some(member) = self.members.get_mut(&key) {
            member.busy = member.busy.saturating_sub(1);
            member.since = now;
        }
    }

    /// Freezes an instance or lets it run.
    pub fn set_frozen(&mut self, key: Key, frozen: bool) {
        let Some(member) = self.members.get_mut(&key) else { return };
        member.frozen = frozen;
        if let Some(instance) = &member.instance {
            if frozen {
                instance.tree.freeze();
            } else {
                instance.tree.thaw();
            }
        }
    }

    /// Sets a timer if none is set that fires early enough.
    fn set_timer(&mut self, effects: &mut Vec<Effect>) {
        let Some(deadline) = self.scale.next_deadline() else { return };
        if self.timer.is_none_or(|timer| timer > deadline) {
            self.timer = Some(deadline);
            effects.push(Effect::Timer(deadline));
        }
    }

    /// Forgets versions that nobody waits for and nothing runs.
    fn prune(&mut self) {
        self.last = None;
        let waiting = &self.waiting;
        let members = &self.members;
        let provisioned = &self.scale.policy().provisioned;
        self.versions.retain(|known, version| {
            provisioned.contains_key(known)
                || waiting.values().any(|waiting| waiting.revision == *known)
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
        // Until an instance is ready nobody knows what it serves.
        concurrency: 1,
        keep: version.settings.idle.map_or(Keep::Learned, Keep::Fixed),
        queue: version.settings.queue,
        reserved: version.reserved_concurrency,
        provisioned: BTreeMap::new(),
    }
}
