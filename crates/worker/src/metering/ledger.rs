//! The division of an instance's CPU time and memory among its requests. Pure: time and figures are
//! arguments.
//!
//! Between two looks at the meter, what was used belongs in equal parts to the requests that ran then, and to
//! nobody (`idle`) where none did. The part of one request that has been there from the beginning is kept as a
//! running sum, so that a look costs the same with one request as with a thousand. Invariants, which the
//! property tests hold it to: the buckets add up to everything seen, exactly; no part is negative; what the
//! requests were given is what the bucket `requests` holds, once all have ended.

use std::ops::{AddAssign, Sub};

/// CPU time and memory over time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    /// Nanoseconds of CPU time.
    pub cpu: u64,
    /// Bytes times microseconds.
    pub memory: u128,
}

/// What an instance has used, by what for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Buckets {
    /// From its making until it was ready.
    pub init: Amount,
    /// While requests ran.
    pub requests: Amount,
    /// While none did.
    pub idle: Amount,
    /// Seen only after its end, while requests had not ended: whose it was cannot be said.
    pub unattributed: Amount,
}

/// A look at the meter. What was not looked at counts as unchanged, and shows in the next look.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Look {
    /// CPU time since the instance was made, in nanoseconds.
    pub cpu: Option<u64>,
    /// Memory in use, in bytes.
    pub memory: Option<u64>,
}

/// A request that runs.
#[derive(Debug)]
pub(super) struct Entry {
    given: Amount,
    crowdings: u64,
    alone: bool,
}

/// What a request used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub used: Amount,
    /// Others ran at the same time, so this is a part of what they used together.
    pub estimated: bool,
}

/// One instance's ledger. Times are microseconds since it was made.
#[derive(Debug)]
pub(super) struct Ledger {
    at: u64,
    cpu: u64,
    memory: u64,
    active: u32,
    /// How often a request began beside another.
    crowdings: u64,
    /// What a request was given that has been running since the beginning.
    given: Amount,
    /// Less than one part for each of those that run.
    undivided: Amount,
    buckets: Buckets,
}

// === impl Ledger ===

impl Ledger {
    /// The ledger of an instance that became ready at `at`.
    pub fn new(at: u64, look: Look) -> Self {
        let (cpu, memory) = (look.cpu.unwrap_or(0), look.memory.unwrap_or(0));
        // It began with nothing.
        let init = Amount { cpu, memory: area(0, memory, at) };
        Self {
            at,
            cpu,
            memory,
            active: 0,
            crowdings: 0,
            given: Amount::default(),
            undivided: Amount::default(),
            buckets: Buckets { init, ..Buckets::default() },
        }
    }

    /// A request begins.
    pub fn begin(&mut self, at: u64, look: Look) -> Entry {
        self.advance(at, look);
        let alone = self.active == 0;
        self.crowdings += u64::from(!alone);
        self.active += 1;
        Entry { given: self.given, crowdings: self.crowdings, alone }
    }

    /// It ends.
    pub fn end(&mut self, entry: &Entry, at: u64, look: Look) -> Share {
        self.advance(at, look);
        let mut used = self.given - entry.given;
        self.active = self.active.saturating_sub(1);
        if self.active == 0 {
            // What could not be divided goes to the last.
            let rest = std::mem::take(&mut self.undivided);
            self.buckets.requests += rest;
            used += rest;
        }
        Share { used, estimated: !entry.alone || entry.crowdings != self.crowdings }
    }

    /// Takes in what was used until now.
    pub fn advance(&mut self, at: u64, look: Look) {
        let memory = look.memory.unwrap_or(self.memory);
        let elapsed = at.saturating_sub(self.at);
        let cpu = look.cpu.unwrap_or(self.cpu).max(self.cpu);
        let used = Amount { cpu: cpu - self.cpu, memory: area(self.memory, memory, elapsed) };
        (self.at, self.cpu, self.memory) = (self.at.max(at), cpu, memory);
        if self.active == 0 {
            self.buckets.idle += used;
        } else {
            self.divide(used);
        }
    }

    /// Ends it with what the kernel says in the end. What has not been seen was used while nothing ran, its
    /// stopping included, or else it is nobody's.
    pub fn close(&mut self, cpu: Option<u64>) {
        let cpu = cpu.unwrap_or(self.cpu).max(self.cpu);
        let bucket = if self.active == 0 { &mut self.buckets.idle } else { &mut self.buckets.unattributed };
        bucket.cpu += cpu - self.cpu;
        self.cpu = cpu;
    }

    /// Whether nothing runs.
    pub fn is_idle(&self) -> bool {
        self.active == 0
    }

    /// Whether exactly one request runs.
    pub fn has_one(&self) -> bool {
        self.active == 1
    }

    /// The CPU time at the last look, in nanoseconds.
    pub fn cpu(&self) -> u64 {
        self.cpu
    }

    /// What was used, by what for. What is not divided yet counts as the requests'.
    pub fn buckets(&self) -> Buckets {
        let mut buckets = self.buckets;
        buckets.requests += self.undivided;
        buckets
    }

    fn divide(&mut self, used: Amount) {
        self.undivided += used;
        let requests = u64::from(self.active);
        let each = Amount {
            cpu: self.undivided.cpu / requests,
            memory: self.undivided.memory / u128::from(requests),
        };
        let all = Amount { cpu: each.cpu * requests, memory: each.memory * u128::from(requests) };
        self.undivided = self.undivided - all;
        self.given += each;
        self.buckets.requests += all;
    }
}

/// Memory that changed evenly from one figure to another, over so many microseconds.
fn area(from: u64, to: u64, micros: u64) -> u128 {
    (u128::from(from) + u128::from(to)) * u128::from(micros) / 2
}

// === impl Amount ===

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.cpu = self.cpu.saturating_add(other.cpu);
        self.memory = self.memory.saturating_add(other.memory);
    }
}

impl Sub for Amount {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        let memory = self.memory.saturating_sub(other.memory);
        Self { cpu: self.cpu.saturating_sub(other.cpu), memory }
    }
}

// === impl Buckets ===

impl Buckets {
    /// Everything.
    pub fn total(&self) -> Amount {
        let mut total = self.init;
        total += self.requests;
        total += self.idle;
        total += self.unattributed;
        total
    }
}

impl AddAssign for Buckets {
    fn add_assign(&mut self, other: Self) {
        self.init += other.init;
        self.requests += other.requests;
        self.idle += other.idle;
        self.unattributed += other.unattributed;
    }
}

#[cfg(test)]
mod tests;
