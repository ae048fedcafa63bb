//! What is believed of a function's idle gaps before there are any: one distribution per kind of trigger,
//! learned from other functions.
//!
//! Every function counts once when a prior is learned, however often it is called, and its last gap, whose
//! end was not seen, counts as a long one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::histogram::{self, FLOOR};
use super::window::Point;

/// The gap that an unseen end stands for: a day.
const UNSEEN: f64 = 86_400.0;

/// What usually calls a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// A person or a program, over HTTP.
    Http,
    /// Messages of a queue.
    Queue,
    /// Events of another service, or changes of stored data.
    Event,
    /// A schedule.
    Timer,
    /// Steps of a workflow.
    Orchestration,
    /// Not known.
    Unknown,
}

/// A distribution of idle gaps; its weights sum to 1.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Prior {
    points: Vec<Point>,
}

/// One prior per kind of trigger, and one for all together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Priors {
    by_trigger: BTreeMap<Trigger, Prior>,
    pooled: Prior,
}

/// Collects functions into [`Priors`].
#[derive(Debug, Clone, Default)]
pub struct Learning {
    by_trigger: BTreeMap<Trigger, Sums>,
    pooled: Sums,
}

/// Weights by the edge of the cell, kept in the order-preserving bits of a non-negative number.
type Sums = BTreeMap<u64, f64>;

/// Functions of one trigger needed before its own prior is believed instead of the pooled one.
const ENOUGH: f64 = 10.0;

// === impl Prior ===

impl Prior {
    /// Its points, ascending.
    #[must_use]
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    fn from_sums(sums: &Sums) -> Self {
        let total: f64 = sums.values().sum();
        let points =
            sums.iter().map(|(bits, weight)| Point { gap: f64::from_bits(*bits), weight: weight / total });
        Self { points: points.collect() }
    }
}

// === impl Priors ===

impl Priors {
    /// Those that the server begins with, from `shipped.json` beside this file: written by `lambent simulate
    /// --write-prior` from two samples of the Azure Functions trace 2019 (Microsoft, CC-BY 4.0).
    #[must_use]
    pub fn shipped() -> Self {
        // A table that could not be read would be empty: nothing idle would stay. A test reads it.
        serde_json::from_str(include_str!("shipped.json")).unwrap_or_default()
    }

    /// The prior for functions of this trigger.
    #[must_use]
    pub fn of(&self, trigger: Trigger) -> &Prior {
        self.by_trigger.get(&trigger).unwrap_or(&self.pooled)
    }
}

// === impl Learning ===

impl Learning {
    /// Adds one function by the gaps it had.
    pub fn add(&mut self, trigger: Trigger, gaps: &[f64]) {
        let seen: Vec<f64> = gaps.iter().copied().filter(|gap| *gap >= FLOOR).collect();
        let weight = 1.0 / (seen.len() as f64 + 1.0);
        for sums in [self.by_trigger.entry(trigger).or_default(), &mut self.pooled] {
            for gap in seen.iter().copied().chain([UNSEEN]) {
                *sums.entry(histogram::edge(gap).to_bits()).or_default() += weight;
            }
        }
    }

    /// What was learned.
    #[must_use]
    pub fn finish(self) -> Priors {
        let known = self
            .by_trigger
            .iter()
            .filter(|(trigger, sums)| **trigger != Trigger::Unknown && sums.values().sum::<f64>() >= ENOUGH);
        Priors {
            by_trigger: known.map(|(trigger, sums)| (*trigger, Prior::from_sums(sums))).collect(),
            pooled: Prior::from_sums(&self.pooled),
        }
    }
}
