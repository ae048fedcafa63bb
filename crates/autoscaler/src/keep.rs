//! What is done after the queue has been walked: what is provisioned or expected is started, what is not worth
//! keeping goes, what stays is frozen; and when to look again.
//!
//! Idle instances stay for their window, for what is provisioned of their revision, and for the load with its
//! fluctuations ([`crate::demand`]); and none goes for idleness within its window of a scale-up.

use std::time::Duration;

use crate::backoff::Backoff;
use crate::event::{Action, Instance, Reason, Revision, Tier};
use crate::explain::Cause;
use crate::held::{Held, Hope, Phase};
use crate::retain::{Absence, seconds};
use crate::scale::State;

// === impl State ===

impl State {
    pub(crate) fn keep(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if !self.draining {
            self.provision(now, actions);
            self.bring_back(now, actions);
            self.make_spares(now, actions);
            self.templates_go(now, actions);
        }
        self.retire(now, actions);
        self.freeze(now, actions);
    }

    /// When an event is needed if nothing happens; later than `now`, right after [`State::keep`].
    pub(crate) fn deadline(&self, now: Duration) -> Option<Duration> {
        let held = self.instances.values().filter_map(|held| self.held_deadline(held, now)).min();
        // The queue is in order of arrival: the first that can time out is the first that does.
        let anyhow = self.queue.iter().find(|queued| queued.hope == Hope::Anything);
        let queue = anyhow.map(|queued| queued.arrived.saturating_add(self.policy.queue));
        let rides = self.queue.iter().filter(|queued| queued.hope == Hope::Place);
        let promised = rides.filter_map(|queued| queued.promised).min();
        let provisioned = !self.policy.provisioned.is_empty();
        let pauses = self.backoffs.values().map(Backoff::retry_at).filter(|at| *at > now);
        let retry = if provisioned || anyhow.is_some() { pauses.min() } else { None };
        let (leave, back) = if self.draining { (None, None) } else { (self.leaves(), self.retention.back()) };
        let back = back.filter(|at| *at > now);
        [held, queue, promised, retry, leave, back].into_iter().flatten().min()
    }

    /// When an idle instance is to be looked at.
    pub(crate) fn held_deadline(&self, held: &Held, now: Duration) -> Option<Duration> {
        if !held.is_idle() {
            return None;
        }
        let freezes = held.freeze.filter(|_| !held.frozen).map(|after| held.used.saturating_add(after));
        let freezes = freezes.filter(|at| *at > now);
        let goes = if self.is_provisioned(held) {
            None
        } else if self.due(held) > now {
            Some(self.due(held))
        } else {
            // Its time is over: the load keeps it.
            Some(self.demand.below(self.places_without(held).saturating_add(1), now))
        };
        [freezes, goes].into_iter().flatten().min()
    }

    /// When an idle instance may go.
    pub(crate) fn due(&self, held: &Held) -> Duration {
        if held.is_spare() {
            return self.spare_until.unwrap_or(held.until);
        }
        let scaled = self.last_start.map_or(Duration::ZERO, |start| start.saturating_add(held.stays));
        held.until.max(scaled)
    }

    /// Whether it is one of those that are kept ready whatever happens.
    pub(crate) fn is_provisioned(&self, held: &Held) -> bool {
        let Some(wanted) = self.policy.provisioned.get(&held.revision) else { return false };
        let others = self.provided(&held.revision).saturating_sub(held.places);
        !held.stale && !held.closing && others < *wanted
    }

    /// Places of a revision that are there or on their way.
    pub(crate) fn provided(&self, revision: &Revision) -> u32 {
        let own = self.instances.values().filter(|held| held.revision == *revision);
        own.filter(|held| (held.phase == Phase::Ready || held.is_coming()) && !held.closing)
            .map(|held| held.places)
            .sum()
    }

    /// Places that stay when this instance goes.
    pub(crate) fn places_without(&self, held: &Held) -> u32 {
        let staying = self.instances.values().filter(|held| held.phase == Phase::Ready || held.is_coming());
        let all: u32 = staying.filter(|held| !held.stale).map(|held| held.places).sum();
        all.saturating_sub(held.places)
    }

    fn room(&self) -> bool {
        self.instances.len() < self.policy.max_instances as usize
    }

    fn provision(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let provisioned: Vec<(Revision, u32)> =
            self.policy.provisioned.iter().map(|(revision, places)| (revision.clone(), *places)).collect();
        for (revision, places) in provisioned {
            let held_back = |state: &Self| {
                let coming = |held: &&Held| held.revision == revision && held.is_coming();
                state.backoffs.get(&revision).is_some_and(|backoff| {
                    backoff.paused(now).is_some()
                        || backoff.probing() && state.instances.values().any(|held| coming(&held))
                })
            };
            while self.provided(&revision) < places && self.room() && !held_back(self) {
                let instance = self.new_instance(&revision, Cause::Provisioned, now);
                actions.push(Action::Want { instance, tier: self.tier(&revision) });
            }
        }
    }

    /// Makes the instance that went last again when its window begins, unless another is there for its request.
    fn bring_back(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.retention.back().is_none_or(|back| back > now) {
            return;
        }
        let needless = !self.room() || self.instances.values().any(|held| held.is_idle() || held.is_coming());
        let Some(absence) = self.retention.absences.last_mut() else { return };
        absence.settled = true;
        let until = absence.idle_since.saturating_add(seconds(absence.window.until));
        if needless || until <= now {
            return;
        }
        let Some(absence) = self.retention.absences.pop() else { return };
        let cause = Cause::Expected { since: absence.idle_since, quiet: absence.quiet, until };
        let instance = self.new_instance(&absence.revision, cause, now);
        actions.push(Action::Want { instance, tier: self.tier(&absence.revision) });
    }

    /// Forks an instance in advance where new ones are needed often enough and none is idle. Not while a request
    /// waits or has just begun: it would be in its way.
    fn make_spares(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let pays = self.retention.spare_pays_at().and_then(|rate| self.demand.needs(rate, now));
        self.spare_until = pays;
        self.spare_pays = false;
        if pays.is_none() || !self.queue.is_empty() || !self.calm {
            return;
        }
        self.spare_pays = self.templates.iter().any(|revision| {
            !self.instances.values().any(|held| held.revision == *revision && held.is_spare())
        });
        for revision in self.templates.clone() {
            let own = || self.instances.values().filter(|held| held.revision == revision);
            let there = own().any(|held| held.is_idle() || held.is_coming());
            let current = !own().any(|held| held.stale);
            if there || !current || !self.room() {
                continue;
            }
            let instance = self.new_instance(&revision, Cause::Spare, now);
            actions.push(Action::Want { instance, tier: Tier::Fork });
        }
    }

    fn leaves(&self) -> Option<Duration> {
        let leave = self.retention.leave?;
        let back = leave.back.filter(|_| !self.retention.away.is_empty());
        let goes = (!self.templates.is_empty()).then_some(leave.goes);
        [back, goes].into_iter().flatten().min()
    }

    /// Lets templates go when their window ends, and has them made again when it begins.
    fn templates_go(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let Some(mut leave) = self.retention.leave else { return };
        if leave.goes <= now && !self.templates.is_empty() {
            let gone = std::mem::take(&mut self.templates);
            for revision in &gone {
                actions.push(Action::RetireTemplate { revision: Revision::clone(revision) });
            }
            if leave.back.is_some_and(|back| back > now) {
                self.retention.away.extend(gone);
            }
        }
        if leave.back.is_some_and(|back| back <= now) {
            leave.back = None;
            leave.goes = leave.until.max(now);
            for revision in std::mem::take(&mut self.retention.away) {
                actions.push(Action::MakeTemplate { revision });
            }
        }
        self.retention.leave = Some(leave);
    }

    /// Ends what is idle and not to be kept.
    fn retire(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let cap = self.policy.max_instances as usize;
        let staying = self.instances.values().filter(|held| held.phase != Phase::Retiring).count();
        let mut over = staying.saturating_sub(cap);
        let mut idle: Vec<(bool, Duration, Instance)> = self
            .instances
            .iter()
            .filter(|(_, held)| held.is_idle())
            .map(|(instance, held)| (!held.stale, held.used, *instance))
            .collect();
        self.kept_for_load = false;
        idle.sort_unstable();
        let wanted = self.demand.places(now);
        for (_, _, instance) in idle {
            let Some(held) = self.instances.get(&instance) else { continue };
            let reason = if self.draining {
                Reason::Drain
            } else if held.stale {
                Reason::Replaced
            } else if held.closing || over > 0 {
                Reason::Evicted
            } else if self.due(held) <= now
                && self.places_without(held) >= wanted
                && !self.is_provisioned(held)
            {
                Reason::Idle
            } else {
                self.kept_for_load |= self.due(held) <= now;
                continue;
            };
            over = over.saturating_sub(1);
            self.let_go(instance, reason, now, actions);
        }
    }

    /// Ends an idle instance and remembers its place.
    pub(crate) fn let_go(
        &mut self,
        instance: Instance,
        reason: Reason,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        let window = self.retention.plan(self.policy.keep).instance;
        let Some(held) = self.instances.get_mut(&instance) else { return };
        held.phase = Phase::Retiring;
        // A spare was nobody's: its end is not the beginning of a gap.
        if matches!(reason, Reason::Idle | Reason::Pressure | Reason::Replaced) && !held.is_spare() {
            self.retention.gone(Absence {
                revision: Revision::clone(&held.revision),
                idle_since: held.idle_since,
                quiet: held.quiet,
                window,
                // Once is enough: it has not come in the window that it was expected in.
                settled: reason != Reason::Idle || held.expected,
            });
        }
        self.history.stopped(instance, reason, now);
        actions.push(Action::Retire { instance, reason });
    }

    fn freeze(&mut self, now: Duration, actions: &mut Vec<Action>) {
        for (instance, held) in &mut self.instances {
            let due = held.freeze.is_some_and(|after| held.used.saturating_add(after) <= now);
            if due && held.is_idle() && !held.frozen {
                held.frozen = true;
                actions.push(Action::Freeze { instance: *instance });
            }
        }
    }
}
