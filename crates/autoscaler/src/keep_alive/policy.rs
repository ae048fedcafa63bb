//! What is kept of one function while it is idle: an instance for one window, its template for another,
//! then nothing. Fed with idle gaps, asked for a [`Plan`] at the end of each run.
//!
//! One value per function, made at its first start and thrown away with the function; a restart keeps it by
//! serialising it. It refits when the observations grew by a quarter (every 256 observations at the latest)
//! or the terms changed, and answers from the last fit otherwise.

use serde::{Deserialize, Serialize};

use super::histogram::{FLOOR, Histogram};
use super::price::Price;
use super::prior::Prior;
use super::window::{self, Costs, Point, Window};

/// Observations that the prior weighs as much as.
const PRIOR_WEIGHT: f64 = 2.0;
/// What a start costs when nobody waits for it, as a share of what it costs when somebody does.
const PREWARM: f64 = 0.02;
/// Observations before gaps are trusted enough to go away and come back.
const PREWARM_AFTER: u64 = 3;
/// Share of the observations that makes a cell worth being back for.
const CLUSTER: f64 = 0.05;
/// Observations after which a fit is renewed at the latest.
const REFIT_AT_MOST: u64 = 256;
/// Shortest span of time over which a hazard is measured, and its share of the age.
const HAZARD_SECONDS: f64 = 60.0;
const HAZARD_SHARE: f64 = 0.5;

/// What a template changes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Fork {
    /// Seconds a start from the template takes.
    pub delay: f64,
    /// Memory of the template as a share of an instance's that runs its own init.
    pub share: f64,
    /// Memory that a forked instance has to itself, as the same share: the rest is the template's.
    pub own: f64,
}

/// What a function's plan depends on beside its gaps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// Seconds a start from nothing takes.
    pub cold_start: f64,
    /// The template tier; `None` for functions that cannot be forked.
    pub fork: Option<Fork>,
    /// GiB an idle instance holds that runs its own init.
    pub memory: f64,
    /// What memory costs.
    pub price: Price,
}

/// What happens after a run if no request comes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// When an idle instance is there.
    pub instance: Window,
    /// When the template is there; `None` if there is no such thing.
    pub template: Option<Window>,
}

/// What is learned of one function, and the last plan made from it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct KeepAlive {
    // Gaps of single instances, and gaps during which the whole function was idle.
    instances: Histogram,
    quiet: Histogram,
    fitted: Option<Fitted>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Fitted {
    terms: Terms,
    plan: Plan,
    // Observations at which it is renewed.
    renew_at: u64,
}

// === impl KeepAlive ===

impl KeepAlive {
    /// An instance was used again after `gap` seconds, or would have been if it were still there. `quiet`:
    /// nothing of the function ran meanwhile.
    pub fn observe(&mut self, gap: f64, quiet: bool) {
        self.instances.observe(gap);
        if quiet {
            self.quiet.observe(gap);
        }
    }

    /// Gaps of single instances seen so far.
    #[must_use]
    pub fn observations(&self) -> u64 {
        self.instances.observations()
    }

    /// What to keep from now on.
    pub fn plan(&mut self, terms: Terms, prior: &Prior) -> Plan {
        let observations = self.instances.observations();
        if let Some(fitted) = &self.fitted
            && fitted.terms == terms
            && observations < fitted.renew_at
        {
            return fitted.plan;
        }
        let plan = self.fit(terms, prior);
        let growth = (observations / 4).clamp(1, REFIT_AT_MOST);
        self.fitted = Some(Fitted { terms, plan, renew_at: observations.saturating_add(growth) });
        plan
    }

    /// What an idle instance of this age is worth per GiB: the delay that is expected to be saved within a
    /// second from now. Under pressure the least worthy goes first.
    #[must_use]
    pub fn density(&self, age: f64, terms: Terms, prior: &Prior) -> f64 {
        let points = blend(&self.instances, prior);
        let span = HAZARD_SECONDS.max(age * HAZARD_SHARE);
        let weigh = |wanted: &dyn Fn(f64) -> bool| -> f64 {
            points.iter().filter(|point| wanted(point.gap)).map(|point| point.weight).sum()
        };
        let (soon, ever) = (weigh(&|gap| gap > age && gap <= age + span), weigh(&|gap| gap > age));
        let saved = terms.fork.map_or(terms.cold_start, |fork| fork.delay);
        if ever > 0.0 && terms.memory > 0.0 { soon / ever / span * saved / terms.memory } else { 0.0 }
    }

    fn fit(&self, terms: Terms, prior: &Prior) -> Plan {
        let rate = terms.price.per_gib_second() * terms.memory;
        let Some(fork) = terms.fork else {
            let costs = Costs { miss: terms.cold_start, rate, prewarm: PREWARM * terms.cold_start };
            return Plan { instance: best(&self.instances, prior, costs, true), template: None };
        };
        // Each tier saves what the one below it leaves, and costs what it adds to it.
        let template = Costs {
            miss: (terms.cold_start - fork.delay).max(0.0),
            rate: rate * fork.share,
            prewarm: PREWARM * terms.cold_start,
        };
        let instance = Costs { miss: fork.delay, rate: rate * fork.own, prewarm: PREWARM * fork.delay };
        let template = best(&self.quiet, prior, template, true);
        let mut kept = best(&self.instances, prior, instance, true);
        if kept.prewarms() && !template.covers(kept.from) {
            // Nothing to fork it from by then.
            kept = best(&self.instances, prior, instance, false);
        }
        Plan { instance: kept, template: Some(template) }
    }
}

fn best(gaps: &Histogram, prior: &Prior, costs: Costs, prewarm: bool) -> Window {
    let trusted = prewarm && gaps.observations() >= PREWARM_AFTER;
    let starts: Vec<f64> =
        if trusted { gaps.clusters(CLUSTER).filter_map(window::early).collect() } else { Vec::new() };
    let window = window::cheapest(&blend(gaps, prior), &starts, costs);
    Window { from: window.from, until: window.until.max(FLOOR) }
}

fn blend(gaps: &Histogram, prior: &Prior) -> Vec<Point> {
    let believed =
        prior.points().iter().map(|point| Point { gap: point.gap, weight: point.weight * PRIOR_WEIGHT });
    let mut points: Vec<Point> = gaps.points().chain(believed).collect();
    points.sort_by(|one, other| one.gap.total_cmp(&other.gap));
    points
}
