//! The last starts and stops of a function's instances, for explanations. Bounded; decides nothing.

use std::collections::VecDeque;
use std::time::Duration;

use autoscaler::Reason;
use types::failure::Failure;
use types::metering::{Start, Tier};

use super::member::milliseconds;
use crate::explain::{Happening, KEPT, What};

/// What happened lately, the oldest first.
#[derive(Debug, Default)]
pub(super) struct History(VecDeque<Entry>);

#[derive(Debug)]
struct Entry {
    at: Duration,
    what: What,
    instance: String,
    start: Option<(Tier, Duration)>,
    why: String,
}

// === impl History ===

impl History {
    /// An instance became ready.
    pub fn started(&mut self, at: Duration, instance: &str, start: &Start) {
        let tier = Some((start.tier, start.duration()));
        self.push(Entry {
            at,
            what: What::Started,
            instance: instance.to_owned(),
            start: tier,
            why: start.why.clone(),
        });
    }

    /// An instance is gone.
    pub fn stopped(&mut self, at: Duration, instance: &str, why: String) {
        self.push(Entry { at, what: What::Stopped, instance: instance.to_owned(), start: None, why });
    }

    /// An instance could not be started.
    pub fn failed(&mut self, at: Duration, failure: &Failure) {
        let why = format!("{}: {}", failure.error_type, failure.message);
        self.push(Entry { at, what: What::Failed, instance: String::new(), start: None, why });
    }

    /// The newest first, as seen at `now`.
    pub fn newest_first(&self, now: Duration) -> Vec<Happening> {
        let seen = |entry: &Entry| Happening {
            ago_ms: milliseconds(now.saturating_sub(entry.at)),
            what: entry.what,
            instance: entry.instance.clone(),
            start: entry.start.map(|(tier, _)| tier),
            start_micros: entry.start.map(|(_, took)| took.as_micros().try_into().unwrap_or(u64::MAX)),
            why: entry.why.clone(),
        };
        self.0.iter().rev().map(seen).collect()
    }

    fn push(&mut self, entry: Entry) {
        if self.0.len() >= KEPT {
            self.0.pop_front();
        }
        self.0.push_back(entry);
    }
}

/// Why an instance is retired, as a sentence; `idle` is how long one may be idle.
pub(super) fn sentence(reason: Reason, idle: Duration) -> String {
    match reason {
        Reason::Idle => format!("it was idle for {idle:?}, as long as it may be"),
        Reason::Replaced => "its version was replaced by a newer one".to_owned(),
        Reason::Evicted => "its place was needed, or the limit of instances was lowered".to_owned(),
        Reason::Pressure => "the node is short of memory, and it was worth the least".to_owned(),
        Reason::Failed => "a request left it in an unknown state".to_owned(),
        Reason::Drain => "the server is stopping".to_owned(),
    }
}
