//! What the worker counts: names, labels and units in one place.
//!
//! Handles are looked up once per function and kept with it, so that a request only adds to a number.

use std::sync::OnceLock;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use types::metering::Tier;
use types::summary::Summary;

/// Upper bounds in seconds, from a warm frame to the longest function.
const SECONDS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 900.0];

/// Upper bounds in seconds of CPU time: a request that does nothing uses some 0.0001.
const CPU_SECONDS: [f64; 14] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 10.0, 100.0];

/// Every metric of the worker.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    invocations: Family<OutcomeLabels, Counter>,
    refusals: Family<RefusalLabels, Counter>,
    durations: Family<TierLabels, Histogram, fn() -> Histogram>,
    cpu: Family<TierLabels, Histogram, fn() -> Histogram>,
    waits: Family<FunctionLabels, Histogram, fn() -> Histogram>,
    starts: Family<StartLabels, Counter>,
    start_durations: Family<TierLabels, Histogram, fn() -> Histogram>,
    instances: Family<StateLabels, Gauge>,
}

/// One function's metrics.
#[derive(Debug, Clone)]
pub(crate) struct Handles {
    function: String,
    metrics: Metrics,
    succeeded: Counter,
    /// Made at their first use: most functions see few tiers.
    tiers: [OnceLock<Measured>; 5],
    waits: Histogram,
    states: [Gauge; 5],
}

/// What is measured of the requests that found one tier.
#[derive(Debug, Clone)]
struct Measured {
    durations: Histogram,
    cpu: Histogram,
}

/// What a start came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum StartResult {
    Ready(Tier),
    InitFailed,
    SandboxFailed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FunctionLabels {
    function: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TierLabels {
    function: String,
    tier: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    function: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    function: String,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StartLabels {
    function: String,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    function: String,
    state: &'static str,
}

// === impl Metrics ===

impl Metrics {
    pub fn new() -> Self {
        let seconds: fn() -> Histogram = || Histogram::new(SECONDS);
        Self {
            invocations: Family::default(),
            refusals: Family::default(),
            durations: Family::new_with_constructor(seconds),
            cpu: Family::new_with_constructor(|| Histogram::new(CPU_SECONDS)),
            waits: Family::new_with_constructor(seconds),
            starts: Family::default(),
            start_durations: Family::new_with_constructor(seconds),
            instances: Family::default(),
        }
    }

    /// Makes the metrics visible in a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("invocations", "Requests that ran, by outcome", self.invocations.clone());
        registry.register("refusals", "Requests that were not run, by reason", self.refusals.clone());
        let seconds = Unit::Seconds;
        let (name, help) = ("invocation_duration", "Time an instance took for a request");
        registry.register_with_unit(name, help, seconds.clone(), self.durations.clone());
        let (name, help) = ("invocation_cpu", "CPU time of an instance for a request");
        registry.register_with_unit(name, help, seconds.clone(), self.cpu.clone());
        let (name, help) = ("queue_wait", "Time a request waited for an instance");
        registry.register_with_unit(name, help, seconds.clone(), self.waits.clone());
        registry.register("starts", "Starts of instances, by result", self.starts.clone());
        let (name, help) = ("start_duration", "Time until an instance was ready, by what it was made from");
        registry.register_with_unit(name, help, seconds, self.start_durations.clone());
        registry.register("instances", "Instances and waiting requests, by state", self.instances.clone());
    }

    fn measured(&self, function: &str, tier: Tier) -> Measured {
        let labels = TierLabels { function: function.to_owned(), tier: tier.name() };
        Measured {
            durations: self.durations.get_or_create_owned(&labels),
            cpu: self.cpu.get_or_create_owned(&labels),
        }
    }

    /// The metrics of one function.
    pub fn of(&self, function: &str) -> Handles {
        let labels = FunctionLabels { function: function.to_owned() };
        let state =
            |state| self.instances.get_or_create_owned(&StateLabels { function: function.to_owned(), state });
        let succeeded = OutcomeLabels { function: function.to_owned(), outcome: "ok" };
        Handles {
            function: function.to_owned(),
            metrics: self.clone(),
            succeeded: self.invocations.get_or_create_owned(&succeeded),
            tiers: Default::default(),
            waits: self.waits.get_or_create_owned(&labels),
            states: ["queued", "starting", "idle", "busy", "retiring"].map(state),
        }
    }
}

// === impl Handles ===

impl Handles {
    /// A request ran; `ending` is `ok` or its failure's kind.
    pub fn ran(&self, duration: Duration, ending: &'static str, summary: &Summary) {
        if let Some(tier) = self.tiers.get(summary.start as usize) {
            let measured = tier.get_or_init(|| self.metrics.measured(&self.function, summary.start));
            measured.durations.observe(duration.as_secs_f64());
            if let Some(cpu) = summary.cpu_micros {
                measured.cpu.observe(Duration::from_micros(cpu).as_secs_f64());
            }
        }
        if ending == "ok" {
            self.succeeded.inc();
        } else {
            let labels = OutcomeLabels { function: self.function.clone(), outcome: ending };
            self.metrics.invocations.get_or_create(&labels).inc();
        }
    }

    pub fn refused(&self, reason: &'static str) {
        let labels = RefusalLabels { function: self.function.clone(), reason };
        self.metrics.refusals.get_or_create(&labels).inc();
    }

    pub fn waited(&self, wait: Duration) {
        self.waits.observe(wait.as_secs_f64());
    }

    pub fn started(&self, duration: Duration, result: StartResult) {
        let result = match result {
            StartResult::Ready(tier) => {
                let labels = TierLabels { function: self.function.clone(), tier: tier.name() };
                self.metrics.start_durations.get_or_create(&labels).observe(duration.as_secs_f64());
                "ready"
            }
            StartResult::InitFailed => "init_failed",
            StartResult::SandboxFailed => "sandbox_failed",
        };
        let labels = StartLabels { function: self.function.clone(), result };
        self.metrics.starts.get_or_create(&labels).inc();
    }

    /// Sets the numbers of the moment.
    pub fn counts(&self, counts: &autoscaler::Counts) {
        let numbers = [counts.queued, counts.starting, counts.idle, counts.busy, counts.retiring];
        for (gauge, number) in self.states.iter().zip(numbers) {
            gauge.set(i64::try_from(number).unwrap_or(i64::MAX));
        }
    }
}
