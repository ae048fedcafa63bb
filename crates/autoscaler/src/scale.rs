//! The state of one function and how events change it.
//!
//! Lifecycle of an instance: `Wanted` (waits for the node) → `Starting` → `Ready` ⇄ leased → `Retiring`
//! → forgotten. A start that fails is forgotten at once; an instance that dies is forgotten from any
//! phase. Invariants, which the property tests hold:
//! * never more instances than the cap, those on their way out included;
//! * a request is queued, assigned, refused or failed: exactly one of them, and never twice;
//! * requests of one revision are assigned in the order of their arrival;
//! * an instance is in use by at most `concurrency` requests, and never again after a failure.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::backoff::Backoff;
use crate::event::{Action, Event, Instance, Policy, Reason, Refusal, Request, Revision, StartFault};

/// How long requests for a replaced revision may still be on their way here.
const STRAGGLERS: Duration = Duration::from_secs(10);

/// Everything known about one function's requests and instances.
#[derive(Debug)]
pub struct State {
    pub(crate) policy: Policy,
    pub(crate) instances: BTreeMap<Instance, Held>,
    pub(crate) queue: VecDeque<Queued>,
    pub(crate) backoffs: BTreeMap<Revision, Backoff>,
    pub(crate) draining: bool,
    /// When revisions were replaced, for as long as stragglers may come.
    replaced: BTreeMap<Revision, Duration>,
    next_instance: u64,
}

/// How many of each there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that wait.
    pub queued: usize,
    /// Instances that wait for the node or start.
    pub starting: usize,
    /// Instances that are ready and handle nothing.
    pub idle: usize,
    /// Instances that handle something.
    pub busy: usize,
    /// Instances on their way out.
    pub retiring: usize,
}

/// One instance, as the policy sees it.
#[derive(Debug)]
pub(crate) struct Held {
    pub revision: Revision,
    pub phase: Phase,
    pub leases: u32,
    /// When it was last made free, or became ready.
    pub used: Duration,
    /// Not to be kept once it is free.
    pub stale: bool,
    /// Not to be given anything more: its place is needed.
    pub closing: bool,
}

/// Where an instance is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Wanted,
    Starting { began: Duration },
    Ready,
    Retiring,
}

/// One request that waits.
#[derive(Debug)]
pub(crate) struct Queued {
    pub request: Request,
    pub revision: Revision,
    pub arrived: Duration,
    /// Whether a start or a place that is being freed is meant for it: then it does not time out.
    pub covered: bool,
}

/// Takes `event` into account at `now` and says what is to be done.
///
/// `now` is the time since any fixed moment and never goes back.
pub fn decide(state: &mut State, event: Event, now: Duration) -> Vec<Action> {
    let mut actions = Vec::new();
    state.apply(event, now, &mut actions);
    state.settle(now, &mut actions);
    actions
}

// === impl State ===

impl State {
    /// A function without instances and requests.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            instances: BTreeMap::new(),
            queue: VecDeque::new(),
            backoffs: BTreeMap::new(),
            draining: false,
            replaced: BTreeMap::new(),
            next_instance: 1,
        }
    }

    /// When [`Event::Tick`] is due if nothing else happens before; later than `now`, if `now` is the time
    /// of the last [`decide`].
    #[must_use]
    pub fn next_deadline(&self, now: Duration) -> Option<Duration> {
        let idle = self.instances.values().filter(|held| held.is_idle());
        let idle = idle.map(|held| held.used.saturating_add(self.policy.idle)).min();
        // The queue is in order of arrival: the first that can time out is the first that does.
        let uncovered = self.queue.iter().find(|queued| !queued.covered);
        let queue = uncovered.map(|queued| queued.arrived.saturating_add(self.policy.queue));
        let pauses = self.backoffs.values().map(Backoff::retry_at).filter(|retry_at| *retry_at > now);
        let retry = uncovered.and(pauses.min());
        [idle, queue, retry].into_iter().flatten().min()
    }

    /// How many of each there are.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts { queued: self.queue.len(), ..Counts::default() };
        for held in self.instances.values() {
            match held.phase {
                Phase::Wanted | Phase::Starting { .. } => counts.starting += 1,
                Phase::Ready if held.leases == 0 => counts.idle += 1,
                Phase::Ready => counts.busy += 1,
                Phase::Retiring => counts.retiring += 1,
            }
        }
        counts
    }

    /// Whether there is nothing left to decide about.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.instances.is_empty() && self.queue.is_empty()
    }

    /// Rounds of failed starts of a revision and what is left of its pause; `None`: none failed.
    #[must_use]
    pub fn backing_off(&self, revision: &str, now: Duration) -> Option<(u32, Duration)> {
        let backoff = self.backoffs.get(revision)?;
        Some((backoff.rounds(), backoff.paused(now).unwrap_or_default()))
    }

    /// The knobs as they are now.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    pub(crate) fn new_instance(&mut self, revision: &Revision, now: Duration) -> Instance {
        let instance = Instance(self.next_instance);
        self.next_instance += 1;
        let held = Held {
            revision: Revision::clone(revision),
            phase: Phase::Wanted,
            leases: 0,
            used: now,
            stale: self.replaced.get(revision).is_some_and(|at| now.saturating_sub(*at) < STRAGGLERS),
            closing: false,
        };
        self.instances.insert(instance, held);
        instance
    }

    fn apply(&mut self, event: Event, now: Duration, actions: &mut Vec<Action>) {
        match event {
            Event::Configure(policy) => self.policy = policy,
            Event::Arrive { request, revision } => self.arrive(request, revision, now, actions),
            Event::Leave { request } => self.queue.retain(|queued| queued.request != request),
            Event::Admitted { instance } => self.admitted(instance, now, actions),
            Event::Started { instance } => self.started(instance, now),
            Event::StartFailed { instance, fault } => self.start_failed(instance, fault, now, actions),
            Event::Released { instance, healthy } => self.released(instance, healthy, now, actions),
            Event::Returned { request, revision, arrived, instance } => {
                self.released(instance, false, now, actions);
                let index =
                    self.queue.partition_point(|other| (other.arrived, other.request) < (arrived, request));
                self.queue.insert(index, Queued { request, revision, arrived, covered: false });
            }
            Event::Gone { instance } => drop(self.instances.remove(&instance)),
            Event::Replaced { revision } => self.replace(revision, now),
            Event::Drain => self.drain(actions),
            Event::Tick => {}
        }
    }

    fn arrive(&mut self, request: Request, revision: Revision, now: Duration, actions: &mut Vec<Action>) {
        if let Some(limit) = self.policy.reserved.filter(|limit| self.in_progress() >= u64::from(*limit)) {
            actions.push(Action::Refuse { request, refusal: Refusal::Reserved { limit } });
        } else {
            self.queue.push_back(Queued { request, revision, arrived: now, covered: false });
        }
    }

    fn in_progress(&self) -> u64 {
        let leases: u64 = self.instances.values().map(|held| u64::from(held.leases)).sum();
        leases + self.queue.len() as u64
    }

    fn admitted(&mut self, instance: Instance, now: Duration, actions: &mut Vec<Action>) {
        let Some(held) = self.instances.get_mut(&instance) else { return };
        if held.phase == Phase::Wanted {
            held.phase = Phase::Starting { began: now };
            actions.push(Action::Start { instance, revision: Revision::clone(&held.revision) });
        }
    }

    fn started(&mut self, instance: Instance, now: Duration) {
        let Some(held) = self.instances.get_mut(&instance) else { return };
        if matches!(held.phase, Phase::Starting { .. }) {
            held.phase = Phase::Ready;
            held.used = now;
            self.backoffs.remove(&held.revision);
        }
    }

    fn start_failed(
        &mut self,
        instance: Instance,
        fault: StartFault,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        let Some(held) = self.instances.remove(&instance) else { return };
        // One that was retired while it started did not fail by itself.
        let Phase::Starting { began } = held.phase else { return };
        let backoff = self.backoffs.entry(Revision::clone(&held.revision));
        let backoff = backoff.and_modify(|backoff| backoff.failed(began, now));
        let backoff = backoff.or_insert_with(|| Backoff::new(now));
        if fault == StartFault::Platform && !backoff.probing() {
            return;
        }
        if let Some(index) = self.queue.iter().position(|queued| queued.revision == held.revision)
            && let Some(queued) = self.queue.remove(index)
        {
            actions.push(Action::Fail { request: queued.request, instance });
        }
    }

    fn released(&mut self, instance: Instance, healthy: bool, now: Duration, actions: &mut Vec<Action>) {
        let Some(held) = self.instances.get_mut(&instance) else { return };
        held.leases = held.leases.saturating_sub(1);
        held.used = now;
        if !healthy && held.phase == Phase::Ready {
            held.phase = Phase::Retiring;
            actions.push(Action::Retire { instance, reason: Reason::Failed });
        }
    }

    fn replace(&mut self, revision: Revision, now: Duration) {
        for held in self.instances.values_mut().filter(|held| held.revision == revision) {
            held.stale = true;
        }
        self.backoffs.remove(&revision);
        self.replaced.retain(|_, at| now.saturating_sub(*at) < STRAGGLERS);
        self.replaced.insert(revision, now);
    }

    fn drain(&mut self, actions: &mut Vec<Action>) {
        self.draining = true;
        for (instance, held) in &mut self.instances {
            match held.phase {
                Phase::Starting { .. } => {
                    held.phase = Phase::Retiring;
                    actions.push(Action::Retire { instance: *instance, reason: Reason::Drain });
                }
                // Those that are ready go when they are free, and those wanted are never started.
                Phase::Wanted | Phase::Ready | Phase::Retiring => {}
            }
        }
    }
}

// === impl Held ===

impl Held {
    pub(crate) fn is_idle(&self) -> bool {
        self.phase == Phase::Ready && self.leases == 0
    }
}
