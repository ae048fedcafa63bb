//! The engine with a thousand of something: a thousand first calls at once, a thousand functions at rest.
//!
//! What is counted is asserted always. How long it took is said always and asserted only in the long run
//! (`LAMBENT_SOAK`), because a time on a machine that others use proves nothing.

mod fixture;

use std::fs;
use std::io::Write as _;
use std::time::{Duration, Instant};

use fixture::{HELLO, deploy, host, is_soak, not_run, wait_for_zero, waiting, world, zipped};
use testkit::burst;

const CALLS: usize = 1000;
const CAP: usize = 100;
/// A thousand calls of 100 ms on a hundred instances take one second at best.
const LAST_ANSWER: Duration = Duration::from_secs(2);
const FUNCTIONS: usize = 1000;
const RESIDENT_KIB: u64 = 60 * 1024;

/// A handler that waits as for a database.
const WAITS: &str = "\
import time

def lambda_handler(event, context):
    time.sleep(0.1)
    return {'statusCode': 200, 'body': 'waited'}
";

#[test]
fn a_thousand_first_calls_at_once_are_all_answered_by_a_hundred_instances() {
    let world = world().start().unwrap();
    deploy(&world, "waits", WAITS, &["--max-instances", &CAP.to_string(), "--idle-seconds", "5"]);
    wait_for_zero(&world);
    let watch = world.watch_instances();
    let began = Instant::now();
    let counts = burst(world.ready().gateway, &host("waits"), "/", CALLS as u64, CALLS);
    let took = began.elapsed();
    let seen = watch.stop();
    say(&format!(
        "{CALLS} first calls, {CAP} instances: the last answer after {took:?}, {} at once",
        seen.most
    ));
    assert_eq!((counts.total(), counts.failed()), (CALLS as u64, 0), "{counts:?}");
    if world.has_namespaces() {
        // What waits for starts is no instance: an ember, spares, an interpreter of nobody's.
        let others = waiting(&world).len().max(2);
        assert!(seen.most <= CAP + others, "{} sandboxes at once beside {others} that wait", seen.most);
    } else {
        not_run("instances counted from cgroups", "this host refuses namespaces");
    }
    if is_soak() {
        assert!(took <= LAST_ANSWER, "the last answer came after {took:?}");
    }
}

#[test]
fn a_thousand_functions_at_rest_have_no_process_and_little_memory() {
    let world = world().start().unwrap();
    let zip = zipped(&[("lambda_function.py", HELLO)]);
    for number in 0..FUNCTIONS {
        let created =
            fixture::create(&world, &format!("rests-{number}"), &zip, "lambda_function.lambda_handler");
        assert_eq!(created.status, 201, "{}", created.text());
    }
    wait_for_zero(&world);
    let status = fs::read_to_string(format!("/proc/{}/status", world.ready().pid)).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let resident: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    say(&format!("{FUNCTIONS} functions at rest: {resident} KiB, {} processes", world.programs().len()));
    // An interpreter that no function has been given may wait for the next start.
    let others = waiting(&world);
    assert!(others.iter().all(|what| *what == "standby"), "{others:?}");
    assert_eq!(world.programs().len(), others.len());
    assert!(resident <= RESIDENT_KIB, "the server holds {resident} KiB");
}

/// Says a figure to the terminal itself: what a test that passes prints is not shown.
fn say(text: &str) {
    let _unread = writeln!(std::io::stderr(), "measured: {text}");
}
