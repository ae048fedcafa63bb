//! The simulator itself: what is recorded from calls, what a replay charges, that the readers read and that
//! the product's policy is no worse than what it is measured against on a trace anyone can make.

use std::time::Duration;

use super::compare::{Family, Setup, compare};
use super::fixed::Fixed;
use super::load::Shape;
use super::outcome::Charges;
use super::replay::{self, Retention};
use super::trace::{Edge, Function, Kind, Profile, Recorder, Trace};
use super::{azure, greedy_dual, load, plot, synthetic};
use crate::keep_alive::{Fork, Plan, Trigger, Window};

const CHARGES: Charges = Charges { cold_start: 0.25 };
const FORK: Fork = Fork { delay: 0.004, share: 1.04, own: 0.12 };

fn trace(calls: &[(f64, f64)], horizon: f64) -> Trace {
    let mut recorder = Recorder::new();
    for (at, run) in calls {
        recorder.call(*at, *run);
    }
    let profile = Profile { trigger: Trigger::Http, memory: 1.0, run: 1.0 };
    let functions = recorder.finish(&profile, horizon).into_iter().collect();
    Trace { name: "test".to_owned(), horizon, functions }
}

/// The same plan for every gap.
struct Always(Plan);

impl Retention for Always {
    fn plan(&mut self, _quiet: bool) -> Plan {
        self.0
    }

    fn observe(&mut self, _gap: f64, _quiet: bool) {}
}

/// Without the microsecond that a run is rounded up by.
fn round(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}

fn edges(trace: &Trace) -> Vec<(f64, Kind)> {
    let function: &Function = &trace.functions[0];
    function.edges.iter().map(|Edge { at, kind }| (round(*at), *kind)).collect()
}

#[test]
fn calls_become_gaps_of_the_instance_used_last() {
    // Two at once, then one that takes the instance that was used last, then nothing.
    let trace = trace(&[(0.0, 10.0), (5.0, 10.0), (20.0, 1.0)], 100.0);
    let idle = |quiet| Kind::Idle { quiet };
    assert_eq!(
        edges(&trace),
        [
            (0.0, Kind::Fresh),
            (5.0, Kind::Fresh),
            (10.0, idle(false)),
            (15.0, idle(true)),
            (20.0, Kind::Use),
            (21.0, idle(true))
        ]
    );
    assert_eq!(trace.functions[0].gaps().into_iter().map(round).collect::<Vec<_>>(), [5.0]);
}

#[test]
fn brief_gaps_leave_no_edge_but_their_time() {
    let trace = trace(&[(0.0, 1.0), (1.5, 1.0), (2.75, 1.0)], 60.0);
    assert_eq!(edges(&trace), [(0.0, Kind::Fresh), (3.75, Kind::Idle { quiet: true })]);
    assert_eq!(round(trace.functions[0].brief), 0.75);
}

#[test]
fn a_replay_charges_what_the_plan_says() {
    let trace = trace(&[(0.0, 1.0), (11.0, 1.0), (112.0, 1.0)], 1_113.0);
    let fixed = replay::run(&trace, &CHARGES, None, |_| Fixed(20.0));
    // The first call and the gap of 100 s are cold; 10 s, 20 s and 20 s are idle.
    assert_eq!((fixed.cold, fixed.starts, fixed.stops), (2, 2, 2));
    assert_eq!((fixed.delay_seconds, round(fixed.idle_gib_seconds)), (0.5, 50.0));
    let plan = Plan { instance: Window::keep(20.0), template: Some(Window::keep(200.0)) };
    let tiers = replay::run(&trace, &CHARGES, Some(FORK), |_| Always(plan));
    assert_eq!((tiers.cold, tiers.forks), (1, 1));
    // A cold start is forked too, once there is something to fork.
    assert_eq!(round(tiers.delay_seconds), 0.258);
    // Of idle instances what is their own; of the template 3 s of runs with what it adds to them, and gaps of 10 s,
    // 100 s and 200 s at the end.
    assert_eq!(round(tiers.idle_gib_seconds), round(50.0 * 0.12 + 3.0 * 0.16 + 310.0 * 1.04));
    let plan = Plan { instance: Window { from: 95.0, until: 105.0 }, template: None };
    let prewarmed = replay::run(&trace, &CHARGES, None, |_| Always(plan));
    // Gone when the second call comes, back for the third, and back in vain at the end.
    assert_eq!((prewarmed.cold, prewarmed.prewarms, prewarmed.stops), (2, 2, 4));
    assert_eq!(round(prewarmed.idle_gib_seconds), 15.0);
}

#[test]
fn greedy_dual_keeps_all_it_can_and_no_more() {
    let trace = synthetic::trace(60, 240, 3);
    let endless = replay::run(&trace, &CHARGES, None, |_| Fixed(1e9));
    let everything = greedy_dual::run(&trace, &CHARGES, f64::INFINITY);
    assert_eq!(everything.cold, endless.cold);
    assert!((everything.idle_gib_seconds / endless.idle_gib_seconds - 1.0).abs() < 1e-9);
    let tight = greedy_dual::run(&trace, &CHARGES, 1.0);
    let brief: f64 = trace.functions.iter().map(|function| function.brief * function.memory).sum();
    assert!(tight.cold > everything.cold);
    assert!(tight.idle_gib_seconds <= trace.horizon + brief);
}

#[test]
fn both_layouts_of_the_azure_traces_are_read() {
    let tables = azure::Tables {
        invocations: "HashOwner,HashApp,HashFunction,Trigger,480,481,482\no,a,f,timer,1,0,1\no,a,g,http,0,,0\n",
        memory: "HashFunction,HashOwner,AverageAllocatedMb_pct50\nf,o,512\n",
        durations: "HashFunction,Average\nf,2000\n",
    };
    let trace = azure::minutes("t", tables).unwrap();
    assert_eq!((trace.functions.len(), trace.horizon), (1, 180.0));
    let function = &trace.functions[0];
    assert_eq!((function.trigger, function.memory, function.invocations), (Trigger::Timer, 0.5, 2));
    // A timer keeps its second, so the gap is two minutes but for its own run.
    assert!(function.gaps().iter().all(|gap| (100.0..120.0).contains(gap)));
    let tables = azure::Tables { invocations: "HashFunction,minute_1\nf,3.0\n", ..azure::Tables::default() };
    assert_eq!(azure::minutes("t", tables).unwrap().invocations(), 3);
    let calls = azure::calls("t", "app,func,end_timestamp,duration\na,f,2.5,0.5\na,f,10.0,1.0\n").unwrap();
    assert_eq!(calls.functions[0].gaps().into_iter().map(round).collect::<Vec<_>>(), [6.5]);
    for (text, expected) in [
        ("HashFunction,minute_1\nf,x\n", "line 2: 'x' is not a number"),
        ("Function\nf\n", "the table has no column HashFunction"),
        ("HashFunction,minute_1\nf,0\n", "the trace holds no calls"),
    ] {
        let tables = azure::Tables { invocations: text, ..azure::Tables::default() };
        assert_eq!(azure::minutes("t", tables).unwrap_err().to_string(), expected);
    }
}

#[test]
fn beats_fixed_time_and_the_hybrid_histogram_on_functions_it_never_saw() {
    let (learned_from, tested_on) = (synthetic::trace(150, 720, 1), synthetic::trace(150, 720, 2));
    let setup = Setup { charges: CHARGES, fork: FORK, prices: vec![10.0, 25.0] };
    let comparison = compare(&tested_on, &learned_from.name, &learned_from.priors(), &setup);
    let ours = comparison.rows.iter().filter(|row| row.family == Family::Templates);
    assert!(ours.clone().any(|row| row.beats_fixed && row.beats_hybrid), "{:#?}", ours.collect::<Vec<_>>());
    let svg = plot::svg(&comparison);
    assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n") && !svg.contains("NaN"));
    assert_eq!(svg.matches("class=\"line\"").count(), 4);
}

#[test]
fn every_shape_of_load_is_met_without_needless_starts_and_stops() {
    for shape in Shape::ALL {
        for (seed, start) in [(1, 5), (2, 50), (3, 250), (4, 250)] {
            let report = load::run(shape, seed, Duration::from_millis(start));
            assert_eq!(report.served, report.requests, "{report:?}");
            assert_eq!(report.starts, report.stops, "{report:?}");
            assert!(report.starts + report.stops <= report.needed * 3 / 2, "{report:?}");
            assert_eq!(report.regretted, 0, "{report:?}");
            // A start's time for the place that does not come, and a start.
            assert!(report.longest_wait <= 2.0 * report.start + 1.0, "{report:?}");
        }
    }
}
