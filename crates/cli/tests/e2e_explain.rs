//! `lambent trace` and `lambent explain` through the real server and the real command line.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test's panic is its verdict")]

mod fixture;

use std::thread;

use fixture::{HELLO, SLEEPER, SOON, deploy, host, invoke, world};
use serde_json::Value;
use testkit::{World, burst, wait_until};

/// Cannot be imported.
const BROKEN: &str = "import nowhere_to_be_found\n\ndef lambda_handler(event, context):\n    pass\n";

fn json(world: &World, arguments: &[&str]) -> Value {
    let mut all = arguments.to_vec();
    all.push("--json");
    serde_json::from_str(&world.run(&all).unwrap()).unwrap()
}

fn trace(world: &World, id: &str) -> Value {
    json(world, &["trace", id])
}

fn explain(world: &World, name: &str) -> Value {
    json(world, &["explain", name])
}

/// Its stretches by name, once they are checked to be the whole.
fn stretches(trace: &Value) -> Vec<(String, u64)> {
    let spans: Vec<(String, u64)> = trace["spans"]
        .as_array()
        .unwrap()
        .iter()
        .map(|span| (span["name"].as_str().unwrap().to_owned(), span["micros"].as_u64().unwrap()))
        .collect();
    let sum: u64 = spans.iter().map(|(_, micros)| micros).sum();
    let wall = trace["wall_micros"].as_u64().unwrap();
    // Each stretch is cut off to a whole microsecond.
    assert!(sum <= wall && wall - sum <= spans.len() as u64, "{sum} of {wall} us: {trace:#}");
    spans
}

fn micros(spans: &[(String, u64)], name: &str) -> u64 {
    spans.iter().filter(|(known, _)| known == name).map(|(_, micros)| micros).sum()
}

#[test]
fn a_timeline_is_the_whole_of_a_request() {
    let world = world().start().unwrap();
    deploy(&world, "sleeper", SLEEPER, &[]);
    let cold = invoke(&world, "sleeper", "{}");
    let warm = invoke(&world, "sleeper", "{}");
    let cold = trace(&world, cold.header("x-amzn-requestid").unwrap());
    let spans = stretches(&cold);
    assert_eq!((cold["function"].as_str(), cold["ending"].as_str()), (Some("sleeper"), Some("ok")));
    assert!(cold["start"] != "warm" && !cold["why"].as_str().unwrap().is_empty(), "{cold:#}");
    assert!(micros(&spans, "run") >= 200_000, "{spans:?}");
    assert!(micros(&spans, "init") > 0, "the first of a version runs its init: {spans:?}");
    let warm = trace(&world, warm.header("x-amzn-requestid").unwrap());
    let spans = stretches(&warm);
    assert_eq!(warm["start"], "warm");
    let names: Vec<&str> = spans.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["queue", "run", "after"]);
    assert_eq!(warm["bytes_in"], 2);

    // What a person sees has the same stretches, each with its bar.
    let shown = world.run(&["trace", warm["request_id"].as_str().unwrap()]).unwrap();
    assert!(shown.contains("sleeper $LATEST, instance ") && shown.contains("start     warm"), "{shown}");
    let run = shown.lines().find(|line| line.starts_with("  run ")).unwrap();
    assert!(run.matches('=').count() >= 38, "{shown}");
}

#[test]
fn a_request_that_waits_says_so() {
    let world = world().start().unwrap();
    deploy(&world, "one", SLEEPER, &["--max-instances", "1"]);
    invoke(&world, "one", "{}");
    let ids: Vec<String> = thread::scope(|scope| {
        let calls: Vec<_> = (0..3).map(|_| scope.spawn(|| invoke(&world, "one", "{}"))).collect();
        let answers = calls.into_iter().map(|call| call.join().unwrap());
        answers.map(|answer| answer.header("x-amzn-requestid").unwrap().to_owned()).collect()
    });
    let mut waits: Vec<u64> = ids.iter().map(|id| micros(&stretches(&trace(&world, id)), "queue")).collect();
    waits.sort_unstable();
    assert!(waits[1] >= 150_000 && waits[2] >= 350_000, "{waits:?}");
}

#[test]
fn requests_that_never_ran_are_known_and_others_are_not() {
    let world = world().start().unwrap();
    deploy(&world, "broken", BROKEN, &[]);
    let failed = invoke(&world, "broken", "{}");
    let failed = trace(&world, failed.header("x-amzn-requestid").unwrap());
    assert_eq!((failed["ending"].as_str(), failed["instance"].as_str()), (Some("start_failed"), Some("")));
    assert!(failed["start"].is_null());
    let names: Vec<String> = stretches(&failed).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["queue"]);

    let unknown = "0b6a2c1e-3f69-4a6e-9c5e-0d6d1b0f7a11";
    let output = world.lambent(&["trace", unknown]).unwrap();
    assert!(!output.status.success());
    assert!(output.stderr.contains(&format!("knows nothing of request {unknown}")), "{}", output.stderr);
    assert!(output.stderr.contains("10,000"), "how long it remembers is in the hint: {}", output.stderr);
    assert_eq!(world.admin(&format!("/v1/requests/{unknown}")).unwrap().status, 404);
    let nonsense = world.lambent(&["trace", "../status"]).unwrap();
    assert!(nonsense.stderr.contains("not a request's id"), "{}", nonsense.stderr);
    assert_eq!(world.admin("/v1/requests/nonsense").unwrap().status, 400);
}

#[test]
fn reasons_change_with_the_load() {
    let world = world().start().unwrap();
    deploy(
        &world,
        "sleeper",
        SLEEPER,
        &["--idle-seconds", "2", "--max-instances", "4", "--init", "per-instance"],
    );
    let never = explain(&world, "sleeper");
    assert!(never["why"][0].as_str().unwrap().contains("not been called"), "{never:#}");

    let gateway = world.ready().gateway;
    let load = thread::spawn(move || burst(gateway, &host("sleeper"), "/", 40, 8));
    let mut during = Value::Null;
    wait_until(SOON, "it is at its limit", || {
        during = explain(&world, "sleeper");
        during["instances"]["busy"] == 4
    })
    .unwrap();
    assert_eq!(during["instances"]["limit"], 4);
    let busy = during["why"][0].as_str().unwrap().to_owned();
    assert!(busy.contains("busy"), "{busy}");
    assert_eq!(load.join().unwrap().failed(), 0);

    let quiet = explain(&world, "sleeper");
    assert_ne!(quiet["why"][0], during["why"][0]);
    let windows = quiet["scaling"]["windows"]["source"].as_str().unwrap();
    assert!(windows.contains("lambent:idle-seconds"), "{windows}");

    let mut zero = Value::Null;
    let gone = wait_until(SOON, "it is at zero", || {
        zero = explain(&world, "sleeper");
        ["starting", "idle", "busy", "retiring"].iter().all(|state| zero["instances"][state] == 0)
    });
    assert!(gone.is_ok(), "{zero:#}");
    assert!(zero["why"][0].as_str().unwrap().contains("idle"), "{:#}", zero["why"]);
    let history = zero["history"].as_array().unwrap();
    let of = |what: &str| history.iter().filter(|one| one["what"] == what).count();
    assert_eq!((of("started"), of("stopped")), (4, 4), "{history:#?}");
    assert!(history.iter().all(|one| !one["why"].as_str().unwrap().is_empty()), "{history:#?}");
    assert!(history.iter().filter(|one| one["what"] == "started").all(|one| one["start"].is_string()));

    let shown = world.run(&["explain", "sleeper"]).unwrap();
    for label in ["instances", "windows", "init", "lately"] {
        assert!(shown.lines().any(|line| line.starts_with(label)), "{label} in:\n{shown}");
    }
}

#[test]
fn init_is_explained_and_failures_are_told() {
    let world = world().start().unwrap();
    deploy(&world, "alone", HELLO, &["--init", "per-instance"]);
    invoke(&world, "alone", "{}");
    let alone = trace_of_first(&world, "alone");
    assert_eq!(alone["start"], "bare");
    assert!(alone["how"].as_str().unwrap().contains("per-instance"), "{alone:#}");

    deploy(&world, "broken", BROKEN, &[]);
    invoke(&world, "broken", "{}");
    let broken = explain(&world, "broken");
    assert!(
        broken["last_failure"]["message"].as_str().unwrap().contains("nowhere_to_be_found"),
        "{broken:#}"
    );
    assert_eq!(broken["history"][0]["what"], "failed");
    assert_eq!(broken["why"][0], "no instances: the last start failed");
    let mut paused = Value::Null;
    wait_until(SOON, "its starts pause", || {
        invoke(&world, "broken", "{}");
        paused = explain(&world, "broken");
        paused["backing_off"].as_array().is_some_and(|paused| !paused.is_empty())
    })
    .unwrap();
    let shown = world.run(&["explain", "broken"]).unwrap();
    assert!(shown.contains("last failure"), "{shown}");

    let unknown = world.lambent(&["explain", "nobody"]).unwrap();
    assert!(!unknown.status.success() && unknown.stderr.contains("hint"), "{}", unknown.stderr);
    assert_eq!(world.admin("/v1/functions/nobody/explain").unwrap().status, 404);
}

/// The oldest happening that is remembered.
fn trace_of_first(world: &World, name: &str) -> Value {
    explain(world, name)["history"].as_array().unwrap().last().unwrap().clone()
}
