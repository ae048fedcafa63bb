//! Many functions that never stop computing: the control plane answers all the same.
//!
//! The short form asserts that it answers; the long one (`make soak`) also measures how fast, with a hundred functions.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's panic is its verdict")]

mod fixture;

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use fixture::{SOON, create, is_soak, not_run, rounds, status, world, zipped};
use testkit::{Client, World, wait_until};

const HOG: &str = "\
def lambda_handler(event, context):
    while True:
        pass
";

/// At most so long for 99 of 100 answers, on a machine whose processors are all taken.
const SLOWEST: Duration = Duration::from_millis(100);

#[test]
fn the_control_plane_answers_beside_functions_that_never_stop() {
    let world = world().start().unwrap();
    let functions = rounds(20, 100);
    keep_busy(&world, functions);
    let begin = Instant::now();
    let wanted = Duration::from_secs(if is_soak() { 30 } else { 3 });
    let mut times: Vec<(&str, Vec<Duration>)> = Vec::new();
    while begin.elapsed() < wanted {
        for (name, ask) in QUESTIONS {
            let begin = Instant::now();
            let code = ask(&world);
            let took = begin.elapsed();
            assert_eq!(code, 200, "{name}");
            match times.iter_mut().find(|(known, _)| *known == name) {
                Some((_, times)) => times.push(took),
                None => times.push((name, vec![took])),
            }
        }
        thread::sleep(Duration::from_millis(5));
    }
    assert!(running(&world) >= functions / 2, "they were busy all the time");
    for (name, times) in &mut times {
        times.sort_unstable();
        let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
        let [median, p99] = [at(50), at(99)];
        let line = format!("{name}: {} answers beside {functions} hogs", times.len());
        // To the terminal itself: what a test that passes prints is not shown.
        let _unread = writeln!(std::io::stderr(), "{line}: median {median:?}, p99 {p99:?}");
        assert!(!is_soak() || p99 <= SLOWEST, "{name}: p99 {p99:?}");
    }
    if !world.has_namespaces() {
        not_run("control groups' weights", "this host refuses namespaces");
    }
}

type Question = (&'static str, fn(&World) -> u16);

const QUESTIONS: [Question; 4] = [
    ("admin health", |world| world.admin("/healthz").unwrap().status),
    ("admin status", |world| world.admin("/v1/status").unwrap().status),
    ("API get", |world| world.aws("GET", "/2015-03-31/functions/hog-0", "").unwrap().status),
    ("API list", |world| world.aws("GET", "/2015-03-31/functions", "").unwrap().status),
];

/// Has this many functions compute at the same time.
fn keep_busy(world: &World, functions: usize) {
    let zip = zipped(&[("lambda_function.py", HOG)]);
    for number in 0..functions {
        let name = format!("hog-{number}");
        let created = create(world, &name, &zip, "lambda_function.lambda_handler");
        assert_eq!(created.status, 201, "{}", created.text());
        let path = format!("/2015-03-31/functions/{name}/configuration");
        let changed = world.aws("PUT", &path, r#"{"Timeout": 600}"#).unwrap();
        assert_eq!(changed.status, 200, "{}", changed.text());
    }
    let api = world.ready().listen;
    for number in 0..functions {
        // Nobody waits for the answer: it never comes.
        thread::spawn(move || {
            let path = format!("/2015-03-31/functions/hog-{number}/invocations");
            let _never = Client::new(api).request("POST", &api.to_string(), &path, &[], b"{}");
        });
    }
    let all = || running(world) == functions;
    let waited = wait_until(SOON * 10, "all functions compute", all);
    assert!(waited.is_ok(), "{} of {functions} compute: {}", running(world), status(world));
}

/// Instances that have a request.
fn running(world: &World) -> usize {
    let status = status(world);
    let functions = status["functions"].as_array().cloned().unwrap_or_default();
    let instances =
        functions.iter().flat_map(|function| function["instances"].as_array().cloned().unwrap_or_default());
    instances.filter(|instance| instance["state"] == "busy").count()
}
