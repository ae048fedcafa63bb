//! Shares the node's capacity for starts between functions: round robin, one start per function and round, and
//! no more under way at once than the node does without slowing down.
//!
//! The limit is found, not set: it grows while starts take as long as they usually do, twofold at first and by
//! one later, and falls by a quarter when they take twice as long (additive increase, multiplicative decrease), so
//! a burst cannot make all starts slow. Starts weigh by what they cost: a fork one, a start with an init of its own [`FRESH`]. A function
//! with a huge queue of wanted starts cannot hold up another's first one by more than one round. Pure: the caller
//! carries a grant out and reports [`Admission::done`] exactly once for it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::event::Tier;

/// What a start with an init of its own weighs beside a fork.
pub const FRESH: u32 = 4;
/// Starts that take this many times as long as the quickest ones show that there are too many.
const SLOW: f64 = 2.0;
const DECREASE: f64 = 0.75;
/// How fast the quickest start of a function is forgotten, per start.
const FORGET: f64 = 1.002;
/// Starts shorter than this say nothing about the node's load.
const SHORTEST: f64 = 0.002;

/// The starts that wait and the weight of those under way. `Function` and `Start` are the caller's names.
#[derive(Debug)]
pub struct Admission<Function, Start> {
    /// What may be under way, and its bounds; in weights.
    limit: f64,
    least: f64,
    most: f64,
    running: u32,
    weight: u32,
    /// Weight that is done since the limit last fell: what began before says nothing about the new one.
    since: f64,
    /// Whether it has ever fallen: then its growth is slow.
    fallen: bool,
    waiting: BTreeMap<Function, VecDeque<(Start, Tier)>>,
    // Functions that have something waiting, each once, next one first.
    round: VecDeque<Function>,
    /// The quickest start of a function and tier, in seconds.
    usual: BTreeMap<(Function, Tier), f64>,
}

/// A start that may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant<Function, Start> {
    /// Whose it is.
    pub function: Function,
    /// Which.
    pub start: Start,
    /// What it weighs.
    pub tier: Tier,
}

// === impl Admission ===

impl<Function: Ord + Clone, Start: PartialEq> Admission<Function, Start> {
    /// Nothing waits, nothing runs. `processors` begin, `most` starts are never exceeded.
    #[must_use]
    pub fn new(processors: u32, most: u32) -> Self {
        let most = f64::from(most.max(1));
        let least = f64::from(processors.max(1)).min(most);
        Self {
            limit: (4.0 * least).min(most),
            least,
            most,
            running: 0,
            weight: 0,
            since: 0.0,
            fallen: false,
            waiting: BTreeMap::new(),
            round: VecDeque::new(),
            usual: BTreeMap::new(),
        }
    }

    /// Puts a start last in its function's line.
    pub fn want(&mut self, function: &Function, start: Start, tier: Tier) {
        let line = self.waiting.entry(function.clone()).or_default();
        if line.is_empty() {
            self.round.push_back(function.clone());
        }
        line.push_back((start, tier));
    }

    /// Takes a waiting start back. `false`: it was not waiting (any more).
    pub fn withdraw(&mut self, function: &Function, start: &Start) -> bool {
        let Some(line) = self.waiting.get_mut(function) else { return false };
        let Some(index) = line.iter().position(|(waiting, _)| waiting == start) else { return false };
        line.remove(index);
        if line.is_empty() {
            self.waiting.remove(function);
            self.round.retain(|waiting| waiting != function);
        }
        true
    }

    /// The starts of a function that wait are of this tier from now on: its template is there.
    pub fn now_of(&mut self, function: &Function, tier: Tier) {
        for (_, of) in self.waiting.get_mut(function).into_iter().flatten() {
            *of = tier;
        }
    }

    /// The next start that may begin, if the limit allows one. It counts as under way from here on.
    pub fn grant(&mut self) -> Option<Grant<Function, Start>> {
        let function = self.round.front()?.clone();
        let line = self.waiting.get_mut(&function)?;
        let (_, tier) = line.front()?;
        let tier = *tier;
        // One is always allowed, however much it weighs.
        if self.running > 0 && f64::from(self.weight + weight(tier)) > self.limit {
            return None;
        }
        let (start, _) = line.pop_front()?;
        self.round.pop_front();
        if line.is_empty() {
            self.waiting.remove(&function);
        } else {
            self.round.push_back(function.clone());
        }
        self.running += 1;
        self.weight += weight(tier);
        Some(Grant { function, start, tier })
    }

    /// A granted start is over, whatever it came to; `took`: how long it took, if it came to an instance.
    pub fn done(&mut self, function: &Function, tier: Tier, took: Option<Duration>) {
        self.running = self.running.saturating_sub(1);
        self.weight = self.weight.saturating_sub(weight(tier));
        let Some(took) = took.map(|took| took.as_secs_f64().max(SHORTEST)) else { return };
        let usual = self.usual.entry((function.clone(), tier)).or_insert(took);
        *usual = took.min(*usual * FORGET);
        let slow = took > *usual * SLOW;
        let weight = f64::from(weight(tier));
        self.since += weight;
        if slow && self.since >= self.limit {
            self.limit = (self.limit * DECREASE).max(self.least);
            self.since = 0.0;
            self.fallen = true;
        } else if !slow {
            let grows = if self.fallen { weight / self.limit } else { weight };
            self.limit = (self.limit + grows).min(self.most);
        }
    }

    /// Forgets what is known of a function that is no more.
    pub fn forget(&mut self, function: &Function) {
        self.usual.retain(|(known, _), _| known != function);
    }

    /// Starts under way.
    #[must_use]
    pub fn running(&self) -> u32 {
        self.running
    }

    /// What may be under way now, in forks.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between one and `most`")]
    pub fn limit(&self) -> u32 {
        self.limit as u32
    }
}

fn weight(tier: Tier) -> u32 {
    match tier {
        Tier::Fork => 1,
        Tier::Fresh => FRESH,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(admission: &mut Admission<u8, u32>, tier: Tier, took: impl Fn(u32) -> Duration) -> u32 {
        for start in 0..200 {
            admission.want(&0, start, tier);
        }
        let mut most = 0;
        loop {
            while admission.grant().is_some() {}
            let running = admission.running();
            if running == 0 {
                return most;
            }
            most = most.max(running);
            admission.done(&0, tier, Some(took(running)));
        }
    }

    #[test]
    fn finds_as_many_as_the_node_does_without_slowing_down() {
        let mut admission = Admission::new(2, 64);
        // Starts that only wait do not slow each other down.
        assert_eq!(round(&mut admission, Tier::Fork, |_| Duration::from_millis(20)), 64);
        // Starts that compute do.
        let busy = |running: u32| Duration::from_millis(u64::from(20 * running.div_ceil(4)));
        for _ in 0..5 {
            round(&mut admission, Tier::Fork, busy);
        }
        assert!((3..=16).contains(&admission.limit()), "{}", admission.limit());
    }

    #[test]
    fn a_start_with_an_init_weighs_more_than_a_fork_and_one_is_always_allowed() {
        let mut admission = Admission::new(1, 4);
        for start in 0..10 {
            admission.want(&0, start, Tier::Fresh);
        }
        assert!(admission.grant().is_some());
        assert!(admission.grant().is_none());
        admission.done(&0, Tier::Fresh, None);
        let mut one = Admission::new(1, 1);
        one.want(&0, 0, Tier::Fresh);
        assert!(one.grant().is_some());
    }
}
