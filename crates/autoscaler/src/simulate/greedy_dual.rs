//! Greedy-dual keep-alive (FaasCache, Fuerst and Sharma, ASPLOS 2021): the memory for idle instances is a
//! cache of fixed size; nothing leaves it but for another, the least worthy first.
//!
//! Worth is `clock + uses * cold start / memory`; the clock is the worth of what was evicted last. The cache
//! holds idle instances only: what runs is not counted against it. Calls after gaps that are too short to show
//! in a trace do not count as uses: counting them pins the instances of the busiest functions and made it worse.

use std::collections::BTreeSet;

use super::outcome::{Charges, Outcome, Tally};
use super::trace::{Kind, Trace};

/// Where an idle instance stands: its function, and its place in that function's stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    function: usize,
    depth: usize,
}

/// One in the cache, the least worthy first. Worth is never negative, so its bits are in its order.
type Entry = (u64, Place);

/// An idle place of a function; `entry` as long as the instance is in the cache.
#[derive(Debug)]
struct Idle {
    since: f64,
    entry: Option<Entry>,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<Idle>,
    tally: Tally,
    uses: f64,
    alive: u64,
}

#[derive(Debug)]
struct Cache<'trace> {
    trace: &'trace Trace,
    capacity: f64,
    used: f64,
    clock: f64,
    entries: BTreeSet<Entry>,
    states: Vec<State>,
    cold_start: f64,
}

/// Runs it over a trace with this many GiB for idle instances.
#[must_use]
pub fn run(trace: &Trace, charges: &Charges, capacity: f64) -> Outcome {
    let mut cache = Cache {
        trace,
        capacity,
        used: 0.0,
        clock: 0.0,
        entries: BTreeSet::new(),
        states: trace.functions.iter().map(|_| State::default()).collect(),
        cold_start: charges.cold_start,
    };
    for (at, function, kind) in time_line(trace) {
        match kind {
            Kind::Idle { .. } => cache.put(at, function),
            Kind::Use => cache.take(at, function),
            Kind::Fresh => cache.fresh(function),
        }
    }
    cache.finish(charges)
}

/// All functions' edges in the order they happened.
fn time_line(trace: &Trace) -> Vec<(f64, usize, Kind)> {
    let mut line = Vec::new();
    for (index, function) in trace.functions.iter().enumerate() {
        line.extend(function.edges.iter().map(|edge| (edge.at, index, edge.kind)));
    }
    line.sort_by(|one, other| one.0.total_cmp(&other.0));
    line
}

// === impl Cache ===

impl Cache<'_> {
    fn memory(&self, function: usize) -> f64 {
        self.trace.functions.get(function).map_or(0.0, |function| function.memory)
    }

    fn put(&mut self, at: f64, function: usize) {
        let memory = self.memory(function);
        let Some(state) = self.states.get_mut(function) else { return };
        let worth = self.clock + state.uses * self.cold_start / memory.max(1e-3);
        let entry = (worth.to_bits(), Place { function, depth: state.idle.len() });
        state.idle.push(Idle { since: at, entry: Some(entry) });
        self.entries.insert(entry);
        self.used += memory;
        while self.used > self.capacity
            && let Some(entry) = self.entries.pop_first()
        {
            self.evict(at, entry);
        }
    }

    fn evict(&mut self, at: f64, (worth, place): Entry) {
        self.clock = f64::from_bits(worth);
        self.used -= self.memory(place.function);
        let Some(state) = self.states.get_mut(place.function) else { return };
        if let Some(idle) = state.idle.get_mut(place.depth) {
            idle.entry = None;
            state.tally.idle += at - idle.since;
            state.tally.stops += 1;
        }
        state.alive -= 1;
        if state.alive == 0 {
            state.uses = 0.0;
        }
    }

    fn take(&mut self, at: f64, function: usize) {
        let memory = self.memory(function);
        let Some(state) = self.states.get_mut(function) else { return };
        let Some(idle) = state.idle.pop() else { return };
        if let Some(entry) = idle.entry {
            self.entries.remove(&entry);
            self.used -= memory;
            state.tally.idle += at - idle.since;
        } else {
            state.tally.cold += 1;
            state.alive += 1;
        }
        state.uses += 1.0;
    }

    fn fresh(&mut self, function: usize) {
        let Some(state) = self.states.get_mut(function) else { return };
        state.tally.cold += 1;
        state.alive += 1;
        state.uses += 1.0;
    }

    fn finish(mut self, charges: &Charges) -> Outcome {
        let mut outcome = Outcome::default();
        for (function, state) in self.trace.functions.iter().zip(&mut self.states) {
            let left = state.idle.iter().filter(|idle| idle.entry.is_some());
            state.tally.idle += left.map(|idle| self.trace.horizon - idle.since).sum::<f64>();
            state.tally.idle += function.brief;
            outcome.add(function, &state.tally, charges, None);
        }
        outcome
    }
}
