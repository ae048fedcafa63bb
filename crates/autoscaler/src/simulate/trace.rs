//! A trace as the policies see it: per function the moments at which an instance becomes idle and at which
//! one is needed.
//!
//! Requests go to the instance that was used last. Then which idle gap belongs to which instance does not
//! depend on the policy: an instance that a policy has let go leaves its place in the stack, and the request
//! that would have taken it is a start. So a trace is worked out once and replayed cheaply.
//!
//! Left out, for every policy alike: that a start makes its request end later, and the waiting at
//! [`MAX_INSTANCES`] (counted in [`Function::waited`]).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::random::Random;
use crate::keep_alive::histogram::FLOOR;
use crate::keep_alive::prior::{Learning, Priors, Trigger};

/// Most instances of one function at once, `lambent:max-instances` of a large function. The traces hold one
/// that would need thousands and would decide every sum.
pub const MAX_INSTANCES: usize = 100;
/// Spread of the logarithm of run times within one function.
const RUN_SPREAD: f64 = 0.8;

/// Everything that happened, function by function.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// What it is called in tables.
    pub name: String,
    /// Seconds it covers.
    pub horizon: f64,
    /// Those that were called at least once.
    pub functions: Vec<Function>,
}

/// One function.
#[derive(Debug, Clone)]
pub struct Function {
    /// What calls it.
    pub trigger: Trigger,
    /// GiB of one instance.
    pub memory: f64,
    /// Calls.
    pub invocations: u64,
    /// Calls that waited for a busy instance because there were as many as there may be.
    pub waited: u64,
    /// In the order they happened; `Idle` and `Use` match like brackets.
    pub edges: Vec<Edge>,
    /// Seconds of idle gaps too short for any policy to let an instance go; not in `edges`.
    pub brief: f64,
}

/// Something that happened to one instance of a function.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edge {
    /// Seconds since the trace began.
    pub at: f64,
    /// What.
    pub kind: Kind,
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A run is over; `quiet`: nothing of the function runs any more.
    Idle {
        /// See above.
        quiet: bool,
    },
    /// The instance that became idle last is needed.
    Use,
    /// One more is needed than ever were at once: a start under every policy.
    Fresh,
}

/// What a recorded function was, before its calls are put on the time line.
#[derive(Debug, Clone)]
pub struct Profile {
    /// What calls it.
    pub trigger: Trigger,
    /// GiB of one instance.
    pub memory: f64,
    /// Mean run time, in seconds.
    pub run: f64,
}

/// Puts calls on the time line.
#[derive(Debug)]
pub(super) struct Recorder {
    edges: Vec<Edge>,
    // When each idle instance became idle: indices into `edges`.
    idle: Vec<usize>,
    // When each busy instance will be free, in microseconds.
    busy: BinaryHeap<Reverse<u64>>,
    invocations: u64,
    waited: u64,
    brief: f64,
}

// === impl Trace ===

impl Trace {
    /// All calls.
    #[must_use]
    pub fn invocations(&self) -> u64 {
        self.functions.iter().map(|function| function.invocations).sum()
    }

    /// Calls that waited because there were as many instances as there may be.
    #[must_use]
    pub fn waited(&self) -> u64 {
        self.functions.iter().map(|function| function.waited).sum()
    }

    /// What its gaps teach about functions that are not in it.
    #[must_use]
    pub fn priors(&self) -> Priors {
        let mut learning = Learning::default();
        for function in &self.functions {
            learning.add(function.trigger, &function.gaps());
        }
        learning.finish()
    }
}

// === impl Function ===

impl Function {
    /// Its idle gaps whose end was seen, in seconds.
    #[must_use]
    pub fn gaps(&self) -> Vec<f64> {
        let mut since = Vec::new();
        let mut gaps = Vec::new();
        for edge in &self.edges {
            match edge.kind {
                Kind::Idle { .. } => since.push(edge.at),
                Kind::Use => gaps.extend(since.pop().map(|since| edge.at - since)),
                Kind::Fresh => {}
            }
        }
        gaps
    }

    /// From calls per minute. Timers keep their second of the minute; all others are spread evenly over it.
    #[must_use]
    pub fn from_minutes(profile: &Profile, minutes: &[u32], seed: u64) -> Option<Self> {
        let mut random = Random::new(seed);
        let phase = random.uniform() * 60.0;
        let steady = profile.trigger == Trigger::Timer || is_periodic(minutes);
        let mut recorder = Recorder::new();
        let mut offsets = Vec::new();
        for (minute, count) in minutes.iter().enumerate() {
            let start = minute as f64 * 60.0;
            if steady && *count == 1 {
                recorder.call(start + phase, random.lognormal(profile.run, RUN_SPREAD));
                continue;
            }
            spread(*count, &mut random, &mut offsets);
            for offset in &offsets {
                recorder.call(start + offset * 60.0, random.lognormal(profile.run, RUN_SPREAD));
            }
        }
        recorder.finish(profile, minutes.len() as f64 * 60.0)
    }
}

// === impl Recorder ===

impl Recorder {
    pub(super) fn new() -> Self {
        Self {
            edges: Vec::new(),
            idle: Vec::new(),
            busy: BinaryHeap::new(),
            invocations: 0,
            waited: 0,
            brief: 0.0,
        }
    }

    /// A call at `at` that runs for `run` seconds. Calls come in order.
    pub(super) fn call(&mut self, at: f64, run: f64) {
        self.free_until(at);
        self.invocations += 1;
        let mut begin = at;
        if self.busy.len() >= MAX_INSTANCES
            && let Some(Reverse(free)) = self.busy.pop()
        {
            self.waited += 1;
            begin = free as f64 / 1e6;
        } else if let Some(index) = self.idle.pop() {
            // What lies behind this edge are gaps within this one; if it is brief, they were too.
            let gap = self.edges.get(index).map_or(0.0, |edge| at - edge.at);
            if gap < FLOOR {
                self.edges.truncate(index);
                self.brief += gap;
            } else {
                self.edges.push(Edge { at, kind: Kind::Use });
            }
        } else {
            self.edges.push(Edge { at, kind: Kind::Fresh });
        }
        self.busy.push(Reverse(micros(begin + run.max(0.0))));
    }

    /// The function, if it was called at all. What runs beyond the horizon is not idle within it.
    pub(super) fn finish(mut self, profile: &Profile, horizon: f64) -> Option<Function> {
        self.free_until(horizon);
        (self.invocations > 0).then_some(Function {
            trigger: profile.trigger,
            memory: profile.memory,
            invocations: self.invocations,
            waited: self.waited,
            edges: self.edges,
            brief: self.brief,
        })
    }

    fn free_until(&mut self, now: f64) {
        while let Some(Reverse(free)) = self.busy.peek().copied()
            && free as f64 / 1e6 <= now
        {
            self.busy.pop();
            self.idle.push(self.edges.len());
            let kind = Kind::Idle { quiet: self.busy.is_empty() };
            self.edges.push(Edge { at: free as f64 / 1e6, kind });
        }
    }
}

/// Whether the minutes look like a schedule: at most one call in each, and one distance between most.
fn is_periodic(minutes: &[u32]) -> bool {
    if minutes.iter().any(|count| *count > 1) {
        return false;
    }
    let active: Vec<usize> =
        minutes.iter().enumerate().filter(|(_, count)| **count > 0).map(|(minute, _)| minute).collect();
    let mut gaps: Vec<usize> =
        active.windows(2).filter_map(|pair| pair.last()?.checked_sub(*pair.first()?)).collect();
    gaps.sort_unstable();
    let Some(median) = gaps.get(gaps.len() / 2).copied() else { return false };
    let same = gaps.iter().filter(|gap| **gap == median).count();
    gaps.len() >= 3 && same * 10 >= gaps.len() * 8
}

/// `count` ascending places between 0 and 1, as evenly random as `count` sorted ones, without sorting.
fn spread(count: u32, random: &mut Random, offsets: &mut Vec<f64>) {
    offsets.clear();
    let mut sum = 0.0;
    for _ in 0..count {
        sum += random.exponential();
        offsets.push(sum);
    }
    let total = sum + random.exponential();
    for offset in offsets {
        *offset /= total;
    }
}

/// Rounded up, so that no run ends before it begins.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "days in microseconds fit")]
fn micros(seconds: f64) -> u64 {
    (seconds * 1e6) as u64 + 1
}
