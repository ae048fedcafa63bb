//! The loads: closed loop, open loop and burst.
//!
//! Threads send until the deadline; what begins before the warm-up is over does not count. In the open loop
//! a request is due at its number times the interval, the next free connection takes it, and its latency
//! runs from when it was due: a server that stalls is charged for all that waited meanwhile.

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value, json};

use crate::arguments::Target;
use crate::http::Connection;
use crate::processes;
use crate::summary::Seen;

/// Little is kept on a thread's stack besides one read.
const STACK: usize = 128 * 1024;
/// Timers as exact as the kernel has them, instead of 50 µs late.
const TIMER_SLACK: std::num::NonZeroU64 = std::num::NonZeroU64::MIN;

/// What the threads of one load share.
struct Course {
    begin: Instant,
    counts_from: Instant,
    until: Instant,
    /// Between two requests that are due; `None`: as fast as answers come.
    interval: Option<Duration>,
    tickets: AtomicU64,
    answered: AtomicU64,
}

// === impl Course ===

impl Course {
    fn new(target: &Target, interval: Option<Duration>) -> Result<Self> {
        let begin = Instant::now() + Duration::from_millis(50);
        let counts_from = begin + Duration::try_from_secs_f64(target.warm_up)?;
        let until = counts_from + Duration::try_from_secs_f64(target.seconds)?;
        let (tickets, answered) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Self { begin, counts_from, until, interval, tickets, answered })
    }

    /// When the next request is due, once that moment has come; `None` after the end.
    fn next(&self) -> Option<Instant> {
        let due = match self.interval {
            None => Instant::now().max(self.begin),
            Some(interval) => {
                let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
                self.begin + interval.mul_f64(ticket as f64)
            }
        };
        if due >= self.until {
            return None;
        }
        thread::sleep(due.saturating_duration_since(Instant::now()));
        Some(due)
    }

    fn run(&self, target: &Target) -> Seen {
        // Without it an open loop is a little less exact.
        let _ = rustix::thread::set_current_timer_slack(Some(TIMER_SLACK));
        let mut seen = Seen::default();
        let mut connection = None;
        while let Some(due) = self.next() {
            let sent = Instant::now();
            let status = exchange(&mut connection, target);
            let ended = Instant::now();
            if due < self.counts_from || ended > self.until {
                continue;
            }
            match status {
                Ok(status) => {
                    *seen.statuses.entry(status).or_default() += 1;
                    seen.latencies.push(nanoseconds(ended - due));
                    if self.interval.is_some() {
                        seen.lateness.push(nanoseconds(sent - due));
                    }
                }
                Err(error) => *seen.errors.entry(error.to_string()).or_default() += 1,
            }
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
        seen
    }
}

/// Each connection sends its next request when it has its answer.
pub(crate) fn closed(target: &Target) -> Result<Value> {
    let course = Course::new(target, None)?;
    run(&course, target, "closed")
}

/// Requests are due at a fixed rate.
pub(crate) fn open(rate: f64, target: &Target) -> Result<Value> {
    ensure!(rate > 0.0, "--rate must be more than 0");
    let course = Course::new(target, Some(Duration::try_from_secs_f64(1.0 / rate)?))?;
    let mut report = run(&course, target, "open")?;
    if let Some(report) = report.as_object_mut() {
        report.insert("rate".to_owned(), json!(rate));
    }
    Ok(report)
}

/// Every connection sends one request at the same moment; connections are open before.
pub(crate) fn burst(target: &Target) -> Result<Value> {
    let barrier = Barrier::new(target.connections + 1);
    let (seen, begin) = thread::scope(|scope| -> Result<_> {
        let mut threads = Vec::new();
        for _ in 0..target.connections {
            let connection = Connection::open(target).context("cannot connect")?;
            let barrier = &barrier;
            let one = move || {
                let mut connection = connection;
                barrier.wait();
                let begin = Instant::now();
                let mut seen = Seen::default();
                match connection.exchange() {
                    Ok(status) => {
                        seen.statuses.insert(status, 1);
                        seen.latencies.push(nanoseconds(begin.elapsed()));
                    }
                    Err(error) => drop(seen.errors.insert(error.to_string(), 1)),
                }
                seen
            };
            threads.push(thread::Builder::new().stack_size(STACK).spawn_scoped(scope, one)?);
        }
        barrier.wait();
        let begin = Instant::now();
        Ok((join(threads)?, begin))
    })?;
    Ok(seen.report("burst", begin.elapsed().as_secs_f64()))
}

fn run(course: &Course, target: &Target, mode: &str) -> Result<Value> {
    let (seen, spent, answered) = thread::scope(|scope| -> Result<_> {
        let mut threads = Vec::new();
        for _ in 0..target.connections {
            threads
                .push(thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || course.run(target))?);
        }
        thread::sleep(course.counts_from.saturating_duration_since(Instant::now()));
        let before = (processes::cpu_times(&target.trees), course.answered.load(Ordering::Relaxed));
        thread::sleep(course.until.saturating_duration_since(Instant::now()));
        let after = (processes::cpu_times(&target.trees), course.answered.load(Ordering::Relaxed));
        Ok((join(threads)?, processes::spent(&before.0, &after.0), after.1 - before.1))
    })?;
    let mut report = seen.report(mode, target.seconds);
    if let Some(report) = report.as_object_mut() {
        report.insert("connections".to_owned(), json!(target.connections));
        if !target.trees.is_empty() {
            charge(report, &spent, answered);
        }
    }
    Ok(report)
}

fn exchange(connection: &mut Option<Connection>, target: &Target) -> std::io::Result<u16> {
    let mut open = match connection.take() {
        Some(open) => open,
        None => Connection::open(target)?,
    };
    // One that broke is not used again.
    let status = open.exchange()?;
    *connection = Some(open);
    Ok(status)
}

fn join(threads: Vec<thread::ScopedJoinHandle<'_, Seen>>) -> Result<Seen> {
    let mut all = Seen::default();
    for thread in threads {
        all.merge(thread.join().map_err(|_| anyhow::anyhow!("a thread of the load panicked"))?);
    }
    Ok(all)
}

/// Adds what each request cost the servers: in all, and by the names of their threads.
pub(crate) fn charge(report: &mut Map<String, Value>, spent: &BTreeMap<String, u64>, requests: u64) {
    // To a tenth of a microsecond.
    let each = |nanoseconds: u64| (nanoseconds as f64 / requests.max(1) as f64 / 100.0).round() / 10.0;
    let by_thread: BTreeMap<&String, f64> =
        spent.iter().map(|(name, spent)| (name, each(*spent))).filter(|(_, each)| *each > 0.0).collect();
    report.insert("cpu_us_per_request".to_owned(), json!(each(spent.values().sum())));
    report.insert("cpu_us_by_thread".to_owned(), json!(by_thread));
}

pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    duration.as_nanos().try_into().unwrap_or(u64::MAX)
}
