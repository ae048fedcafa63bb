//! How many shells are kept ready: the configured number, and for a while more where that was not enough.
//!
//! Every start that finds the pool empty has to make its shell itself and is several milliseconds slower, so it raises
//! the level by one; each quiet second halves what is above the configured number. Pure: the time is given, nothing is made or ended here.

use std::time::{Duration, Instant};

/// How long the level stays before it falls.
const STEP: Duration = Duration::from_secs(1);

/// At most so many times the configured number.
const MOST: usize = 8;

/// How many shells are wanted.
#[derive(Debug)]
pub(super) struct Appetite {
    configured: usize,
    above: usize,
    changed: Instant,
}

// === impl Appetite ===

impl Appetite {
    pub(super) fn new(configured: usize, now: Instant) -> Self {
        Self { configured, above: 0, changed: now }
    }

    /// A start found none.
    pub(super) fn missed(&mut self, now: Instant) {
        self.settle(now);
        self.above = (self.above + 1).min(self.configured * (MOST - 1));
        self.changed = now;
    }

    /// How many are wanted.
    pub(super) fn wanted(&mut self, now: Instant) -> usize {
        self.settle(now);
        self.configured + self.above
    }

    /// When fewer will be wanted, if ever.
    pub(super) fn falls_in(&self, now: Instant) -> Option<Duration> {
        (self.above > 0).then(|| (self.changed + STEP).saturating_duration_since(now))
    }

    fn settle(&mut self, now: Instant) {
        while self.above > 0 && now >= self.changed + STEP {
            self.above /= 2;
            self.changed += STEP;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_raises_it_and_quiet_lowers_it_to_what_was_configured() {
        let begin = Instant::now();
        let mut pool = Appetite::new(2, begin);
        assert_eq!((pool.wanted(begin), pool.falls_in(begin)), (2, None));
        for _ in 0..5 {
            pool.missed(begin);
        }
        assert_eq!(pool.wanted(begin), 7);
        assert_eq!(pool.falls_in(begin + STEP / 2), Some(STEP / 2));
        assert_eq!(pool.wanted(begin + STEP), 4);
        assert_eq!(pool.wanted(begin + STEP * 2), 3);
        assert_eq!(pool.wanted(begin + STEP * 60), 2);
        assert_eq!(pool.falls_in(begin + STEP * 60), None);
    }

    #[test]
    fn it_has_an_end_and_none_stays_none() {
        let now = Instant::now();
        let (mut pool, mut none) = (Appetite::new(2, now), Appetite::new(0, now));
        for _ in 0..1000 {
            pool.missed(now);
            none.missed(now);
        }
        assert_eq!(pool.wanted(now), 2 * MOST);
        assert_eq!(none.wanted(now), 0);
    }
}
