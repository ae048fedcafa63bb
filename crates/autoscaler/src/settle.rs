//! What follows from a state, after each event that is not settled by itself: walk the queue in order, then see
//! to what is left ([`crate::keep`]).
//!
//! Each waiting request takes the first of: a free place of its revision, a start under way that is ready as soon
//! as a new one would be, a place that becomes free sooner than that ([`Rule`]), a new start if there is room under
//! the cap, a place that is being freed, an idle instance of another revision (which is evicted), a busy one
//! (which gets nothing more). A request further back never takes what an earlier one of the same revision could
//! have had.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::event::{Action, Instance, Reason, Refusal, Revision};
use crate::explain::{Cause, Rule};
use crate::held::{Held, Hope, Phase, Queued};
use crate::retain::seconds;
use crate::scale::State;

/// A start takes at least this long, as far as waiting for one's place is concerned.
const SHORTEST: Duration = Duration::from_millis(1);

/// What one walk over the queue has to give out.
struct Supply {
    /// Free places per revision, the one to be used first last.
    free: BTreeMap<Revision, Vec<Instance>>,
    /// Requests per revision that starts under way will serve.
    covering: BTreeMap<Revision, u32>,
    /// What is expected per revision within the time of a start; `None`: not known, or no reason to wait.
    soon: BTreeMap<Revision, Option<Soon>>,
    /// Instances that may be started now.
    room: u32,
    /// Places under the cap that retiring instances are about to leave.
    leaving: u32,
    /// Places that busy instances leave once they are free.
    closing: u32,
    /// Earlier requests per revision that wait for an instance of their own revision to become free.
    waiting: BTreeMap<Revision, u32>,
    /// Revisions for which no instance of another can be displaced any more.
    hopeless: BTreeSet<Revision>,
    /// Whether all instances and requests are of one revision.
    uniform: bool,
}

/// Places that become free within the time of a start.
#[derive(Debug, Clone, Copy)]
struct Soon {
    places: f64,
    /// Seconds of a start.
    start: f64,
    service: f64,
    /// Requests that have taken one.
    taken: u32,
}

/// What becomes of one request in the walk.
enum Verdict {
    Assign(Instance),
    Refuse(Refusal),
    Waits(Hope),
}

// === impl State ===

impl State {
    /// Brings requests and instances together; see the module's documentation.
    pub(crate) fn settle(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.queue.is_empty() {
            self.withdraw_surplus(&self.coverage(), actions);
        } else {
            let mut supply = self.supply();
            let mut queue = std::mem::take(&mut self.queue);
            queue.retain_mut(|queued| self.place(queued, &mut supply, now, actions));
            self.queue = queue;
            self.withdraw_surplus(&supply.covering, actions);
        }
        self.keep(now, actions);
    }

    fn supply(&self) -> Supply {
        let mut ready: Vec<(&Instance, &Held)> =
            self.instances.iter().filter(|(_, held)| held.free() > 0).collect();
        ready.sort_by_key(|(instance, held)| held.order(**instance));
        let mut free: BTreeMap<Revision, Vec<Instance>> = BTreeMap::new();
        for (instance, held) in ready {
            free.entry(Revision::clone(&held.revision))
                .or_default()
                .extend(std::iter::repeat_n(*instance, held.free() as usize));
        }
        let count = |matching: fn(&Held) -> bool| -> u32 {
            self.instances.values().filter(|held| matching(held)).count().try_into().unwrap_or(u32::MAX)
        };
        let cap = self.policy.max_instances;
        let all = count(|_| true);
        let retiring = count(|held| held.phase == Phase::Retiring);
        let closing = count(|held| held.phase == Phase::Ready && held.closing);
        let room = cap.saturating_sub(all);
        let after_retiring = cap.saturating_sub(all.saturating_sub(retiring));
        let after_closing = cap.saturating_sub(all.saturating_sub(retiring + closing));
        Supply {
            free,
            covering: self.coverage(),
            soon: BTreeMap::new(),
            room,
            leaving: after_retiring.saturating_sub(room),
            closing: after_closing.saturating_sub(after_retiring),
            waiting: BTreeMap::new(),
            hopeless: BTreeSet::new(),
            uniform: self.uniform(),
        }
    }

    fn uniform(&self) -> bool {
        let queued = self.queue.iter().map(|queued| &queued.revision);
        let mut all = self.instances.values().map(|held| &held.revision).chain(queued);
        all.next().is_none_or(|first| all.all(|other| other == first))
    }

    fn coverage(&self) -> BTreeMap<Revision, u32> {
        let mut covering = BTreeMap::new();
        for held in self.instances.values().filter(|held| held.is_coming() && !held.cause.is_ahead()) {
            let places = covering.entry(Revision::clone(&held.revision)).or_insert(0_u32);
            *places = places.saturating_add(held.places);
        }
        covering
    }

    /// Decides about one request; `true` keeps it in the queue.
    fn place(
        &mut self,
        queued: &mut Queued,
        supply: &mut Supply,
        now: Duration,
        actions: &mut Vec<Action>,
    ) -> bool {
        let verdict = if self.draining {
            Verdict::Refuse(Refusal::Draining)
        } else if supply.is_exhausted() {
            Verdict::Waits(Hope::Anything)
        } else {
            self.verdict(queued, supply, now, actions)
        };
        let request = queued.request;
        let refusal = match verdict {
            Verdict::Assign(instance) => {
                self.assign(request, instance, now, actions);
                return false;
            }
            Verdict::Refuse(refusal) => refusal,
            Verdict::Waits(hope) => {
                queued.hope = hope;
                let waited = now.saturating_sub(queued.arrived);
                if hope != Hope::Anything || waited < self.policy.queue {
                    return true;
                }
                Refusal::QueueTimeout { waited }
            }
        };
        actions.push(Action::Refuse { request, refusal });
        false
    }

    fn verdict(
        &mut self,
        queued: &mut Queued,
        supply: &mut Supply,
        now: Duration,
        actions: &mut Vec<Action>,
    ) -> Verdict {
        let revision = &Revision::clone(&queued.revision);
        if let Some(instance) = supply.free.get_mut(revision).and_then(Vec::pop) {
            return Verdict::Assign(instance);
        }
        let cause = match self.rides(queued, supply, now) {
            Ok(hope) => return Verdict::Waits(hope),
            Err(cause) => cause,
        };
        if let Some(verdict) = self.hold_back(revision, now) {
            return verdict;
        }
        if take(Some(&mut supply.room)) {
            let instance = self.new_instance(revision, cause, now);
            self.retention.missed(now);
            actions.push(Action::Want { instance, tier: self.tier(revision) });
            let places = self.instances.get(&instance).map_or(1, |held| held.places);
            let more = supply.covering.entry(Revision::clone(revision)).or_insert(0);
            *more = more.saturating_add(places.saturating_sub(1));
            if let Some(Some(soon)) = supply.soon.get_mut(revision) {
                soon.places += f64::from(places) - 1.0;
            }
            return Verdict::Waits(Hope::Start);
        }
        if take(supply.covering.get_mut(revision)) || take(Some(&mut supply.leaving)) {
            return Verdict::Waits(Hope::Start);
        }
        if take(Some(&mut supply.closing)) {
            return Verdict::Waits(Hope::Anything);
        }
        self.displace(revision, supply, now, actions)
    }

    /// Whether a request may wait for what is there or on its way, or else why a start is made for it.
    fn rides(&mut self, queued: &mut Queued, supply: &mut Supply, now: Duration) -> Result<Hope, Cause> {
        let revision = &queued.revision;
        let known = match supply.soon.get(revision) {
            Some(known) => *known,
            None => {
                let known = self.soon(revision, now);
                supply.soon.insert(Revision::clone(revision), known);
                known
            }
        };
        let covering = supply.covering.get(revision).is_some_and(|places| *places > 0);
        let Some(mut soon) = known else {
            if take(supply.covering.get_mut(revision)) {
                return Ok(Hope::Start);
            }
            return Err(Cause::Unknown);
        };
        soon.taken = soon.taken.saturating_add(1);
        let overdue = queued.promised.is_some_and(|promised| promised <= now);
        let rides = soon.places >= 1.0 && (covering || !overdue);
        self.rule = Some(Rule::new(soon.taken, soon.places, soon.start, soon.service, !rides, now));
        if !rides {
            supply.soon.insert(Revision::clone(revision), Some(soon));
            let place = soon.taken;
            return Err(if overdue { Cause::Broken } else { Cause::Longer { place, start: soon.start } });
        }
        soon.places -= 1.0;
        supply.soon.insert(Revision::clone(revision), Some(soon));
        if take(supply.covering.get_mut(revision)) {
            return Ok(Hope::Start);
        }
        queued.promised.get_or_insert_with(|| now.saturating_add(seconds(soon.start).max(SHORTEST)));
        Ok(Hope::Place)
    }

    /// How many places of a revision become free within the time of a start: those in use at the rate at which
    /// requests end, and those on their way from when they are ready on.
    fn soon(&self, revision: &Revision, now: Duration) -> Option<Soon> {
        let tier = self.tier(revision);
        let (start, service) = (self.demand.start(tier)?, self.demand.service()?);
        if seconds(start) > self.policy.queue {
            return None;
        }
        let turns = |time: f64| time / service.max(1e-6);
        let own = self.instances.values().filter(|held| held.revision == *revision && !held.closing);
        let places = own.map(|held| match held.phase {
            Phase::Ready => f64::from(held.leases) * turns(start),
            Phase::Wanted => f64::from(held.places),
            Phase::Starting { began } => {
                let usual = self.demand.start(held.tier).unwrap_or(start);
                let left = (usual - now.saturating_sub(began).as_secs_f64()).max(0.0);
                if left > start { 0.0 } else { f64::from(held.places) * (1.0 + turns(start - left)) }
            }
            Phase::Retiring => 0.0,
        });
        Some(Soon { places: places.sum(), start, service, taken: 0 })
    }

    /// The answer for a revision whose init keeps failing; `None`: it may be started.
    fn hold_back(&self, revision: &Revision, now: Duration) -> Option<Verdict> {
        let backoff = self.backoffs.get(revision)?;
        let mut own = self.instances.values().filter(|held| held.revision == *revision);
        if let Some(retry_after) = backoff.paused(now) {
            let hope = own.any(|held| held.phase == Phase::Ready || held.is_coming());
            let refusal = Refusal::BackingOff { retry_after };
            return Some(if hope { Verdict::Waits(Hope::Anything) } else { Verdict::Refuse(refusal) });
        }
        (backoff.probing() && own.any(Held::is_coming)).then_some(Verdict::Waits(Hope::Anything))
    }

    /// Makes an instance of another revision give up its place.
    fn displace(
        &mut self,
        revision: &Revision,
        supply: &mut Supply,
        now: Duration,
        actions: &mut Vec<Action>,
    ) -> Verdict {
        let victim = if supply.hopeless.contains(revision) { None } else { self.victim(revision, supply) };
        let Some((instance, idle)) = victim else {
            supply.hopeless.insert(Revision::clone(revision));
            let waiting = supply.waiting.entry(Revision::clone(revision)).or_insert(0);
            *waiting = waiting.saturating_add(1);
            return Verdict::Waits(Hope::Anything);
        };
        if let Some(held) = self.instances.get_mut(&instance) {
            if let Some(free) = supply.free.get_mut(&held.revision) {
                free.retain(|other| *other != instance);
            }
            if idle {
                held.phase = Phase::Retiring;
                self.history.stopped(instance, Reason::Evicted, now);
                actions.push(Action::Retire { instance, reason: Reason::Evicted });
                return Verdict::Waits(Hope::Start);
            }
            held.closing = true;
        }
        Verdict::Waits(Hope::Anything)
    }

    /// The instance of another revision that is missed least: replaced before current, idle before busy,
    /// least recently used first; none that an earlier request of its own revision waits for.
    fn victim(&self, revision: &Revision, supply: &Supply) -> Option<(Instance, bool)> {
        let mut usable: BTreeMap<&Revision, u32> = BTreeMap::new();
        let candidates: Vec<(&Instance, &Held)> = self
            .instances
            .iter()
            .filter(|(_, held)| held.phase == Phase::Ready && !held.closing && held.revision != *revision)
            .collect();
        for (_, held) in &candidates {
            *usable.entry(&held.revision).or_insert(0) += 1;
        }
        let missed = |held: &Held| supply.waiting.get(&held.revision).copied().unwrap_or(0);
        candidates
            .into_iter()
            .filter(|(_, held)| usable.get(&held.revision).copied().unwrap_or(0) > missed(held))
            .min_by_key(|(instance, held)| (held.leases, !held.stale, held.used, **instance))
            .map(|(instance, held)| (*instance, held.leases == 0))
    }

    /// Takes back starts that nobody waits for and that have not begun.
    fn withdraw_surplus(&mut self, covering: &BTreeMap<Revision, u32>, actions: &mut Vec<Action>) {
        for (revision, places) in covering.iter().filter(|(_, places)| **places > 0) {
            let mut surplus = *places;
            let mut wanted = Vec::new();
            let own = self.instances.iter().rev().filter(|(_, held)| held.revision == *revision);
            for (instance, held) in own {
                if held.phase == Phase::Wanted && !held.cause.is_ahead() && held.places <= surplus {
                    surplus -= held.places;
                    wanted.push(*instance);
                }
            }
            for instance in wanted {
                self.instances.remove(&instance);
                actions.push(Action::Withdraw { instance });
            }
        }
    }
}

// === impl Supply ===

impl Supply {
    /// Whether there is nothing left for anybody: most of a long queue at the cap.
    fn is_exhausted(&self) -> bool {
        self.room == 0
            && self.leaving == 0
            && self.closing == 0
            && self.uniform
            && self.free.values().all(Vec::is_empty)
            && self.covering.values().all(|places| *places == 0)
    }
}

/// Takes one from a count, if there is one.
fn take(count: Option<&mut u32>) -> bool {
    match count {
        Some(count) if *count > 0 => {
            *count -= 1;
            true
        }
        _ => false,
    }
}
