//! The state of one function and how events change it.
//!
//! Lifecycle of an instance: `Wanted` (waits for the node) → `Starting` → `Ready` ⇄ leased → `Retiring`
//! → forgotten. A start that fails is forgotten at once; an instance that dies is forgotten from any
//! phase. Invariants, which the property tests hold:
//! * never more instances than the cap, those on their way out included;
//! * a request is queued, assigned, refused or failed: exactly one of them, and never twice;
//! * requests of one revision are assigned in the order of their arrival;
//! * an instance is in use by at most as many requests as it has places, and never again after a failure;
//! * none is in use while it is frozen;
//! * none goes for idleness within its idle time of the last start.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backoff::Backoff;
use crate::demand::{Demand, Times};
use crate::event::{
    Action, Event, Instance, Policy, Ready, Reason, Refusal, Request, Revision, StartFault, Tier,
};
use crate::explain::{Cause, History, Rule};
use crate::held::{Held, Phase, Queued};
use crate::keep_alive::Prior;
use crate::retain::{Learned, Retention, stays};

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
    pub(crate) demand: Demand,
    pub(crate) retention: Retention,
    /// Revisions that have a template.
    pub(crate) templates: BTreeSet<Revision>,
    /// When an instance was last started.
    pub(crate) last_start: Option<Duration>,
    pub(crate) history: History,
    /// What the rule of the queue said last.
    pub(crate) rule: Option<Rule>,
    /// Places that instances of a revision turned out to have.
    pub(crate) places: BTreeMap<Revision, u32>,
    /// Until when nothing has to be done if nothing happens; never too late.
    pub(crate) check: Duration,
    /// Whether an idle instance is only there for the load, which each request that ends may change.
    pub(crate) kept_for_load: bool,
    /// Whether no request has just begun.
    pub(crate) calm: bool,
    /// Whether a spare is worth making as soon as no request is in its way.
    pub(crate) spare_pays: bool,
    /// Until when one is worth keeping.
    pub(crate) spare_until: Option<Duration>,
    /// When revisions were replaced, for as long as stragglers may come.
    replaced: BTreeMap<Revision, Duration>,
    next_instance: u64,
}

/// What of a function survives a restart. Serialises; its parts are nobody else's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    times: Times,
    learned: Learned,
}

/// How many of each there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that wait.
    pub queued: usize,
    /// Instances that wait for the node or start.
    pub starting: usize,
    /// Instances that are ready and handle nothing; spares are not among them.
    pub idle: usize,
    /// Instances that were forked in advance and that no request has had.
    pub spare: usize,
    /// Instances that handle something.
    pub busy: usize,
    /// Instances on their way out.
    pub retiring: usize,
}

/// Takes `event` into account at `now` and says what is to be done.
///
/// `now` is the time since any fixed moment and never goes back.
pub fn decide(state: &mut State, event: Event, now: Duration) -> Vec<Action> {
    let mut actions = Vec::new();
    state.calm = !matches!(event, Event::Arrive { .. } | Event::Admitted { .. } | Event::Started { .. });
    let settled = state.apply(event, now, &mut actions);
    if !settled || state.check <= now {
        state.settle(now, &mut actions);
        state.check = state.deadline(now).unwrap_or(Duration::MAX);
    }
    actions
}

// === impl State ===

impl State {
    /// A function without instances and requests, of which only this is believed.
    #[must_use]
    pub fn new(policy: Policy, prior: Arc<Prior>, memory: Memory) -> Self {
        let demand = Demand::new(memory.times);
        let mut retention = Retention::new(memory.learned, prior);
        retention.refresh(&demand);
        Self {
            policy,
            instances: BTreeMap::new(),
            queue: VecDeque::new(),
            backoffs: BTreeMap::new(),
            draining: false,
            demand,
            retention,
            templates: BTreeSet::new(),
            last_start: None,
            history: History::default(),
            rule: None,
            places: BTreeMap::new(),
            check: Duration::MAX,
            kept_for_load: false,
            calm: false,
            spare_pays: false,
            spare_until: None,
            replaced: BTreeMap::new(),
            next_instance: 1,
        }
    }

    /// What survives a restart.
    #[must_use]
    pub fn memory(&self) -> Memory {
        Memory { times: self.demand.times().clone(), learned: self.retention.learned().clone() }
    }

    /// When [`Event::Tick`] is due if nothing else happens before; later than `now`, if `now` is the time
    /// of the last [`decide`]. May be too early, never too late.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        (self.check < Duration::MAX).then_some(self.check)
    }

    /// How many of each there are.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts { queued: self.queue.len(), ..Counts::default() };
        for held in self.instances.values() {
            match held.phase {
                Phase::Wanted | Phase::Starting { .. } => counts.starting += 1,
                Phase::Ready if held.is_spare() => counts.spare += 1,
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

    /// The idle instance that is worth the least, and what it is worth: delay saved per second and GiB.
    #[must_use]
    pub fn cheapest(&self, now: Duration) -> Option<(Instance, f64)> {
        let idle = self.instances.iter().filter(|(_, held)| held.is_idle());
        idle.map(|(instance, held)| (*instance, self.retention.density(now.saturating_sub(held.idle_since))))
            .min_by(|(_, one), (_, other)| one.total_cmp(other))
    }

    /// Places of a revision's instances that are ready.
    #[must_use]
    pub fn ready(&self, revision: &str) -> u32 {
        let ready = |held: &&Held| held.phase == Phase::Ready && *held.revision == *revision;
        self.instances.values().filter(ready).map(|held| held.places).sum()
    }

    /// Whether an instance was forked in advance and no request has had it.
    #[must_use]
    pub fn is_spare(&self, instance: Instance) -> bool {
        self.instances.get(&instance).is_some_and(Held::is_spare)
    }

    /// How long an idle instance stays as things are.
    #[must_use]
    pub fn idle_time(&self) -> Duration {
        stays(self.retention.last_plan(self.policy.keep).instance)
    }

    /// Whether a revision is known to have a template.
    #[must_use]
    pub fn has_template(&self, revision: &str) -> bool {
        self.templates.contains(revision)
    }

    /// From what the next instance of a revision is made.
    pub(crate) fn tier(&self, revision: &Revision) -> Tier {
        if self.templates.contains(revision) { Tier::Fork } else { Tier::Fresh }
    }

    pub(crate) fn new_instance(&mut self, revision: &Revision, cause: Cause, now: Duration) -> Instance {
        let instance = Instance(self.next_instance);
        self.next_instance += 1;
        let held = Held {
            revision: Revision::clone(revision),
            phase: Phase::Wanted,
            leases: 0,
            places: self.places.get(revision).copied().unwrap_or(self.policy.concurrency).max(1),
            tier: self.tier(revision),
            used: now,
            idle_since: now,
            quiet: false,
            until: now,
            stays: Duration::ZERO,
            freeze: None,
            frozen: false,
            stale: self.replaced.get(revision).is_some_and(|at| now.saturating_sub(*at) < STRAGGLERS),
            closing: false,
            cause,
            expected: false,
            fresh: true,
        };
        self.instances.insert(instance, held);
        instance
    }

    /// Hands a request to an instance that has a place.
    pub(crate) fn assign(
        &mut self,
        request: Request,
        instance: Instance,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        self.retention.leave = None;
        let Some(held) = self.instances.get_mut(&instance) else { return };
        if held.leases == 0 {
            self.retention.used(held.idle_since, held.quiet, now);
        }
        if held.is_spare() {
            self.demand.needed(now);
        }
        held.leases += 1;
        held.expected = false;
        held.fresh = false;
        if std::mem::take(&mut held.frozen) {
            actions.push(Action::Thaw { instance });
        }
        actions.push(Action::Assign { request, instance });
    }

    /// Whether nothing follows from it.
    fn apply(&mut self, event: Event, now: Duration, actions: &mut Vec<Action>) -> bool {
        match event {
            Event::Configure(policy) => self.configure(policy),
            Event::Arrive { request, revision } => return self.arrive(request, revision, now, actions),
            Event::Leave { request } => self.queue.retain(|queued| queued.request != request),
            Event::Admitted { instance } => self.admitted(instance, now, actions),
            Event::Started { instance, ready } => self.started(instance, ready, now),
            Event::StartFailed { instance, fault } => self.start_failed(instance, fault, now, actions),
            Event::Released { instance, healthy, served } => {
                self.demand.served(served);
                return self.released(instance, healthy, now, actions);
            }
            Event::Returned { request, revision, arrived, instance } => {
                self.released(instance, false, now, actions);
                let index =
                    self.queue.partition_point(|other| (other.arrived, other.request) < (arrived, request));
                self.queue.insert(index, Queued::new(request, revision, arrived));
            }
            Event::Gone { instance } => drop(self.instances.remove(&instance)),
            Event::Replaced { revision } => self.replace(revision, now),
            Event::Template { revision, there } => self.template(revision, there, now),
            Event::Conditions(conditions) => {
                self.retention.set(conditions);
                self.retention.refresh(&self.demand);
                self.replan();
            }
            Event::Evict { instance } => self.evict(instance, now, actions),
            Event::Drain => self.drain(actions),
            Event::Tick => {}
        }
        false
    }

    fn configure(&mut self, policy: Policy) {
        let changed = policy.keep != self.policy.keep;
        self.policy = policy;
        if changed {
            self.replan();
        }
    }

    /// What is idle already stays by what is known now.
    fn replan(&mut self) {
        let stays = stays(self.retention.plan(self.policy.keep).instance);
        let idle = self.instances.values_mut().filter(|held| held.is_idle() && !held.expected);
        for held in idle {
            held.idles(held.idle_since, stays, held.quiet);
        }
    }

    fn arrive(
        &mut self,
        request: Request,
        revision: Revision,
        now: Duration,
        actions: &mut Vec<Action>,
    ) -> bool {
        self.demand.arrived(now);
        if let Some(limit) = self.policy.reserved.filter(|limit| self.in_progress() >= u64::from(*limit)) {
            actions.push(Action::Refuse { request, refusal: Refusal::Reserved { limit } });
            return false;
        }
        if self.queue.is_empty() && !self.draining {
            let free = self.instances.iter().filter(|(_, held)| held.free() > 0 && held.revision == revision);
            if let Some((instance, _)) = free.max_by_key(|(instance, held)| held.order(**instance)) {
                self.assign(request, *instance, now, actions);
                return true;
            }
        }
        self.queue.push_back(Queued::new(request, revision, now));
        false
    }

    fn in_progress(&self) -> u64 {
        let leases: u64 = self.instances.values().map(|held| u64::from(held.leases)).sum();
        leases + self.queue.len() as u64
    }

    fn admitted(&mut self, instance: Instance, now: Duration, actions: &mut Vec<Action>) {
        let Some(held) = self.instances.get_mut(&instance) else { return };
        if held.phase == Phase::Wanted {
            held.phase = Phase::Starting { began: now };
            self.last_start = Some(now);
            self.history.started(instance, &held.cause, now);
            let ahead = held.cause.is_ahead();
            if !ahead {
                self.demand.needed(now);
            }
            actions.push(Action::Start { instance, revision: Revision::clone(&held.revision), ahead });
        }
    }

    fn started(&mut self, instance: Instance, ready: Ready, now: Duration) {
        self.demand.started(ready.tier, ready.took);
        self.retention.refresh(&self.demand);
        let window = self.retention.plan(self.policy.keep).instance;
        let Some(held) = self.instances.get_mut(&instance) else { return };
        if !matches!(held.phase, Phase::Starting { .. }) {
            return;
        }
        held.phase = Phase::Ready;
        held.places = ready.places.max(1);
        held.tier = ready.tier;
        // A spare has nothing to do until it is needed.
        held.freeze = ready.freeze.map(|quiet| if held.is_spare() { Duration::ZERO } else { quiet });
        held.used = now;
        match held.cause {
            // Its window began when the instance that it stands for was last used.
            Cause::Expected { since, quiet, until } => {
                held.idle_since = since;
                held.quiet = quiet;
                held.until = until.max(now);
                held.stays = held.until.saturating_sub(now);
                held.expected = true;
            }
            _ => held.idles(now, stays(window), false),
        }
        self.places.insert(Revision::clone(&held.revision), held.places);
        self.backoffs.remove(&held.revision);
        self.rests(now);
    }

    /// Where nothing of the function runs, what it keeps goes in time.
    fn rests(&mut self, now: Duration) {
        let runs = self.instances.values().any(|held| held.leases > 0) || !self.queue.is_empty();
        if !runs && self.retention.leave.is_none() {
            let plan = self.retention.plan(self.policy.keep);
            self.retention.quiet(plan, now);
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

    /// Whether nothing follows from it.
    fn released(
        &mut self,
        instance: Instance,
        healthy: bool,
        now: Duration,
        actions: &mut Vec<Action>,
    ) -> bool {
        let Some(held) = self.instances.get_mut(&instance) else { return false };
        held.leases = held.leases.saturating_sub(1);
        held.used = now;
        if !healthy && held.phase == Phase::Ready {
            held.phase = Phase::Retiring;
            self.history.stopped(instance, Reason::Failed, now);
            actions.push(Action::Retire { instance, reason: Reason::Failed });
        }
        let (idle, kept) = (held.leases == 0, held.phase == Phase::Ready && !held.stale && !held.closing);
        if idle {
            self.becomes_idle(instance, now);
        }
        let within = self.instances.len() <= self.policy.max_instances as usize;
        let settled = kept
            && within
            && self.queue.is_empty()
            && !self.draining
            && !self.kept_for_load
            && !self.spare_pays;
        if settled && idle {
            let due = self.instances.get(&instance).and_then(|held| self.held_deadline(held, now));
            let leave = self.retention.leave.filter(|_| !self.templates.is_empty()).map(|leave| leave.goes);
            self.check = [due, leave].into_iter().flatten().fold(self.check, Duration::min);
        }
        settled
    }

    fn becomes_idle(&mut self, instance: Instance, now: Duration) {
        let quiet = self.instances.values().all(|held| held.leases == 0);
        let plan = self.retention.plan(self.policy.keep);
        if quiet {
            self.retention.quiet(plan, now);
        }
        if let Some(held) = self.instances.get_mut(&instance) {
            held.idles(now, stays(plan.instance), quiet);
        }
    }

    fn replace(&mut self, revision: Revision, now: Duration) {
        for held in self.instances.values_mut().filter(|held| held.revision == revision) {
            held.stale = true;
        }
        self.backoffs.remove(&revision);
        self.places.remove(&revision);
        // It goes too, and nothing is to be forked from it in advance.
        self.templates.remove(&revision);
        self.retention.replaced(&revision);
        self.replaced.retain(|_, at| now.saturating_sub(*at) < STRAGGLERS);
        self.replaced.insert(revision, now);
    }

    fn template(&mut self, revision: Revision, there: bool, now: Duration) {
        if there {
            self.retention.forks();
            self.retention.refresh(&self.demand);
            self.templates.insert(revision);
            self.retention.leave = None;
            self.rests(now);
        } else {
            self.templates.remove(&revision);
        }
    }

    fn evict(&mut self, instance: Instance, now: Duration, actions: &mut Vec<Action>) {
        if self.instances.get(&instance).is_some_and(Held::is_idle) {
            self.let_go(instance, Reason::Pressure, now, actions);
        }
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
