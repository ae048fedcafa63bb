//! Runs one policy over a trace, function by function, and adds up what it costs.
//!
//! For each gap the plan made at its beginning decides: an instance that is there answers without delay, a
//! template costs a fork, else the start is cold. An idle instance counts with what it has to itself: all of it
//! where there is no template. A template counts in full while nothing runs, and while something runs with what
//! it and one instance hold beyond an instance alone.

use super::outcome::{Charges, Outcome, Tally};
use super::trace::{Function, Kind, Trace};
use crate::keep_alive::{Fork, Plan};

/// A policy for one function: what to keep during a gap, decided when the gap begins.
pub trait Retention {
    /// What happens if no request comes; `quiet`: nothing of the function runs now.
    fn plan(&mut self, quiet: bool) -> Plan;
    /// A gap has ended.
    fn observe(&mut self, gap: f64, quiet: bool);
}

/// An idle place.
#[derive(Debug, Clone, Copy)]
struct Idle {
    since: f64,
    quiet: bool,
    plan: Plan,
}

/// How a request found its function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Instance,
    Template,
    Nothing,
}

/// Runs `make`'s policy over every function. `fork` is what a template costs where the policy has one.
pub fn run<R: Retention>(
    trace: &Trace,
    charges: &Charges,
    fork: Option<Fork>,
    mut make: impl FnMut(&Function) -> R,
) -> Outcome {
    let mut outcome = Outcome::default();
    for function in &trace.functions {
        let mut policy = make(function);
        let tally = function_tally(function, trace.horizon, fork, &mut policy);
        outcome.add(function, &tally, charges, fork);
    }
    outcome
}

fn function_tally(
    function: &Function,
    horizon: f64,
    fork: Option<Fork>,
    policy: &mut impl Retention,
) -> Tally {
    let mut tally = Tally { idle: function.brief, ..Tally::default() };
    let mut idle: Vec<Idle> = Vec::new();
    let mut first = true;
    // Since when something of the function runs; its template is there for all of that time.
    let mut running = None;
    for edge in &function.edges {
        match edge.kind {
            Kind::Idle { quiet: true } => {
                tally.running += running.take().map_or(0.0, |since| edge.at - since);
            }
            Kind::Idle { quiet: false } => {}
            Kind::Use | Kind::Fresh => running = running.or(Some(edge.at)),
        }
        match edge.kind {
            Kind::Idle { quiet } => idle.push(Idle { since: edge.at, quiet, plan: policy.plan(quiet) }),
            Kind::Use => {
                let Some(place) = idle.pop() else { continue };
                let gap = edge.at - place.since;
                hold(&mut tally, &place, gap);
                count(&mut tally, found(&place, gap, fork));
                policy.observe(gap, place.quiet);
            }
            // The template of a function that runs is there.
            Kind::Fresh => {
                let template = fork.is_some() && !first;
                count(&mut tally, if template { Found::Template } else { Found::Nothing });
            }
        }
        first = false;
    }
    tally.running += running.map_or(0.0, |since| horizon - since);
    for place in &idle {
        hold(&mut tally, place, horizon - place.since);
    }
    tally
}

fn found(place: &Idle, gap: f64, fork: Option<Fork>) -> Found {
    let template = match place.plan.template {
        Some(window) => window.covers(gap) || !place.quiet,
        None => false,
    };
    if place.plan.instance.covers(gap) {
        Found::Instance
    } else if template && fork.is_some() {
        Found::Template
    } else {
        Found::Nothing
    }
}

/// Adds what is held during a gap, and the starts and stops that the plan itself makes in it.
fn hold(tally: &mut Tally, place: &Idle, gap: f64) {
    let instance = place.plan.instance;
    tally.idle += instance.presence(gap);
    if instance.prewarms() {
        tally.stops += 1;
        tally.prewarms += u64::from(gap >= instance.from);
        tally.stops += u64::from(gap > instance.until);
    } else {
        tally.stops += u64::from(gap > instance.until);
    }
    if let Some(template) = place.plan.template
        && place.quiet
    {
        tally.template += template.presence(gap);
        tally.template_prewarms += u64::from(template.prewarms() && gap >= template.from);
    }
}

fn count(tally: &mut Tally, found: Found) {
    match found {
        Found::Instance => {}
        Found::Template => tally.forks += 1,
        Found::Nothing => tally.cold += 1,
    }
}
