//! What is known of a function's load: how often it is called, how long a request holds its place, how
//! long a start takes, and how many places follow from that.
//!
//! Means fade with the number of later values, rates with time. All of it is cheap enough for every request;
//! what serialises survives a restart. Unknown stays unknown: nothing is assumed where nothing was seen.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::Tier;

/// How many requests a mean of service times remembers, and how many starts one of start times.
const SERVICES: u32 = 20;
const STARTS: u32 = 5;
/// Over how long the two rates look back, in seconds.
const FAST: f64 = 10.0;
const SLOW: f64 = 300.0;
/// Standard deviations of the load that are kept ready above its mean.
const SLACK: f64 = 1.0;
/// Load below which nothing is kept ready for its fluctuations.
const LEAST: f64 = 0.5;

/// A mean in which a value fades with those that follow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Mean {
    seconds: f64,
    values: u32,
}

/// Events per second, fading with time.
#[derive(Debug, Clone, Copy)]
struct Rate {
    per_second: f64,
    at: Duration,
    memory: f64,
}

/// What survives a restart.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Times {
    service: Mean,
    starts: BTreeMap<Tier, Mean>,
}

/// The load of one function.
#[derive(Debug, Clone)]
pub(crate) struct Demand {
    times: Times,
    fast: Rate,
    slow: Rate,
    /// Instances that requests have needed and that were not there.
    needed: Rate,
}

// === impl Mean ===

impl Mean {
    fn add(&mut self, value: Duration, remembered: u32) {
        self.values = self.values.saturating_add(1).min(remembered);
        self.seconds += (value.as_secs_f64() - self.seconds) / f64::from(self.values);
    }

    fn get(self) -> Option<f64> {
        (self.values > 0 && self.seconds.is_finite()).then_some(self.seconds.max(0.0))
    }
}

// === impl Rate ===

impl Rate {
    const fn new(memory: f64) -> Self {
        Self { per_second: 0.0, at: Duration::ZERO, memory }
    }

    fn at(&self, now: Duration) -> f64 {
        self.per_second * (-now.saturating_sub(self.at).as_secs_f64() / self.memory).exp()
    }

    fn add(&mut self, now: Duration) {
        self.per_second = self.at(now) + 1.0 / self.memory;
        self.at = now;
    }

    /// How long from now until the rate has fallen to this.
    fn falls_to(&self, per_second: f64, now: Duration) -> Duration {
        let seconds = (self.at(now) / per_second.max(f64::MIN_POSITIVE)).ln() * self.memory;
        Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default()
    }
}

// === impl Demand ===

impl Demand {
    /// Nothing is known, or what an earlier life of the server knew.
    pub fn new(times: Times) -> Self {
        Self { times, fast: Rate::new(FAST), slow: Rate::new(SLOW), needed: Rate::new(SLOW) }
    }

    /// What survives a restart.
    pub fn times(&self) -> &Times {
        &self.times
    }

    /// A request has come in.
    pub fn arrived(&mut self, now: Duration) {
        self.fast.add(now);
        self.slow.add(now);
    }

    /// A request needs an instance that no other request has had.
    pub fn needed(&mut self, now: Duration) {
        self.needed.add(now);
    }

    /// Until when new instances are needed more often than this; `None`: they are not.
    pub fn needs(&self, per_second: f64, now: Duration) -> Option<Duration> {
        let falls = self.needed.falls_to(per_second, now);
        (!falls.is_zero()).then(|| now.saturating_add(falls).saturating_add(Duration::from_millis(1)))
    }

    /// A request has held its place for so long.
    pub fn served(&mut self, held: Duration) {
        self.times.service.add(held, SERVICES);
    }

    /// A start of this tier took so long.
    pub fn started(&mut self, tier: Tier, took: Duration) {
        self.times.starts.entry(tier).or_default().add(took, STARTS);
    }

    /// Seconds that a request holds its place.
    pub fn service(&self) -> Option<f64> {
        self.times.service.get()
    }

    /// Seconds that a start of this tier takes.
    pub fn start(&self, tier: Tier) -> Option<f64> {
        self.times.starts.get(&tier).and_then(|mean| mean.get())
    }

    /// Requests per second: as of the last seconds, or of the last minutes if that is more.
    pub fn rate(&self, now: Duration) -> f64 {
        self.fast.at(now).max(self.slow.at(now))
    }

    /// Places that are in use on average.
    pub fn load(&self, now: Duration) -> f64 {
        self.rate(now) * self.service().unwrap_or(0.0)
    }

    /// Places that are worth keeping for this load and its fluctuations.
    pub fn places(&self, now: Duration) -> u32 {
        let load = self.load(now);
        if load <= LEAST {
            return 0;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small, and saturates")]
        let places = (load + SLACK * load.sqrt()).ceil() as u32;
        places
    }

    /// When [`Self::places`] is less than `places` if nothing more comes in.
    pub fn below(&self, places: u32, now: Duration) -> Duration {
        let most = f64::from(places.saturating_sub(1));
        let root = (-SLACK + (SLACK * SLACK + 4.0 * most).sqrt()) / 2.0;
        let rate = (root * root).max(LEAST) / self.service().unwrap_or(0.0).max(f64::MIN_POSITIVE);
        let falls = self.fast.falls_to(rate, now).max(self.slow.falls_to(rate, now));
        // What is left of a number's last digit must not make it spin.
        now.saturating_add(falls).saturating_add(Duration::from_millis(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_root_of_a_load_beside_it_and_lets_it_go_when_it_fades() {
        let mut demand = Demand::new(Times::default());
        let mut now = Duration::from_secs(1);
        assert_eq!((demand.service(), demand.start(Tier::Fork), demand.places(now)), (None, None, 0));
        for _ in 0..2_000 {
            now += Duration::from_millis(10);
            demand.arrived(now);
            demand.served(Duration::from_millis(160));
        }
        // 100 requests per second of 0.16 s are 16 places, and 4 more; give or take what a rate remembers.
        assert!((18..=21).contains(&demand.places(now)), "{}", demand.places(now));
        for places in (1..=20).rev() {
            let below = demand.below(places, now);
            assert!(demand.places(below) < places, "{places}");
            assert!(below - now < Duration::from_secs(3_600));
        }
        demand.started(Tier::Fork, Duration::from_millis(5));
        let text = serde_json::to_string(demand.times()).unwrap();
        let again = Demand::new(serde_json::from_str(&text).unwrap());
        assert_eq!(again.start(Tier::Fork), Some(0.005));
        assert!((again.service().unwrap() - 0.16).abs() < 1e-9);
    }
}
