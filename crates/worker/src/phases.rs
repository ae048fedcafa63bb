//! One start, timed: marks on one clock, which become the phases that a start is told in.
//!
//! A phase is the time between two marks, so phases always sum to the whole. Measures only; what a phase is
//! called is decided where it ends.

use std::time::Duration;

use tokio::time::Instant;
use types::metering::{Phase, Start, Tier};

/// Marks since a start began.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    began: Instant,
    marks: Vec<(&'static str, Instant)>,
}

// === impl Clock ===

impl Clock {
    /// A start begins.
    pub fn begin() -> Self {
        Self { began: Instant::now(), marks: Vec::new() }
    }

    /// The phase `name` ends now.
    pub fn mark(&mut self, name: &'static str) {
        self.marks.push((name, Instant::now()));
    }

    /// What another clock has timed since this one's last mark happened to this start too: it waited for it.
    pub fn follow(&mut self, other: &Self) {
        let last = self.last();
        self.marks.extend(other.marks.iter().filter(|(_, at)| *at > last));
    }

    /// From the beginning to the last mark.
    pub fn elapsed(&self) -> Duration {
        self.last().saturating_duration_since(self.began)
    }

    /// The start as it is told.
    pub fn start(&self, tier: Tier, why: String) -> Start {
        let mut last = self.began;
        let phases = self.marks.iter().map(|(name, at)| {
            let micros = at.saturating_duration_since(last).as_micros();
            last = *at;
            Phase { name, micros: micros.try_into().unwrap_or(u64::MAX) }
        });
        Start { tier, why, phases: phases.collect() }
    }

    fn last(&self) -> Instant {
        self.marks.last().map_or(self.began, |(_, at)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_sum_to_the_whole_also_where_a_start_joined_later() {
        let began = Instant::now();
        let at = |millis| began + Duration::from_millis(millis);
        let making = Clock { began, marks: vec![("sandbox", at(10)), ("init", at(30))] };
        let mut joined = Clock { began: at(15), marks: Vec::new() };
        joined.follow(&making);
        joined.marks.push(("fork", at(32)));
        let start = joined.start(Tier::Bare, String::new());
        let told: Vec<_> = start.phases.iter().map(|phase| (phase.name, phase.micros)).collect();
        assert_eq!(told, [("init", 15_000), ("fork", 2_000)]);
        assert_eq!(start.duration(), joined.elapsed());
    }
}
