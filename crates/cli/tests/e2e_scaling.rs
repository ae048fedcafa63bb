//! Scale through the real server: caps, queues and zero. Instances are counted from cgroups.
#![expect(clippy::indexing_slicing, reason = "a test's panic is its verdict")]

mod fixture;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use fixture::{HELLO, SLEEPER, SOON, deploy, host, not_run, rounds, wait_for_zero, world};
use testkit::{burst, wait_until};

#[test]
fn a_burst_reaches_its_cap_and_never_passes_it() {
    let world = world().start().unwrap();
    deploy(&world, "sleeper", SLEEPER, &["--max-instances", "20", "--idle-seconds", "2"]);
    let watch = world.watch_instances();
    let counts = burst(world.ready().gateway, &host("sleeper"), "/", 500, 50);
    let seen = watch.stop();
    assert!(!world.programs().is_empty(), "instances are seen from outside while they idle");
    assert_eq!((counts.total(), counts.failed()), (500, 0), "{counts:?}");
    if world.has_namespaces() {
        // Sandboxes that wait for starts are none of the function's instances: its ember, and the interpreter that
        // its deployment let wait.
        let others = 2;
        assert!(
            (18..=20 + others).contains(&seen.distinct.len()),
            "{} distinct instances: {seen:?}",
            seen.distinct.len()
        );
        assert!(seen.most <= 20 + others, "{} sandboxes at once", seen.most);
        let status = fixture::status(&world);
        let cap = status["functions"][0]["instances"].as_array().unwrap().len();
        assert!((18..=20).contains(&cap), "{cap} instances");
    } else {
        not_run("instances counted from cgroups", "this host refuses namespaces");
    }
    wait_for_zero(&world);
}

#[test]
fn bursts_and_zero_take_turns_without_a_failed_request() {
    let world = world().start().unwrap();
    deploy(&world, "hello", HELLO, &["--max-instances", "10", "--idle-seconds", "1"]);
    for round in 0..rounds(5, 100) {
        let counts = burst(world.ready().gateway, &host("hello"), "/", 40, 10);
        assert_eq!((counts.total(), counts.failed()), (40, 0), "round {round}: {counts:?}");
        wait_for_zero(&world);
    }
}

#[test]
fn a_request_that_waits_too_long_is_refused_in_aws_terms() {
    let world = world().start().unwrap();
    let slow = SLEEPER.replace("0.2", "2.5");
    deploy(&world, "slow", &slow, &["--max-instances", "1", "--queue-seconds", "1"]);
    let gateway = world.ready().gateway;
    let first = thread::spawn(move || burst(gateway, &host("slow"), "/", 1, 1));
    wait_until(SOON, "the first request's instance is busy", || is_busy(&world, "slow")).unwrap();
    let refused = world.get(&host("slow"), "/").unwrap();
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert_eq!(refused.header("x-amzn-errortype"), Some("TooManyRequestsException"));
    assert!(refused.header("retry-after").is_some());
    assert!(refused.text().contains("Rate Exceeded.") && refused.text().contains("lambent:max-instances"));
    assert_eq!(first.join().unwrap().failed(), 0);
}

#[test]
fn reserved_concurrency_refuses_at_once() {
    let world = world().start().unwrap();
    deploy(&world, "slow", &SLEEPER.replace("0.2", "2.5"), &[]);
    let path = "/2017-10-31/functions/slow/concurrency";
    let put = world.aws("PUT", path, r#"{"ReservedConcurrentExecutions":1}"#).unwrap();
    assert_eq!(put.status, 200, "{}", put.text());
    let gateway = world.ready().gateway;
    let first = thread::spawn(move || burst(gateway, &host("slow"), "/", 1, 1));
    wait_until(SOON, "the first request's instance is busy", || is_busy(&world, "slow")).unwrap();
    let begun = Instant::now();
    let refused = world.get(&host("slow"), "/").unwrap();
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert!(
        refused.text().contains("ReservedFunctionConcurrentInvocationLimitExceeded"),
        "{}",
        refused.text()
    );
    assert!(begun.elapsed() < Duration::from_secs(1), "refused after {:?}", begun.elapsed());
    assert_eq!(first.join().unwrap().failed(), 0);
}

#[test]
fn one_functions_queue_does_not_starve_another() {
    let world = world().start().unwrap();
    deploy(&world, "crowded", &SLEEPER.replace("0.2", "0.5"), &["--max-instances", "1"]);
    deploy(&world, "quiet", HELLO, &[]);
    let gateway = world.ready().gateway;
    let crowd = thread::spawn(move || burst(gateway, &host("crowded"), "/", 20, 20));
    wait_until(SOON, "a queue", || queued(&world, "crowded") >= 10).unwrap();
    assert_eq!(world.get(&host("quiet"), "/").unwrap().text(), "hello");
    assert!(queued(&world, "crowded") > 0, "the quiet function was answered only after the crowd");
    assert_eq!(crowd.join().unwrap().failed(), 0);
}

#[test]
fn a_client_that_leaves_leaves_the_queue() {
    let world = world().start().unwrap();
    deploy(&world, "slow", &SLEEPER.replace("0.2", "3"), &["--max-instances", "1"]);
    let request = "GET / HTTP/1.1\r\nHost: slow.localhost\r\n\r\n";
    let clients: Vec<TcpStream> = (0..5)
        .map(|_| {
            let mut stream = TcpStream::connect(world.ready().gateway).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            stream
        })
        .collect();
    wait_until(SOON, "four wait for the one instance", || queued(&world, "slow") == 4).unwrap();
    drop(clients);
    wait_until(Duration::from_secs(2), "nobody waits any more", || queued(&world, "slow") == 0).unwrap();
}

#[test]
fn a_slow_upload_holds_no_instance() {
    let world = world().start().unwrap();
    deploy(&world, "hello", HELLO, &["--max-instances", "1", "--queue-seconds", "2"]);
    let mut slow = TcpStream::connect(world.ready().gateway).unwrap();
    let head =
        "POST / HTTP/1.1\r\nHost: hello.localhost\r\nContent-Length: 10\r\nConnection: close\r\n\r\nhalf ";
    slow.write_all(head.as_bytes()).unwrap();
    for _ in 0..5 {
        assert_eq!(world.get(&host("hello"), "/").unwrap().status, 200);
    }
    slow.write_all(b"whole").unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

fn function(world: &testkit::World, name: &str) -> serde_json::Value {
    let functions = fixture::status(world)["functions"].as_array().cloned().unwrap_or_default();
    functions.into_iter().find(|function| function["name"] == name).unwrap_or_default()
}

fn queued(world: &testkit::World, name: &str) -> u64 {
    function(world, name)["queued"].as_u64().unwrap_or(0)
}

fn is_busy(world: &testkit::World, name: &str) -> bool {
    let instances = function(world, name)["instances"].as_array().cloned().unwrap_or_default();
    instances.iter().any(|instance| instance["state"] == "busy")
}
