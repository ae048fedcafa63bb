//! What is kept of one request, and how its times become a timeline.
//!
//! Four moments divide the life of a request: it arrives, its body is here, an instance has it, the answer
//! is there, the instance is free. The time before the instance had it is divided further by what the
//! instance was doing then: phases of its start, as far as this request waited for them.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use types::metering::{Start, Tier};
use types::request_id::RequestId;
use types::summary::Summary;

use super::books::Used;
use super::ring::Ring;
use crate::trace::{Span, Trace};

/// When a request came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    /// When the worker got it.
    pub at: Instant,
    /// When its body was here.
    pub received: Instant,
    epoch_micros: i64,
}

/// What the requests of an instance have in common.
#[derive(Debug)]
pub(crate) struct Origin {
    pub function: String,
    pub version: String,
    /// The instance's id; empty for requests that got none.
    pub instance: String,
    /// How the instance came to be; `None` without one.
    pub start: Option<Arc<Start>>,
    /// When it was ready.
    pub ready: Instant,
}

/// How a request ended, as the metric's label says it.
pub(crate) type Ending = &'static str;

/// One request. Times are in microseconds.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub id: RequestId,
    pub origin: Arc<Origin>,
    pub ending: Ending,
    epoch_micros: i64,
    received: u64,
    waited: u64,
    /// How long the instance had been ready, where this is its first request.
    ready_for: Option<u64>,
    ran: u64,
    after: u64,
    wall: u64,
    used: Used,
    bytes_in: u64,
    bytes_out: u64,
}

/// A request whose instance is not free yet.
#[derive(Debug)]
pub(crate) struct Pending {
    arrived: Instant,
    answered: Instant,
    record: Record,
}

/// What an ended request came to, for its record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub begun: Instant,
    pub answered: Instant,
    pub first: bool,
    pub ending: Ending,
    pub used: Used,
    pub bytes_in: u64,
    pub bytes_out: u64,
}

// === impl Arrival ===

impl Arrival {
    /// Now, with its body.
    pub fn now() -> Self {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = Instant::now();
        Self { at, received: at, epoch_micros: i64::try_from(epoch.as_micros()).unwrap_or(i64::MAX) }
    }

    /// Its body is here now.
    pub fn received(self) -> Self {
        Self { received: Instant::now(), ..self }
    }
}

// === impl Pending ===

impl Pending {
    pub fn new(id: RequestId, origin: Arc<Origin>, arrival: Arrival, ended: Ended) -> Self {
        let Ended { begun, answered, first, ending, used, bytes_in, bytes_out } = ended;
        let record = Record {
            id,
            ready_for: first.then(|| micros(begun.saturating_duration_since(origin.ready))),
            origin,
            ending,
            epoch_micros: arrival.epoch_micros,
            received: micros(arrival.received.saturating_duration_since(arrival.at)),
            waited: micros(begun.saturating_duration_since(arrival.received)),
            ran: micros(answered.saturating_duration_since(begun)),
            after: 0,
            wall: 0,
            used,
            bytes_in,
            bytes_out,
        };
        Self { arrived: arrival.at, answered, record }
    }

    /// What is known of it by now.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The instance is free: keeps the record.
    pub fn keep(self, ring: &Ring) {
        let Self { arrived, answered, mut record } = self;
        let now = Instant::now();
        record.after = micros(now.saturating_duration_since(answered));
        record.wall = micros(now.saturating_duration_since(arrived));
        ring.push(record);
    }
}

// === impl Record ===

impl Record {
    /// A request that got no instance.
    pub fn refused(id: RequestId, origin: Origin, arrival: Arrival, ending: Ending, bytes_in: u64) -> Self {
        let now = Instant::now();
        let ended = Ended {
            begun: now,
            answered: now,
            first: false,
            ending,
            used: Used::default(),
            bytes_in,
            bytes_out: 0,
        };
        let mut record = Pending::new(id, Arc::new(origin), arrival, ended).record;
        record.wall = micros(now.saturating_duration_since(arrival.at));
        record
    }

    /// What it found.
    pub fn tier(&self) -> Option<Tier> {
        let start = self.origin.start.as_ref()?;
        Some(if self.ready_for.is_some() { start.tier } else { Tier::Warm })
    }

    /// Its figures, in short.
    pub fn summary(&self) -> Summary {
        let start_micros = self.start_phases().map(|(_, micros)| micros).sum();
        Summary {
            request_id: self.id,
            start: self.tier().unwrap_or(Tier::Warm),
            queue_micros: self.waited.saturating_sub(start_micros),
            start_micros,
            run_micros: Some(self.ran),
            cpu_micros: self.used.cpu_micros,
            memory_peak_bytes: self.used.memory_peak,
            bytes_in: self.bytes_in,
            bytes_out: Some(self.bytes_out),
            estimated: self.used.estimated,
        }
    }

    /// Its timeline.
    pub fn trace(&self) -> Trace {
        let Self { origin, used, .. } = self;
        let arrived = jiff::Timestamp::from_microsecond(self.epoch_micros).unwrap_or_default();
        let start = origin.start.as_ref().filter(|_| self.ready_for.is_some());
        Trace {
            request_id: self.id.to_string(),
            function: origin.function.clone(),
            version: origin.version.clone(),
            instance: origin.instance.clone(),
            ending: self.ending.to_owned(),
            arrived: arrived.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
            start: self.tier(),
            why: start.map(|start| start.why.clone()).unwrap_or_default(),
            spans: self.spans(),
            wall_micros: self.wall,
            cpu_micros: used.cpu_micros,
            memory_peak_bytes: used.memory_peak,
            memory_mib_ms: used.cpu_micros.map(|_| mib_ms(used.memory_area)),
            estimated: used.estimated,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
        }
    }

    fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        let mut add = |name: &str, micros| spans.push(Span { name: name.to_owned(), micros });
        if self.received > 0 {
            add("receive", self.received);
        }
        let starting: u64 = self.start_phases().map(|(_, micros)| micros).sum();
        let handed = self.ready_for.filter(|_| starting > 0).unwrap_or(0).min(self.waited);
        add("queue", self.waited.saturating_sub(starting).saturating_sub(handed));
        let mut phases: Vec<(&str, u64)> = self.start_phases().collect();
        phases.reverse();
        for (name, micros) in phases {
            add(name, micros);
        }
        if handed > 0 {
            add("assign", handed);
        }
        if self.origin.start.is_some() {
            add("run", self.ran);
            add("after", self.after);
        }
        spans
    }

    /// The phases of its instance's start, the last first, as far as this request waited for them: what
    /// ended before it came is not its own, and what began before it came counts from then on.
    fn start_phases(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let start = self.origin.start.as_ref().filter(|_| self.ready_for.is_some());
        let mut left = self.waited.saturating_sub(self.ready_for.unwrap_or(0));
        let phases = start.map_or(&[][..], |start| &start.phases[..]);
        phases.iter().rev().filter_map(move |phase| {
            let micros = phase.micros.min(left);
            left -= micros;
            (micros > 0).then_some((phase.name, micros))
        })
    }
}

/// Bytes times microseconds as mebibytes times milliseconds.
pub(crate) fn mib_ms(area: u128) -> u64 {
    (area / (u128::from(types::limits::MIB) * 1_000)).try_into().unwrap_or(u64::MAX)
}

fn micros(duration: Duration) -> u64 {
    duration.as_micros().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use types::metering::Phase;

    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// A request whose instance took 60 ms (20 and 40) to start, of which it waited `overlap`.
    async fn cold(before: u64, arrives_after: u64, lag: u64) -> Trace {
        tokio::time::advance(ms(1_000)).await;
        let began = Instant::now();
        tokio::time::advance(ms(arrives_after)).await;
        let arrival = Arrival::now();
        tokio::time::advance(ms(before)).await;
        let arrival = if before > 0 { arrival.received() } else { arrival };
        let phases = vec![Phase { name: "sandbox", micros: 20_000 }, Phase { name: "init", micros: 40_000 }];
        let start = Start { tier: Tier::Bare, why: "nothing was there".into(), phases };
        let ready = began + ms(60);
        let origin = Origin {
            function: "f".into(),
            version: "1".into(),
            instance: "i".into(),
            start: Some(Arc::new(start)),
            ready,
        };
        let begun = (ready + ms(lag)).max(arrival.received);
        tokio::time::advance(begun - Instant::now()).await;
        tokio::time::advance(ms(7)).await;
        let answered = Instant::now();
        tokio::time::advance(ms(2)).await;
        let used = Used { cpu_micros: Some(5), ..Used::default() };
        let ended = Ended { begun, answered, first: true, ending: "ok", used, bytes_in: 1, bytes_out: 2 };
        let pending = Pending::new(RequestId::new(), Arc::new(origin), arrival, ended);
        let ring = Ring::new(3);
        let id = pending.record().id;
        pending.keep(&ring);
        ring.find(id).unwrap().trace()
    }

    fn pairs(trace: &Trace) -> Vec<(&str, u64)> {
        assert_eq!(trace.spans.iter().map(|span| span.micros).sum::<u64>(), trace.wall_micros);
        trace.spans.iter().map(|span| (span.name.as_str(), span.micros / 1_000)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_began_the_start_waited_for_all_of_it() {
        let trace = cold(0, 0, 1).await;
        let expected = [("queue", 0), ("sandbox", 20), ("init", 40), ("assign", 1), ("run", 7), ("after", 2)];
        assert_eq!(pairs(&trace), expected);
        assert_eq!((trace.start, trace.why.as_str()), (Some(Tier::Bare), "nothing was there"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_under_way_counts_from_the_arrival_on() {
        let trace = cold(5, 30, 0).await;
        assert_eq!(pairs(&trace), [("receive", 5), ("queue", 0), ("init", 25), ("run", 7), ("after", 2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_that_was_over_costs_nothing() {
        let trace = cold(0, 100, 0).await;
        assert_eq!(pairs(&trace), [("queue", 0), ("run", 7), ("after", 2)]);
        assert_eq!(trace.start, Some(Tier::Bare));
    }

    #[test]
    fn the_ring_keeps_the_newest() {
        let ring = Ring::new(2);
        let ids: Vec<RequestId> = (0..3).map(|_| RequestId::new()).collect();
        for id in &ids {
            let origin = Origin {
                function: "f".into(),
                version: "1".into(),
                instance: String::new(),
                start: None,
                ready: Instant::now(),
            };
            ring.push(Record::refused(*id, origin, Arrival::now(), "draining", 0));
        }
        assert!(ring.find(ids[0]).is_none());
        assert_eq!(ring.find(ids[2]).unwrap().trace().start, None);
        assert!(size_of::<Record>() <= 256, "{}", size_of::<Record>());
    }
}
