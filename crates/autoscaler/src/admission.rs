//! Shares the node's capacity for starts between functions: round robin, one start per function and
//! round, at most `limit` under way at once.
//!
//! A function with a huge queue of wanted starts cannot hold up another's first one by more than one
//! round. Pure: the caller carries a grant out and reports [`Admission::done`] exactly once for it.

use std::collections::{BTreeMap, VecDeque};

/// The starts that wait and the number under way. `Function` and `Start` are the caller's names.
#[derive(Debug)]
pub struct Admission<Function, Start> {
    limit: u32,
    running: u32,
    waiting: BTreeMap<Function, VecDeque<Start>>,
    // Functions that have something waiting, each once, next one first.
    round: VecDeque<Function>,
}

// === impl Admission ===

impl<Function: Ord + Clone, Start: PartialEq> Admission<Function, Start> {
    /// Nothing waits, nothing runs.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self { limit: limit.max(1), running: 0, waiting: BTreeMap::new(), round: VecDeque::new() }
    }

    /// Puts a start last in its function's line.
    pub fn want(&mut self, function: &Function, start: Start) {
        let line = self.waiting.entry(function.clone()).or_default();
        if line.is_empty() {
            self.round.push_back(function.clone());
        }
        line.push_back(start);
    }

    /// Takes a waiting start back. `false`: it was not waiting (any more).
    pub fn withdraw(&mut self, function: &Function, start: &Start) -> bool {
        let Some(line) = self.waiting.get_mut(function) else { return false };
        let Some(index) = line.iter().position(|waiting| waiting == start) else { return false };
        line.remove(index);
        if line.is_empty() {
            self.waiting.remove(function);
            self.round.retain(|waiting| waiting != function);
        }
        true
    }

    /// The next start that may begin, if the limit allows one. It counts as under way from here on.
    pub fn grant(&mut self) -> Option<(Function, Start)> {
        if self.running >= self.limit {
            return None;
        }
        let function = self.round.pop_front()?;
        let line = self.waiting.get_mut(&function)?;
        let start = line.pop_front()?;
        if line.is_empty() {
            self.waiting.remove(&function);
        } else {
            self.round.push_back(function.clone());
        }
        self.running += 1;
        Some((function, start))
    }

    /// A granted start is over, whatever it came to.
    pub fn done(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// Starts under way.
    #[must_use]
    pub fn running(&self) -> u32 {
        self.running
    }
}
