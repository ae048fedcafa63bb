//! What of a function stays while it is idle: windows of instances and of templates, what is made again ahead
//! of time, and what is learned from the gaps between uses.
//!
//! An instance that goes leaves an *absence* behind: its place in the order of use, so that the gap is known when
//! the request comes that would have taken it, and so that it can be made again in time. Absences are a stack, as
//! instances are used most recently used first. Nothing here starts or stops anything; `settle` does.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::demand::Demand;
use crate::event::{Conditions, Keep, Revision, Tier};
use crate::keep_alive::price::Price;
use crate::keep_alive::{Fork, KeepAlive, Plan, Prior, Terms, Window, histogram};

/// What is assumed of a function until it is measured: seconds of a start with an init and of a fork, GiB of an idle
/// instance, what a forked one has to itself as a share of it. From `bench/ratios.py`, the middle of three.
const FRESH: f64 = 0.13;
const FORK: f64 = 0.004;
const MEMORY: f64 = 0.022;
const OWN: f64 = 0.12;
/// A template has run the init and weighs as much as an instance that has.
const SHARE: f64 = 1.0;
/// Measured values are rounded to steps of this factor, so that a plan is not made anew for each.
const STEP: f64 = 1.25;
/// Absences that are remembered.
const ABSENCES: usize = 1_000;
/// Gaps below this are too short to be of use.
const BRIEF: Duration = Duration::from_secs(1);

/// An instance that has gone and whose next use has not come.
#[derive(Debug, Clone)]
pub(crate) struct Absence {
    pub revision: Revision,
    pub idle_since: Duration,
    pub quiet: bool,
    pub window: Window,
    /// It is not made again, because it was or because its revision was replaced.
    pub settled: bool,
}

/// What happens to the templates of a function on which nothing runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leave {
    pub goes: Duration,
    pub back: Option<Duration>,
    pub until: Duration,
}

/// What survives a restart.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Learned {
    keep_alive: KeepAlive,
    /// Whether it has ever had a template.
    forkable: bool,
    memory: Option<f64>,
    own_share: Option<f64>,
}

/// How long what is idle stays.
#[derive(Debug)]
pub(crate) struct Retention {
    learned: Learned,
    prior: Arc<Prior>,
    price: Price,
    terms: Terms,
    pub absences: Vec<Absence>,
    pub leave: Option<Leave>,
    /// Revisions whose templates are to be made again.
    pub away: Vec<Revision>,
}

// === impl Retention ===

impl Retention {
    pub fn new(learned: Learned, prior: Arc<Prior>) -> Self {
        let terms = Terms { cold_start: FRESH, fork: None, memory: MEMORY, price: Price::default() };
        let price = Price::default();
        Self { learned, prior, price, terms, absences: Vec::new(), leave: None, away: Vec::new() }
    }

    /// What survives a restart.
    pub fn learned(&self) -> &Learned {
        &self.learned
    }

    /// What the plans depend on now.
    pub fn terms(&self) -> Terms {
        self.terms
    }

    /// Gaps seen so far.
    pub fn observations(&self) -> u64 {
        self.learned.keep_alive.observations()
    }

    /// Takes what the node says into account.
    pub fn set(&mut self, conditions: Conditions) {
        self.price = conditions.price;
        self.learned.memory = conditions.memory.or(self.learned.memory);
        self.learned.own_share = conditions.own_share.or(self.learned.own_share);
    }

    /// It has a template.
    pub fn forks(&mut self) {
        self.learned.forkable = true;
    }

    /// Brings the terms up to date with what was measured.
    pub fn refresh(&mut self, demand: &Demand) {
        let fork = self.learned.forkable.then(|| Fork {
            delay: rounded(demand.start(Tier::Fork).unwrap_or(FORK)),
            share: SHARE,
            own: self.learned.own_share.map_or(OWN, rounded).min(1.0),
        });
        self.terms = Terms {
            cold_start: rounded(demand.start(Tier::Fresh).unwrap_or(FRESH)),
            fork,
            memory: rounded(self.learned.memory.unwrap_or(MEMORY)),
            price: Price(rounded(self.price.0)),
        };
    }

    /// What to keep from now on.
    pub fn plan(&mut self, keep: Keep) -> Plan {
        match keep {
            Keep::Fixed(time) => fixed(time, self.learned.keep_alive.plan(self.terms, &self.prior)),
            Keep::Learned => self.learned.keep_alive.plan(self.terms, &self.prior),
        }
    }

    /// [`Self::plan`], for those who only want to know.
    pub fn last_plan(&self, keep: Keep) -> Plan {
        let learned = self.learned.keep_alive.clone().plan(self.terms, &self.prior);
        match keep {
            Keep::Fixed(time) => fixed(time, learned),
            Keep::Learned => learned,
        }
    }

    /// An instance that was idle since then is used again, or would be.
    pub fn used(&mut self, idle_since: Duration, quiet: bool, now: Duration) {
        let gap = now.saturating_sub(idle_since);
        if gap >= BRIEF {
            self.learned.keep_alive.observe(gap.as_secs_f64(), quiet);
        }
    }

    /// A request has to be given a new instance: it ends the last absence.
    pub fn missed(&mut self, now: Duration) {
        if let Some(absence) = self.absences.pop() {
            self.used(absence.idle_since, absence.quiet, now);
        }
    }

    /// An idle instance goes.
    pub fn gone(&mut self, absence: Absence) {
        let index = self.absences.partition_point(|other| other.idle_since <= absence.idle_since);
        self.absences.insert(index, absence);
        if self.absences.len() > ABSENCES {
            self.absences.remove(0);
        }
    }

    /// Nothing of the function runs any more.
    pub fn quiet(&mut self, plan: Plan, now: Duration) {
        self.leave = plan.template.map(|window| {
            let until = now.saturating_add(seconds(window.until));
            if window.prewarms() {
                let back = Some(now.saturating_add(seconds(window.from)));
                Leave { goes: now.saturating_add(BRIEF), back, until }
            } else {
                Leave { goes: until, back: None, until }
            }
        });
    }

    /// A revision will not be called any more.
    pub fn replaced(&mut self, revision: &Revision) {
        self.away.retain(|away| away != revision);
        for absence in self.absences.iter_mut().filter(|absence| absence.revision == *revision) {
            absence.settled = true;
        }
    }

    /// When the instance that went last is to be made again.
    pub fn back(&self) -> Option<Duration> {
        let absence = self.absences.last().filter(|absence| !absence.settled && absence.window.prewarms())?;
        Some(absence.idle_since.saturating_add(seconds(absence.window.from)))
    }

    /// How often, per second, a new instance has to be needed for a fork in advance to be worth its memory; `None`:
    /// there is nothing to fork.
    pub fn spare_pays_at(&self) -> Option<f64> {
        let fork = self.terms.fork?;
        let held = self.terms.memory * fork.own * self.terms.price.per_gib_second();
        Some(held / fork.delay.max(1e-6))
    }

    /// What an idle instance of this age is worth per GiB.
    pub fn density(&self, age: Duration) -> f64 {
        self.learned.keep_alive.density(age.as_secs_f64(), self.terms, &self.prior)
    }
}

/// A window that is set is the instances'; the template stays for what it is worth, but not for less.
fn fixed(time: Duration, learned: Plan) -> Plan {
    let window = Window::keep(time.as_secs_f64());
    let template =
        learned.template.map(|template| Window { until: template.until.max(window.until), ..template });
    Plan { instance: window, template }
}

/// How long an instance stays at first, by its window.
pub(crate) fn stays(window: Window) -> Duration {
    if window.prewarms() { seconds(histogram::FLOOR) } else { seconds(window.until) }
}

/// Seconds as a duration; what is no duration is none.
pub(crate) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

fn rounded(value: f64) -> f64 {
    if value <= 0.0 || !value.is_finite() { 0.0 } else { STEP.powf((value.ln() / STEP.ln()).round()) }
}
