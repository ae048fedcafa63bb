//! Drives the scaling rules themselves, [`crate::decide`], with loads of four shapes, and counts how often
//! instances are started and stopped against how often that was needed.
//!
//! One function, one request per instance, no failures. Needed is what
//! would happen if starts took no time: an instance for each request that finds none free, and a stop for each
//! that nobody takes within the idle window.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::random::Random;
use super::trace::{Kind, Profile, Recorder};
use crate::keep_alive::{Prior, Trigger};
use crate::{
    Action, Event, Instance, Keep, Memory, Policy, Ready, Reason, Request, Revision, State, Tier, decide,
};

/// Mean run time of a request, in seconds, and the spread of its logarithm.
const RUN: f64 = 0.2;
const RUN_SPREAD: f64 = 0.8;
/// Requests per second between the lowest and the highest load.
const LOW: f64 = 2.0;
const HIGH: f64 = 120.0;
/// Seconds of load, and of the silence after it in which everything goes.
const LOADED: f64 = 300.0;
const SILENCE: f64 = 90.0;
/// How long an idle instance stays.
const IDLE: Duration = Duration::from_secs(30);
const MAX_INSTANCES: u32 = 100;

/// How the load changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// Low, then high for a while, then low.
    Step,
    /// Steadily up and steadily down.
    Ramp,
    /// Two waves.
    Sine,
    /// Low but for one second in a minute.
    Spike,
}

/// What one load came to.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The load.
    pub shape: Shape,
    /// Milliseconds that a start takes.
    pub start: f64,
    /// Requests sent.
    pub requests: usize,
    /// Requests that were run.
    pub served: usize,
    /// Instances started.
    pub starts: usize,
    /// Instances stopped.
    pub stops: usize,
    /// Starts and stops that were needed.
    pub needed: usize,
    /// Instances stopped for idleness less than one idle window after a start.
    pub regretted: usize,
    /// The longest a request waited, in milliseconds.
    pub longest_wait: f64,
}

/// Something that will happen, in the order of its moment and of its making.
type Pending = Reverse<(Duration, u64, Happening)>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Arrives(usize),
    Started(Instance),
    Done(Instance, Duration),
    Gone(Instance),
}

#[derive(Debug)]
struct World {
    state: State,
    revision: Revision,
    pending: BinaryHeap<Pending>,
    made: u64,
    // Moments and run times of the requests.
    calls: Vec<(Duration, Duration)>,
    last_start: Option<Duration>,
    start: Duration,
    report: Report,
}

/// Runs one shape with starts that take this long. The same seed makes the same load.
#[must_use]
pub fn run(shape: Shape, seed: u64, start: Duration) -> Report {
    let calls = calls(shape, seed);
    let report = Report {
        shape,
        start: start.as_secs_f64() * 1e3,
        requests: calls.len(),
        served: 0,
        starts: 0,
        stops: 0,
        needed: needed(&calls),
        regretted: 0,
        longest_wait: 0.0,
    };
    let policy = Policy {
        max_instances: MAX_INSTANCES,
        concurrency: 1,
        keep: Keep::Fixed(IDLE),
        queue: Duration::from_secs(60),
        reserved: None,
        provisioned: BTreeMap::new(),
    };
    let mut world = World {
        state: State::new(policy, Arc::new(Prior::default()), Memory::default()),
        revision: Arc::from("1"),
        pending: BinaryHeap::new(),
        made: 0,
        calls,
        last_start: None,
        start,
        report,
    };
    world.play();
    world.report
}

/// Requests that arrive at random at the rate of the shape.
fn calls(shape: Shape, seed: u64) -> Vec<(Duration, Duration)> {
    let mut random = Random::new(seed);
    let mut at = 0.0;
    let mut calls = Vec::new();
    while at < LOADED {
        at += random.exponential() / HIGH;
        // Thinned: as many of the highest load as there are at this moment.
        if random.uniform() * HIGH < shape.rate(at) {
            let run = random.lognormal(RUN, RUN_SPREAD);
            calls.push((Duration::from_secs_f64(at), Duration::from_secs_f64(run)));
        }
    }
    calls
}

/// Starts and stops if starts took no time.
fn needed(calls: &[(Duration, Duration)]) -> usize {
    let mut recorder = Recorder::new();
    for (at, run) in calls {
        recorder.call(at.as_secs_f64(), run.as_secs_f64());
    }
    let profile = Profile { trigger: Trigger::Http, memory: 1.0, run: RUN };
    let Some(function) = recorder.finish(&profile, LOADED + SILENCE) else { return 0 };
    let fresh = function.edges.iter().filter(|edge| edge.kind == Kind::Fresh).count();
    let missed = function.gaps().into_iter().filter(|gap| *gap > IDLE.as_secs_f64()).count();
    // All that was started is stopped in the end.
    2 * (fresh + missed)
}

// === impl Shape ===

impl Shape {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Step, Self::Ramp, Self::Sine, Self::Spike];

    /// Requests per second at this moment.
    fn rate(self, at: f64) -> f64 {
        let part = at / LOADED;
        let level = match self {
            Self::Step => f64::from(u8::from((0.3..0.6).contains(&part))),
            Self::Ramp => 1.0 - (2.0 * part - 1.0).abs(),
            Self::Sine => f64::midpoint(1.0, -(2.0 * part * std::f64::consts::TAU).cos()),
            Self::Spike => f64::from(u8::from(at % 60.0 < 1.0)),
        };
        if at > LOADED { 0.0 } else { LOW + (HIGH - LOW) * level }
    }
}

// === impl World ===

impl World {
    fn play(&mut self) {
        for index in 0..self.calls.len() {
            let at = self.calls.get(index).map_or(Duration::ZERO, |(at, _)| *at);
            self.later(at, Happening::Arrives(index));
        }
        let mut now = Duration::ZERO;
        loop {
            let happens = self.pending.peek().map(|Reverse((at, ..))| *at);
            let deadline = self.state.next_deadline();
            if deadline.is_some_and(|deadline| happens.is_none_or(|happens| deadline < happens)) {
                now = deadline.unwrap_or(now);
                self.send(Event::Tick, now);
                continue;
            }
            let Some(Reverse((at, _, happening))) = self.pending.pop() else { return };
            now = at;
            let event = self.event(happening);
            self.send(event, now);
        }
    }

    fn later(&mut self, at: Duration, happening: Happening) {
        self.made += 1;
        self.pending.push(Reverse((at, self.made, happening)));
    }

    fn event(&self, happening: Happening) -> Event {
        match happening {
            Happening::Arrives(index) => {
                Event::Arrive { request: Request(index as u64), revision: Arc::clone(&self.revision) }
            }
            Happening::Started(instance) => {
                let ready = Ready { places: 1, freeze: None, tier: Tier::Fresh, took: self.start };
                Event::Started { instance, ready }
            }
            Happening::Done(instance, served) => Event::Released { instance, healthy: true, served },
            Happening::Gone(instance) => Event::Gone { instance },
        }
    }

    fn send(&mut self, event: Event, now: Duration) {
        for action in decide(&mut self.state, event, now) {
            self.carry_out(&action, now);
        }
    }

    fn carry_out(&mut self, action: &Action, now: Duration) {
        match *action {
            // The node has room for every start.
            Action::Want { instance, .. } => self.send(Event::Admitted { instance }, now),
            Action::Start { instance, .. } => {
                self.report.starts += 1;
                self.last_start = Some(now);
                self.later(now + self.start, Happening::Started(instance));
            }
            Action::Assign { request, instance } => {
                let call = usize::try_from(request.0).ok().and_then(|index| self.calls.get(index));
                let (arrived, run) = call.copied().unwrap_or((now, Duration::ZERO));
                let waited = now.saturating_sub(arrived).as_secs_f64() * 1e3;
                self.report.longest_wait = self.report.longest_wait.max(waited);
                self.report.served += 1;
                self.later(now + run, Happening::Done(instance, run));
            }
            Action::Retire { instance, reason } => {
                self.report.stops += 1;
                let recent = self.last_start.is_some_and(|start| now.saturating_sub(start) < IDLE);
                self.report.regretted += usize::from(reason == Reason::Idle && recent);
                self.later(now, Happening::Gone(instance));
            }
            Action::Withdraw { .. }
            | Action::Refuse { .. }
            | Action::Fail { .. }
            | Action::Freeze { .. }
            | Action::Thaw { .. }
            | Action::RetireTemplate { .. }
            | Action::MakeTemplate { .. } => {}
        }
    }
}
