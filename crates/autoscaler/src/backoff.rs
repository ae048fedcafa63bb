//! How long to leave a revision alone whose init keeps failing.
//!
//! Made by the first failed start of a revision, ended by a start that succeeds or by the revision
//! being replaced. Starts that were under way together count as one round, so that a burst against a
//! broken function does not look like many attempts. After [`FREE_ROUNDS`] each further round doubles
//! the pause, and only one start at a time probes whether it is over.

use std::time::Duration;

/// Rounds that may fail before there is any pause.
pub const FREE_ROUNDS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What is remembered of a revision's failed starts.
#[derive(Debug, Clone)]
pub struct Backoff {
    rounds: u32,
    failed_at: Duration,
    retry_at: Duration,
}

// === impl Backoff ===

impl Backoff {
    /// The first failed start.
    pub fn new(now: Duration) -> Self {
        Self { rounds: 1, failed_at: now, retry_at: now }
    }

    /// Another failed start, which began at `began`.
    pub fn failed(&mut self, began: Duration, now: Duration) {
        if began < self.failed_at {
            return;
        }
        self.rounds = self.rounds.saturating_add(1);
        self.failed_at = now;
        self.retry_at = now.saturating_add(pause(self.rounds));
    }

    /// Rounds of starts that failed, one after the other.
    pub fn rounds(&self) -> u32 {
        self.rounds
    }

    /// What is left of the pause, if there is one.
    pub fn paused(&self, now: Duration) -> Option<Duration> {
        self.retry_at.checked_sub(now).filter(|left| !left.is_zero())
    }

    /// When the pause ends.
    pub fn retry_at(&self) -> Duration {
        self.retry_at
    }

    /// Whether one start at a time is enough, since it will most likely fail too.
    pub fn probing(&self) -> bool {
        self.rounds >= FREE_ROUNDS
    }
}

fn pause(rounds: u32) -> Duration {
    match rounds.checked_sub(FREE_ROUNDS) {
        None => Duration::ZERO,
        Some(doublings) => FIRST_PAUSE.saturating_mul(1 << doublings.min(10)).min(LONGEST_PAUSE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_after_the_free_rounds_and_counts_a_burst_once() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(second);
        for _ in 0..50 {
            backoff.failed(Duration::ZERO, second);
        }
        assert_eq!(backoff.rounds(), 1);
        assert_eq!(backoff.paused(second), None);
        let mut pauses = Vec::new();
        for _ in 0..12 {
            backoff.failed(backoff.retry_at(), backoff.retry_at());
            pauses.push(backoff.paused(backoff.failed_at).unwrap_or_default());
        }
        assert_eq!(pauses[..3], [Duration::ZERO, FIRST_PAUSE, FIRST_PAUSE * 2]);
        assert_eq!(pauses.last(), Some(&LONGEST_PAUSE));
    }
}
