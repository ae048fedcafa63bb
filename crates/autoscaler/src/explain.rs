//! Why there are as many instances as there are, as a value: for `lambent explain` and for tests.
//!
//! Numbers are whole (microseconds, thousandths), so that explanations can be compared; sentences are for people.
//! Nothing here decides anything.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::{Instance, Keep, Reason, Tier};
use crate::held::Held;
use crate::keep_alive::Window;
use crate::scale::State;

/// Starts and stops that are remembered.
const REMEMBERED: usize = 20;

/// Why a start was made.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cause {
    /// A request found nothing, and it is not known yet how long requests and starts take.
    Unknown,
    /// A request's place in the queue would have come later than a start is ready.
    Longer {
        /// Its place.
        place: u32,
        /// Seconds of a start.
        start: f64,
    },
    /// The place that a request waited for did not come in the time of a start.
    Broken,
    /// Its next request is expected.
    Expected {
        /// When the instance that it stands for was last used.
        since: Duration,
        /// Whether nothing ran then.
        quiet: bool,
        /// When it goes if nothing comes.
        until: Duration,
    },
    /// Provisioned concurrency asks for it.
    Provisioned,
    /// New instances are needed often enough for one to be forked in advance.
    Spare,
}

/// What the rule of the queue said, and of what.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rule {
    place: u32,
    places: f64,
    start: f64,
    service: f64,
    starts: bool,
    at: Duration,
}

/// The last starts and stops.
#[derive(Debug, Clone, Default)]
pub(crate) struct History(VecDeque<(Duration, Instance, String, bool)>);

/// Why a function has the instances that it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// All of it in one sentence.
    pub summary: String,
    /// What is known of its load.
    pub load: Load,
    /// What the rule of the queue said last; `None`: it was never asked.
    pub queue: Option<Decision>,
    /// How long what is idle stays.
    pub windows: Windows,
    /// Idle instances, in the order in which they go, and why each is still there.
    pub kept: Vec<Kept>,
    /// The last starts and stops, oldest first.
    pub history: Vec<Change>,
}

/// What is known of a function's load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Requests per second, in thousandths: of the last seconds, or of the last minutes if that is more.
    pub arrivals_milli: u64,
    /// Places in use on average, in thousandths (rho).
    pub load_milli: u64,
    /// Places that are kept ready for that load and its fluctuations.
    pub places: u32,
    /// Microseconds that a request holds its place (S).
    pub service_micros: Option<u64>,
    /// Microseconds that a start takes as things are (C).
    pub start_micros: Option<u64>,
    /// From what the next instance would be made.
    pub start_tier: Tier,
}

/// One answer of the rule of the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Whether a start was made.
    pub starts: bool,
    /// Which in line the request was.
    pub place: u32,
    /// Places that were expected to become free within a start, in thousandths.
    pub places_milli: u64,
    /// Milliseconds since then.
    pub ago_ms: u64,
    /// The same as a sentence.
    pub sentence: String,
}

/// How long what is idle stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Windows {
    /// Where they come from, as a sentence.
    pub source: String,
    /// Gaps they were learned from; `None`: they are set.
    pub observations: Option<u64>,
    /// An idle instance.
    pub instance: Span,
    /// The template, if the function has or had one.
    pub template: Option<Span>,
    /// What memory costs: thousandths of a millisecond of delay per GiB-minute.
    pub price_micros: u64,
}

/// When something is there, in milliseconds after the last request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// 0: it stays. Otherwise it goes at once and is made again then.
    pub from_ms: u64,
    /// When it goes for good.
    pub until_ms: u64,
}

/// An idle instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Its number within the function.
    pub instance: u64,
    /// Why it is still there.
    pub why: String,
    /// Whether it is frozen.
    pub frozen: bool,
    /// Milliseconds until it goes if nothing changes; `None`: it stays.
    pub goes_in_ms: Option<u64>,
}

/// A start or a stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The instance's number within the function.
    pub instance: u64,
    /// Whether it was started.
    pub started: bool,
    /// Why.
    pub why: String,
    /// Milliseconds since then.
    pub ago_ms: u64,
}

// === impl Cause ===

impl Cause {
    /// Whether no request waits for it.
    pub fn is_ahead(&self) -> bool {
        matches!(self, Self::Expected { .. } | Self::Provisioned | Self::Spare)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => out.write_str("a request found no free place"),
            Self::Longer { place, start } => {
                write!(
                    out,
                    "request {place} in line would have waited longer than a start ({})",
                    time(*start)
                )
            }
            Self::Broken => out.write_str("the place that a request waited for did not come in time"),
            Self::Expected { .. } => out.write_str("its next request is expected"),
            Self::Provisioned => out.write_str("provisioned concurrency"),
            Self::Spare => out.write_str("a spare: new instances are needed often"),
        }
    }
}

// === impl Rule ===

impl Rule {
    pub fn new(place: u32, places: f64, start: f64, service: f64, starts: bool, at: Duration) -> Self {
        Self { place, places, start, service, starts, at }
    }

    fn decision(&self, now: Duration) -> Decision {
        let verb = if self.starts { "was started for" } else { "was not started for" };
        let sentence = format!(
            "an instance {verb} request {} in line: a start takes {}, in which {:.1} places become free ({} a request)",
            self.place,
            time(self.start),
            self.places,
            time(self.service)
        );
        Decision {
            starts: self.starts,
            place: self.place,
            places_milli: thousandths(self.places),
            ago_ms: milliseconds(now.saturating_sub(self.at)),
            sentence,
        }
    }
}

// === impl History ===

impl History {
    pub fn started(&mut self, instance: Instance, cause: &Cause, now: Duration) {
        self.add((now, instance, cause.to_string(), true));
    }

    pub fn stopped(&mut self, instance: Instance, reason: Reason, now: Duration) {
        self.add((now, instance, sentence(reason).to_owned(), false));
    }

    fn add(&mut self, change: (Duration, Instance, String, bool)) {
        if self.0.len() >= REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(change);
    }

    fn changes(&self, now: Duration) -> Vec<Change> {
        let change = |(at, instance, why, started): &(Duration, Instance, String, bool)| Change {
            instance: instance.0,
            started: *started,
            why: why.clone(),
            ago_ms: milliseconds(now.saturating_sub(*at)),
        };
        self.0.iter().map(change).collect()
    }
}

// === impl State ===

impl State {
    /// Why it has the instances that it has.
    #[must_use]
    pub fn explain(&self, now: Duration) -> Explanation {
        let kept = self.kept(now);
        Explanation {
            summary: self.summary(&kept),
            load: self.explain_load(now),
            queue: self.rule.map(|rule| rule.decision(now)),
            windows: self.explain_windows(),
            kept,
            history: self.history.changes(now),
        }
    }

    fn summary(&self, kept: &[Kept]) -> String {
        let counts = self.counts();
        let all = counts.starting + counts.idle + counts.spare + counts.busy + counts.retiring;
        if all == 0 {
            let last = self.history.0.back().filter(|(.., started)| !started);
            return match last {
                Some((_, _, why, _)) => format!("no instances: the last one went because {why}"),
                None => "no instances: nothing has called it".to_owned(),
            };
        }
        let mut parts = Vec::new();
        let mut part = |count: usize, what: &str| {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        };
        part(counts.busy, "busy");
        part(counts.starting, "starting");
        part(counts.retiring, "on the way out");
        let mut reasons: Vec<(&str, usize)> = Vec::new();
        for kept in kept {
            match reasons.iter_mut().find(|(why, _)| *why == kept.why) {
                Some((_, count)) => *count += 1,
                None => reasons.push((&kept.why, 1)),
            }
        }
        parts.extend(reasons.iter().map(|(why, count)| format!("{count} kept {why}")));
        let plural = if all == 1 { "" } else { "s" };
        let queued =
            if counts.queued > 0 { format!("; {} requests wait", counts.queued) } else { String::new() };
        format!("{all} instance{plural}: {}{queued}", parts.join(", "))
    }

    fn explain_load(&self, now: Duration) -> Load {
        let last = self.instances.values().next_back();
        let template =
            last.map_or(!self.templates.is_empty(), |held| self.templates.contains(&held.revision));
        let start_tier = if template { Tier::Fork } else { Tier::Fresh };
        Load {
            arrivals_milli: thousandths(self.demand.rate(now)),
            load_milli: thousandths(self.demand.load(now)),
            places: self.demand.places(now),
            service_micros: self.demand.service().map(micros),
            start_micros: self.demand.start(start_tier).map(micros),
            start_tier,
        }
    }

    fn explain_windows(&self) -> Windows {
        let plan = self.retention.last_plan(self.policy.keep);
        let observations = self.retention.observations();
        let (source, observations) = match self.policy.keep {
            Keep::Fixed(_) => ("set by lambent:idle-seconds".to_owned(), None),
            Keep::Learned if observations == 0 => (
                "what functions of its trigger usually do: it has shown no gap of its own yet".to_owned(),
                Some(0),
            ),
            Keep::Learned => {
                let text =
                    format!("learned from {observations} gaps, beside what functions of its trigger do");
                (text, Some(observations))
            }
        };
        Windows {
            source,
            observations,
            instance: Span::of(plan.instance),
            template: plan.template.map(Span::of),
            price_micros: thousandths(self.retention.terms().price.0),
        }
    }

    fn kept(&self, now: Duration) -> Vec<Kept> {
        let mut idle: Vec<(&Instance, &Held)> =
            self.instances.iter().filter(|(_, held)| held.is_idle()).collect();
        idle.sort_by_key(|(instance, held)| (held.used, **instance));
        let kept = |(instance, held): (&Instance, &Held)| {
            let (why, goes) = self.why_kept(held, now);
            let goes_in_ms = goes.map(|at| milliseconds(at.saturating_sub(now)));
            Kept { instance: instance.0, why, frozen: held.frozen, goes_in_ms }
        };
        idle.into_iter().map(kept).collect()
    }

    fn why_kept(&self, held: &Held, now: Duration) -> (String, Option<Duration>) {
        let due = self.due(held);
        if held.is_spare() {
            ("as a spare, because new instances are needed often".to_owned(), Some(self.due(held)))
        } else if self.is_provisioned(held) {
            ("for provisioned concurrency".to_owned(), None)
        } else if due <= now {
            let load = self.demand.load(now);
            let below = self.demand.below(self.places_without(held).saturating_add(1), now);
            (format!("for the load of {load:.1} places and its fluctuations"), Some(below))
        } else if due > held.until {
            ("because another was started a moment ago".to_owned(), Some(due))
        } else if held.expected {
            ("for the request that is expected".to_owned(), Some(due))
        } else {
            (format!("idle for up to {}", time(held.stays.as_secs_f64())), Some(due))
        }
    }
}

// === impl Span ===

impl Span {
    fn of(window: Window) -> Self {
        Self { from_ms: thousandths(window.from), until_ms: thousandths(window.until) }
    }
}

/// Why an instance went, as the end of a sentence.
fn sentence(reason: Reason) -> &'static str {
    match reason {
        Reason::Idle => "it was idle for as long as it is worth",
        Reason::Replaced => "its version was replaced",
        Reason::Evicted => "its place under the limit of instances was needed",
        Reason::Pressure => "the node is short of memory and it was worth the least",
        Reason::Failed => "a request left it in an unknown state",
        Reason::Drain => "the server is stopping",
    }
}

/// A time for people.
fn time(seconds: f64) -> String {
    match seconds {
        _ if seconds < 0.001 => format!("{:.0} µs", seconds * 1e6),
        _ if seconds < 1.0 => format!("{:.0} ms", seconds * 1e3),
        _ if seconds < 600.0 => format!("{seconds:.0} s"),
        _ => format!("{:.0} min", seconds / 60.0),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, for people")]
fn thousandths(value: f64) -> u64 {
    (value * 1e3).round() as u64
}

fn micros(seconds: f64) -> u64 {
    thousandths(seconds * 1e3)
}

fn milliseconds(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}
