//! Runs every policy over one trace and sets each beside a fixed ten minutes.

use serde::Serialize;

use super::concurrency::Concurrency;
use super::fixed::Fixed;
use super::hybrid::Hybrid;
use super::learned::Learned;
use super::outcome::{Charges, Outcome};
use super::trace::Trace;
use super::{greedy_dual, replay};
use crate::keep_alive::price::Price;
use crate::keep_alive::{Fork, Priors, Terms};

/// Minutes of the fixed policies; the first is what everything is set beside.
const FIXED_MINUTES: [f64; 6] = [10.0, 1.0, 5.0, 20.0, 60.0, 240.0];
/// Sizes of greedy-dual's memory, in what a fixed ten minutes holds on average.
const CAPACITIES: [f64; 4] = [0.25, 0.5, 1.0, 2.0];

/// What is assumed of the platform, and at which prices the product's policy is tried.
#[derive(Debug, Clone)]
pub struct Setup {
    /// What starts cost.
    pub charges: Charges,
    /// What a template costs.
    pub fork: Fork,
    /// Milliseconds of delay per GiB-minute.
    pub prices: Vec<f64>,
}

/// Rows that belong to one line of a plot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// One fixed time.
    Fixed,
    /// Knative's retention.
    Concurrency,
    /// The hybrid histogram.
    Hybrid,
    /// Greedy-dual.
    GreedyDual,
    /// The product's policy for functions that cannot be forked.
    Window,
    /// The product's policy, with templates.
    Templates,
}

/// One policy.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Its line in a plot.
    pub family: Family,
    /// What tells it from the others of its family: minutes, price or size.
    pub setting: String,
    /// What it came to.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Per function, the share of calls that found nothing, at the 75th percentile of functions.
    pub cold_share_p75: f64,
    /// Delay beside a fixed ten minutes.
    pub relative_delay: f64,
    /// Idle memory-time beside a fixed ten minutes.
    pub relative_idle: f64,
    /// Less delay and less idle memory-time than a fixed ten minutes.
    pub beats_fixed: bool,
    /// Less of both than the hybrid histogram.
    pub beats_hybrid: bool,
}

/// All policies over one trace.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// The trace's name.
    pub trace: String,
    /// Where the priors were learned.
    pub prior: String,
    /// Functions called at least once. Each one's first call finds nothing under every policy.
    pub functions: usize,
    /// Calls.
    pub invocations: u64,
    /// Calls that waited at the limit of instances; left out of all sums.
    pub waited: u64,
    /// Seconds.
    pub horizon: f64,
    /// What a start from nothing was charged, in seconds.
    pub cold_start: f64,
    /// What a start from a template was charged.
    pub fork: Fork,
    /// One per policy.
    pub rows: Vec<Row>,
}

/// Runs them all.
#[must_use]
pub fn compare(trace: &Trace, prior: &str, priors: &Priors, setup: &Setup) -> Comparison {
    let charges = &setup.charges;
    let mut outcomes = Vec::new();
    for minutes in FIXED_MINUTES {
        let outcome = replay::run(trace, charges, None, |_| Fixed(minutes * 60.0));
        outcomes.push((Family::Fixed, format!("{minutes} min"), outcome));
    }
    let reference = outcomes.first().map(|(_, _, outcome)| outcome.clone()).unwrap_or_default();
    let kpa = replay::run(trace, charges, None, |_| Concurrency);
    outcomes.push((Family::Concurrency, "60 + 30 s".to_owned(), kpa));
    let hybrid = replay::run(trace, charges, None, |_| Hybrid::default());
    outcomes.push((Family::Hybrid, "4 h".to_owned(), hybrid.clone()));
    for size in CAPACITIES {
        let capacity = size * reference.idle_gib_seconds / trace.horizon.max(1.0);
        let outcome = greedy_dual::run(trace, charges, capacity);
        outcomes.push((Family::GreedyDual, format!("{capacity:.1} GiB"), outcome));
    }
    for (family, fork) in [(Family::Window, None), (Family::Templates, Some(setup.fork))] {
        for price in &setup.prices {
            let outcome = learned(trace, priors, charges, fork, Price(*price));
            outcomes.push((family, format!("price {price}"), outcome));
        }
    }
    let rows = outcomes
        .into_iter()
        .map(|(family, setting, outcome)| row(family, setting, outcome, &reference, &hybrid));
    Comparison {
        trace: trace.name.clone(),
        prior: prior.to_owned(),
        functions: trace.functions.len(),
        invocations: trace.invocations(),
        waited: trace.waited(),
        horizon: trace.horizon,
        cold_start: charges.cold_start,
        fork: setup.fork,
        rows: rows.collect(),
    }
}

fn learned(trace: &Trace, priors: &Priors, charges: &Charges, fork: Option<Fork>, price: Price) -> Outcome {
    replay::run(trace, charges, fork, |function| {
        let terms = Terms { cold_start: charges.cold_start, fork, memory: function.memory, price };
        Learned::new(terms, priors.of(function.trigger))
    })
}

fn row(family: Family, setting: String, outcome: Outcome, fixed: &Outcome, hybrid: &Outcome) -> Row {
    Row {
        family,
        setting,
        cold_share_p75: outcome.cold_share(0.75),
        relative_delay: outcome.delay_seconds / fixed.delay_seconds.max(f64::MIN_POSITIVE),
        relative_idle: outcome.idle_gib_seconds / fixed.idle_gib_seconds.max(f64::MIN_POSITIVE),
        beats_fixed: beats(&outcome, fixed),
        beats_hybrid: beats(&outcome, hybrid),
        outcome,
    }
}

fn beats(one: &Outcome, other: &Outcome) -> bool {
    one.delay_seconds < other.delay_seconds && one.idle_gib_seconds < other.idle_gib_seconds
}

// === impl Family ===

impl Family {
    /// In the order of a legend.
    pub const ALL: [Self; 6] =
        [Self::Fixed, Self::Concurrency, Self::Hybrid, Self::GreedyDual, Self::Window, Self::Templates];

    /// For people.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Fixed => "fixed time",
            Self::Concurrency => "KPA style",
            Self::Hybrid => "hybrid histogram",
            Self::GreedyDual => "greedy-dual",
            Self::Window => "lambent, no template",
            Self::Templates => "lambent, template",
        }
    }
}
