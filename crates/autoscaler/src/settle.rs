//! What follows from a state, after each event: walk the queue in order, then look at what is left.
//!
//! Each waiting request takes the first of: a free place of its revision (the most recently used
//! instance), a start under way, a new start if there is room under the cap, a place that is being
//! freed, an idle instance of another revision (which is evicted), a busy one (which gets nothing more).
//! A request further back never takes what an earlier one of the same revision could have had.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::event::{Action, Instance, Reason, Refusal, Revision};
use crate::scale::{Held, Phase, Queued, State};

/// What one walk over the queue has to give out.
struct Supply {
    /// Free places per revision, most recently used last.
    free: BTreeMap<Revision, Vec<Instance>>,
    /// Requests per revision that starts under way will serve.
    covering: BTreeMap<Revision, u32>,
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
}

/// What becomes of one request in the walk.
enum Verdict {
    Assign(Instance),
    Refuse(Refusal),
    /// A start or a free place is on its way.
    Covered,
    Waits,
}

// === impl State ===

impl State {
    /// Brings requests and instances together; see the module's documentation.
    pub(crate) fn settle(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if !self.queue.is_empty() {
            let mut supply = self.supply();
            let mut queue = std::mem::take(&mut self.queue);
            queue.retain_mut(|queued| self.place(queued, &mut supply, now, actions));
            self.queue = queue;
            self.withdraw_surplus(&supply.covering, actions);
        } else {
            self.withdraw_surplus(&self.coverage(), actions);
        }
        self.retire(now, actions);
    }

    fn supply(&self) -> Supply {
        let mut ready: Vec<(&Instance, &Held)> =
            self.instances.iter().filter(|(_, held)| held.phase == Phase::Ready && !held.closing).collect();
        ready.sort_by_key(|(instance, held)| (held.used, **instance));
        let mut free: BTreeMap<Revision, Vec<Instance>> = BTreeMap::new();
        for (instance, held) in ready {
            let places = self.policy.concurrency.saturating_sub(held.leases) as usize;
            free.entry(Revision::clone(&held.revision))
                .or_default()
                .extend(std::iter::repeat_n(*instance, places));
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
            room,
            leaving: after_retiring.saturating_sub(room),
            closing: after_closing.saturating_sub(after_retiring),
            waiting: BTreeMap::new(),
            hopeless: BTreeSet::new(),
        }
    }

    fn coverage(&self) -> BTreeMap<Revision, u32> {
        let mut covering = BTreeMap::new();
        for held in self.instances.values() {
            if matches!(held.phase, Phase::Wanted | Phase::Starting { .. }) {
                let places = covering.entry(Revision::clone(&held.revision)).or_insert(0_u32);
                *places = places.saturating_add(self.policy.concurrency);
            }
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
        } else {
            self.verdict(&queued.revision, supply, now, actions)
        };
        queued.covered = matches!(verdict, Verdict::Covered);
        let request = queued.request;
        let refusal = match verdict {
            Verdict::Assign(instance) => {
                if let Some(held) = self.instances.get_mut(&instance) {
                    held.leases += 1;
                }
                actions.push(Action::Assign { request, instance });
                return false;
            }
            Verdict::Refuse(refusal) => refusal,
            Verdict::Covered => return true,
            Verdict::Waits => {
                let waited = now.saturating_sub(queued.arrived);
                if waited < self.policy.queue {
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
        revision: &Revision,
        supply: &mut Supply,
        now: Duration,
        actions: &mut Vec<Action>,
    ) -> Verdict {
        if let Some(instance) = supply.free.get_mut(revision).and_then(Vec::pop) {
            return Verdict::Assign(instance);
        }
        if take(supply.covering.get_mut(revision)) {
            return Verdict::Covered;
        }
        if let Some(verdict) = self.hold_back(revision, now) {
            return verdict;
        }
        if take(Some(&mut supply.room)) {
            let instance = self.new_instance(revision, now);
            actions.push(Action::Want { instance });
            supply.covering.insert(Revision::clone(revision), self.policy.concurrency.saturating_sub(1));
            return Verdict::Covered;
        }
        if take(Some(&mut supply.leaving)) {
            return Verdict::Covered;
        }
        if take(Some(&mut supply.closing)) {
            return Verdict::Waits;
        }
        self.displace(revision, supply, actions)
    }

    /// The answer for a revision whose init keeps failing; `None`: it may be started.
    fn hold_back(&self, revision: &Revision, now: Duration) -> Option<Verdict> {
        let backoff = self.backoffs.get(revision)?;
        let mut own = self.instances.values().filter(|held| held.revision == *revision);
        let starting = |held: &Held| matches!(held.phase, Phase::Wanted | Phase::Starting { .. });
        if let Some(retry_after) = backoff.paused(now) {
            let hope = own.any(|held| held.phase == Phase::Ready || starting(held));
            let refusal = Refusal::BackingOff { retry_after };
            return Some(if hope { Verdict::Waits } else { Verdict::Refuse(refusal) });
        }
        (backoff.probing() && own.any(starting)).then_some(Verdict::Waits)
    }

    /// Makes an instance of another revision give up its place.
    fn displace(&mut self, revision: &Revision, supply: &mut Supply, actions: &mut Vec<Action>) -> Verdict {
        let victim = if supply.hopeless.contains(revision) { None } else { self.victim(revision, supply) };
        let Some((instance, idle)) = victim else {
            supply.hopeless.insert(Revision::clone(revision));
            let waiting = supply.waiting.entry(Revision::clone(revision)).or_insert(0);
            *waiting = waiting.saturating_add(1);
            return Verdict::Waits;
        };
        if let Some(held) = self.instances.get_mut(&instance) {
            if let Some(free) = supply.free.get_mut(&held.revision) {
                free.retain(|other| *other != instance);
            }
            if idle {
                held.phase = Phase::Retiring;
                actions.push(Action::Retire { instance, reason: Reason::Evicted });
                return Verdict::Covered;
            }
            held.closing = true;
        }
        Verdict::Waits
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
        for (revision, places) in covering {
            let surplus = places / self.policy.concurrency.max(1);
            let wanted: Vec<Instance> = self
                .instances
                .iter()
                .rev()
                .filter(|(_, held)| held.phase == Phase::Wanted && held.revision == *revision)
                .map(|(instance, _)| *instance)
                .take(surplus as usize)
                .collect();
            for instance in wanted {
                self.instances.remove(&instance);
                actions.push(Action::Withdraw { instance });
            }
        }
    }

    /// Ends what is idle and not to be kept.
    fn retire(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let cap = self.policy.max_instances as usize;
        let staying = self.instances.values().filter(|held| held.phase != Phase::Retiring).count();
        let mut over = staying.saturating_sub(cap);
        let mut idle: Vec<(&Instance, &mut Held)> =
            self.instances.iter_mut().filter(|(_, held)| held.is_idle()).collect();
        idle.sort_by_key(|(instance, held)| (!held.stale, held.used, **instance));
        for (instance, held) in idle {
            let reason = if self.draining {
                Reason::Drain
            } else if held.stale {
                Reason::Replaced
            } else if held.closing || over > 0 {
                Reason::Evicted
            } else if held.used.saturating_add(self.policy.idle) <= now {
                Reason::Idle
            } else {
                continue;
            };
            over = over.saturating_sub(1);
            held.phase = Phase::Retiring;
            actions.push(Action::Retire { instance: *instance, reason });
        }
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
