//! A trace made from the published parameters of the Azure traces: kinds of triggers, popularity, run
//! times, memory, periods of timers and bursts. For tests, for priors, and for a look without any data.
//!
//! Sources: Shahrad et al. 2020 for triggers, run times and memory; quantiles of calls per day are those of
//! InVitro's sample of 10,000 functions. Popularity is cut at 50,000 a day, because the few giants
//! above it are warm under every policy.

use super::random::Random;
use super::trace::{Function, Profile, Trace};
use crate::keep_alive::Trigger;

/// Calls a day of the most popular function.
const MOST_CALLS: f64 = 50_000.0;
const MINUTES_PER_DAY: f64 = 1_440.0;
/// Share of each trigger among functions.
const TRIGGERS: [(Trigger, f64); 6] = [
    (Trigger::Http, 55.0),
    (Trigger::Timer, 16.0),
    (Trigger::Queue, 15.0),
    (Trigger::Orchestration, 7.0),
    (Trigger::Unknown, 5.0),
    (Trigger::Event, 2.0),
];
/// Minutes between two runs of a timer.
const PERIODS: [(usize, f64); 7] =
    [(1, 15.0), (5, 30.0), (10, 12.0), (15, 12.0), (30, 10.0), (60, 15.0), (1_440, 6.0)];
/// Quantiles of calls per day; between them the logarithm is linear.
const POPULARITY: [(f64, f64); 7] =
    [(0.0, 1.0), (0.1, 1.0), (0.25, 2.0), (0.5, 27.0), (0.75, 360.0), (0.9, 1_440.0), (1.0, MOST_CALLS)];
/// Mean and spread of the logarithm of mean run times, in seconds.
const RUN: (f64, f64) = (-0.38, 2.36);
const LONGEST_RUN: f64 = 300.0;
/// Burr XII distribution of memory, in MiB.
const MEMORY_SHAPE: (f64, f64) = (11.652, 0.221);
const MEMORY_SCALE: f64 = 107.083;
const MOST_MEMORY: f64 = 2_048.0;
/// Share of functions whose calls come in bursts, and the share of minutes in which a burst begins.
const BURSTY: f64 = 0.3;

/// Makes `functions` functions over `minutes` minutes. The same seed makes the same trace.
#[must_use]
pub fn trace(functions: usize, minutes: usize, seed: u64) -> Trace {
    let mut random = Random::new(seed);
    let functions = (0..functions).filter_map(|_| function(minutes, &mut random)).collect();
    Trace { name: format!("synthetic, seed {seed}"), horizon: minutes as f64 * 60.0, functions }
}

fn function(minutes: usize, random: &mut Random) -> Option<Function> {
    let profile = Profile {
        trigger: random.pick(Trigger::Unknown, &TRIGGERS),
        memory: memory(random) / 1_024.0,
        run: (RUN.0 + RUN.1 * random.normal()).exp().min(LONGEST_RUN),
    };
    let counts =
        if profile.trigger == Trigger::Timer { timer(minutes, random) } else { calls(minutes, random) };
    Function::from_minutes(&profile, &counts, random.uniform().to_bits())
}

fn memory(random: &mut Random) -> f64 {
    let (c, k) = MEMORY_SHAPE;
    (MEMORY_SCALE * (random.uniform().powf(-1.0 / k) - 1.0).max(0.0).powf(1.0 / c)).min(MOST_MEMORY)
}

fn timer(minutes: usize, random: &mut Random) -> Vec<u32> {
    let period = random.pick(60, &PERIODS);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a minute of a day")]
    let phase = (random.uniform() * period as f64) as usize;
    (0..minutes).map(|minute| u32::from(minute % period == phase % period)).collect()
}

/// Calls at random, in bursts for some: a burst lasts minutes and holds the calls of hours.
fn calls(minutes: usize, random: &mut Random) -> Vec<u32> {
    let mean = popularity(random.uniform()) / MINUTES_PER_DAY;
    let bursty = random.uniform() < BURSTY;
    let mut factor = 1.0;
    let mut left = 0.0;
    let mut counts = Vec::with_capacity(minutes);
    for _ in 0..minutes {
        if bursty && left <= 0.0 {
            let on = random.uniform() < 0.05;
            factor = if on { 15.0 } else { 0.2 };
            left = if on { 1.0 + 4.0 * random.uniform() } else { 20.0 * random.exponential() };
        }
        left -= 1.0;
        counts.push(poisson(mean * factor, random));
    }
    counts
}

fn popularity(place: f64) -> f64 {
    let mut below = POPULARITY.first().copied().unwrap_or((0.0, 1.0));
    for above in POPULARITY {
        if place <= above.0 && above.0 > below.0 {
            let part = (place - below.0) / (above.0 - below.0);
            return (below.1.ln() + part * (above.1.ln() - below.1.ln())).exp();
        }
        below = above;
    }
    MOST_CALLS
}

fn poisson(mean: f64, random: &mut Random) -> u32 {
    let mut count = 0;
    let mut sum = random.exponential();
    while sum < mean {
        count += 1;
        sum += random.exponential();
    }
    count
}
