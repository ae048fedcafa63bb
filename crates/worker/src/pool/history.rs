//! The last starts and stops of a function's instances as the platform saw them, beside the reasons of whoever
//! decided. Bounded; decides nothing.

use std::collections::VecDeque;
use std::time::Duration;

use autoscaler::Instance as Key;
use autoscaler::explain::Change;
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
    key: Key,
    what: What,
    instance: String,
    start: Option<(Tier, Duration)>,
    how: String,
}

// === impl History ===

impl History {
    /// An instance became ready.
    pub fn started(&mut self, at: Duration, key: Key, instance: &str, start: &Start) {
        let (instance, how) = (instance.to_owned(), start.why.clone());
        let start = Some((start.tier, start.duration()));
        self.push(Entry { at, key, what: What::Started, instance, start, how });
    }

    /// An instance is gone.
    pub fn stopped(&mut self, at: Duration, key: Key, instance: &str) {
        let (instance, how) = (instance.to_owned(), String::new());
        self.push(Entry { at, key, what: What::Stopped, instance, start: None, how });
    }

    /// An instance could not be started.
    pub fn failed(&mut self, at: Duration, key: Key, failure: &Failure) {
        let how = format!("{}: {}", failure.error_type, failure.message);
        self.push(Entry { at, key, what: What::Failed, instance: String::new(), start: None, how });
    }

    /// The newest first, as seen at `now`, with the reasons among `changes`.
    pub fn newest_first(&self, now: Duration, changes: &[Change]) -> Vec<Happening> {
        self.0.iter().rev().map(|entry| entry.happening(now, changes)).collect()
    }

    fn push(&mut self, entry: Entry) {
        if self.0.len() >= KEPT {
            self.0.pop_front();
        }
        self.0.push_back(entry);
    }
}

// === impl Entry ===

impl Entry {
    fn happening(&self, now: Duration, changes: &[Change]) -> Happening {
        let started = self.what != What::Stopped;
        let decided =
            changes.iter().find(|change| change.instance == self.key.0 && change.started == started);
        let why = match decided {
            Some(change) => change.why.clone(),
            None if started => String::new(),
            None => "it ended by itself".to_owned(),
        };
        Happening {
            ago_ms: milliseconds(now.saturating_sub(self.at)),
            what: self.what,
            instance: self.instance.clone(),
            start: self.start.map(|(tier, _)| tier),
            start_micros: self.start.map(|(_, took)| took.as_micros().try_into().unwrap_or(u64::MAX)),
            how: self.how.clone(),
            why,
        }
    }
}
