//! What a policy came to over a trace. Sums only.

use serde::Serialize;

use super::trace::Function;
use crate::keep_alive::Fork;

/// What a start costs its caller.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Charges {
    /// Seconds of a start from nothing.
    pub cold_start: f64,
}

/// What one function came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// Seconds of idle instances.
    pub idle: f64,
    /// Seconds of the template while nothing runs; what a policy without templates has here weighs nothing.
    pub template: f64,
    /// Seconds in which something runs, and the template is there.
    pub running: f64,
    /// Starts from nothing that a request waited for.
    pub cold: u64,
    /// Starts from a template that a request waited for.
    pub forks: u64,
    /// Starts ahead of a request.
    pub prewarms: u64,
    /// Templates made again ahead of a request.
    pub template_prewarms: u64,
    /// Idle instances let go.
    pub stops: u64,
}

/// What all functions came to.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Outcome {
    /// Seconds that callers waited for starts, added up.
    pub delay_seconds: f64,
    /// Idle instances and templates.
    pub idle_gib_seconds: f64,
    /// Calls.
    pub invocations: u64,
    /// Starts from nothing that a request waited for.
    pub cold: u64,
    /// Starts from a template that a request waited for.
    pub forks: u64,
    /// Instances and templates started ahead of a request.
    pub prewarms: u64,
    /// All starts of instances.
    pub starts: u64,
    /// Idle instances let go before the end.
    pub stops: u64,
    /// Seconds that all starts took, whether anybody waited for them or not: what the policy asks of the CPU.
    pub start_seconds: f64,
    /// Per function, calls that found nothing among all its calls; ascending once finished.
    #[serde(skip)]
    shares: Vec<f64>,
}

// === impl Outcome ===

impl Outcome {
    /// Adds a function.
    pub fn add(&mut self, function: &Function, tally: &Tally, charges: &Charges, fork: Option<Fork>) {
        let (fork_delay, share, own) =
            fork.map_or((0.0, 0.0, 1.0), |fork| (fork.delay, fork.share, fork.own));
        // What runs is nobody's idleness. With a template, the first instance that runs holds more than it would
        // alone by this; further ones hold less, which is not credited.
        let beside = (share + own - 1.0).max(0.0);
        // Where there is to be a template, the first instance is forked from it too.
        let cold = charges.cold_start + fork_delay;
        self.delay_seconds += tally.cold as f64 * cold + tally.forks as f64 * fork_delay;
        self.idle_gib_seconds +=
            function.memory * (own * tally.idle + share * tally.template + beside * tally.running);
        self.invocations += function.invocations;
        self.cold += tally.cold;
        self.forks += tally.forks;
        self.prewarms += tally.prewarms + tally.template_prewarms;
        self.starts += tally.cold + tally.forks + tally.prewarms;
        self.stops += tally.stops;
        let prewarm = if fork.is_some() { fork_delay } else { charges.cold_start };
        self.start_seconds += tally.cold as f64 * cold
            + tally.template_prewarms as f64 * charges.cold_start
            + tally.forks as f64 * fork_delay
            + tally.prewarms as f64 * prewarm;
        self.shares.push(tally.cold as f64 / function.invocations.max(1) as f64);
    }

    /// The share of cold calls that this part of the functions does not exceed.
    #[must_use]
    pub fn cold_share(&self, part: f64) -> f64 {
        let mut shares = self.shares.clone();
        shares.sort_by(f64::total_cmp);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of the length")]
        let index = (part * shares.len().saturating_sub(1) as f64) as usize;
        shares.get(index).copied().unwrap_or(0.0)
    }
}
