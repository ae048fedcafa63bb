//! Ending on request: what is in progress is answered, nothing is left.
#![expect(clippy::indexing_slicing, reason = "a test's panic is its verdict")]

mod fixture;

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use fixture::{SLEEPER, SOON, deploy, host, world};
use testkit::{World, burst, wait_until};

#[test]
fn a_request_in_progress_is_answered_and_nothing_is_left() {
    for signal in ["TERM", "INT"] {
        let mut world = world().start().unwrap();
        deploy(&world, "slow", &SLEEPER.replace("0.2", "1"), &[]);
        let gateway = world.ready().gateway;
        let request = thread::spawn(move || burst(gateway, &host("slow"), "/", 1, 1));
        wait_until(SOON, "the request is being handled", || is_busy(&world)).unwrap();
        world.signal(signal).unwrap();
        wait_until(SOON, "nothing is accepted", || TcpStream::connect(gateway).is_err()).unwrap();
        let health = world.admin("/healthz").unwrap();
        assert_eq!((health.status, health.text().as_str()), (503, "stopping\n"));
        let counts = request.join().unwrap();
        assert_eq!(counts.ok(), 1, "SIG{signal}: {counts:?}");
        let status = world.wait().unwrap();
        assert!(status.success(), "SIG{signal}: {status}\n{}", world.said());
        assert!(world.leftovers().is_empty(), "SIG{signal} left:\n{}", world.leftovers());
    }
}

#[test]
fn a_second_signal_hurries() {
    let mut world = world().option("--grace", "60").start().unwrap();
    deploy(&world, "endless", &SLEEPER.replace("0.2", "60"), &["--timeout", "120"]);
    let gateway = world.ready().gateway;
    let request = thread::spawn(move || burst(gateway, &host("endless"), "/", 1, 1));
    wait_until(SOON, "the request is being handled", || is_busy(&world)).unwrap();
    world.signal("TERM").unwrap();
    wait_until(SOON, "nothing is accepted", || TcpStream::connect(gateway).is_err()).unwrap();
    let begun = Instant::now();
    world.signal("TERM").unwrap();
    world.wait().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(20), "it took {:?}", begun.elapsed());
    assert_eq!(request.join().unwrap().ok(), 0);
    assert!(world.leftovers().is_empty(), "left:\n{}", world.leftovers());
}

#[test]
fn what_was_deployed_is_there_after_a_restart() {
    let mut world = world().start().unwrap();
    deploy(&world, "kept", fixture::HELLO, &[]);
    assert_eq!(world.get(&host("kept"), "/").unwrap().text(), "hello");
    world.stop().unwrap();
    world.restart().unwrap();
    assert_eq!(world.get(&host("kept"), "/").unwrap().text(), "hello");
    // Lines are kept beside the answer, not before it.
    let starts = || world.run(&["logs", "kept"]).unwrap().matches("START RequestId").count();
    wait_until(SOON, "both requests in the log", || starts() == 2).unwrap();
}

fn is_busy(world: &World) -> bool {
    let functions = fixture::status(world)["functions"].as_array().cloned().unwrap_or_default();
    let instances = functions.iter().filter_map(|function| function["instances"].as_array());
    instances.flatten().any(|instance| instance["state"] == "busy")
}
