//! What starts of a function have cost, each kind as a moving average: what keeping an ember saves is decided
//! from these, never from assumed ratios.

use std::time::Duration;

use types::metering::Tier;

/// The newest measurement makes up one part in so many of the average.
const PARTS: u64 = 4;

/// What was measured; `None`: never yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Costs {
    /// A start by the function's own init, whether an ember or an instance ran it.
    pub bare: Option<Duration>,
    /// A start in a prepared sandbox.
    pub standby: Option<Duration>,
    /// A fork.
    pub ember: Option<Duration>,
    /// The waking of a spare.
    pub spare: Option<Duration>,
    /// Bytes of an ember, once it waits.
    pub ember_bytes: Option<u64>,
}

// === impl Costs ===

impl Costs {
    /// One more start of a kind.
    pub fn spent(&mut self, tier: Tier, duration: Duration) {
        let average = match tier {
            Tier::Warm => return,
            Tier::Spare => &mut self.spare,
            Tier::Ember => &mut self.ember,
            Tier::Standby => &mut self.standby,
            Tier::Bare => &mut self.bare,
        };
        *average = Some(average.map_or(duration, |known| blend(known, duration)));
    }

    /// One more ember measured.
    pub fn weighed(&mut self, bytes: u64) {
        let average = |known: u64| known.saturating_sub(known / PARTS).saturating_add(bytes / PARTS);
        self.ember_bytes = Some(self.ember_bytes.map_or(bytes, average));
    }
}

fn blend(known: Duration, new: Duration) -> Duration {
    let [known, new] = [known, new].map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    Duration::from_micros(known.saturating_sub(known / PARTS).saturating_add(new / PARTS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_counts_whole_and_later_ones_by_weight() {
        let mut costs = Costs::default();
        costs.spent(Tier::Ember, Duration::from_millis(4));
        assert_eq!(costs.ember, Some(Duration::from_millis(4)));
        costs.spent(Tier::Ember, Duration::from_millis(8));
        assert_eq!(costs.ember, Some(Duration::from_millis(5)));
        costs.weighed(4 << 20);
        costs.weighed(8 << 20);
        assert_eq!(costs.ember_bytes, Some(5 << 20));
        assert_eq!((costs.bare, costs.spare), (None, None));
    }
}
