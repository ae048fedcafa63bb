//! SIGKILL at any moment: what was acknowledged is there after a restart, nothing is left on the host,
//! nothing half-made is visible.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's panic is its verdict")]

mod fixture;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fixture::{HELLO, SLEEPER, SOON, deploy, host, rounds, world, zipped};
use testkit::{Client, Load, World, burst, is_alive, wait_until};

/// How long anything may outlive its server.
const TRACES_GONE: Duration = Duration::from_secs(2);

#[test]
fn kill_in_rounds_loses_nothing_and_leaves_nothing() {
    let mut world = world().start().unwrap();
    deploy(&world, "hello", HELLO, &["--max-instances", "4"]);
    deploy(&world, "busy", SLEEPER, &["--max-instances", "4"]);
    let mut acknowledged = BTreeMap::new();
    for round in 0..rounds(6, 30) {
        let load = Load::start(world.ready().gateway, &host("busy"), "/", 6);
        let writer = Writer::start(&world, round);
        wait_until(SOON, "the server is at work", || load.answered() >= 8 && writer.count() >= 2).unwrap();
        // A different moment each round.
        thread::sleep(Duration::from_millis(7 * (round as u64 % 13)));
        end(&mut world, round);
        acknowledged.extend(writer.stop());
        let _failed_of_course = load.stop();
        check_traces(&world, &format!("round {round}"));
        world.restart().unwrap();
        check(&world, round, &acknowledged);
    }
}

/// A supervisor restarts at once, while the old broker is still cleaning up under the same name.
#[test]
fn a_server_restarted_at_once_is_not_disturbed_by_its_predecessor() {
    let mut world = world().start().unwrap();
    deploy(&world, "hello", HELLO, &["--max-instances", "4"]);
    for round in 0..rounds(8, 40) {
        let counts = burst(world.ready().gateway, &host("hello"), "/", 20, 4);
        assert_eq!(counts.failed(), 0, "round {round}: {counts:?}");
        let predecessor = world.ready().broker_pid;
        if round % 2 == 1 {
            world.kill_broker().unwrap();
        }
        world.kill_server().unwrap();
        world.restart().unwrap();
        let counts = burst(world.ready().gateway, &host("hello"), "/", 20, 4);
        assert_eq!(counts.failed(), 0, "round {round}, after the restart: {counts:?}");
        wait_until(TRACES_GONE, "the old broker's end", || !is_alive(predecessor)).unwrap();
    }
    world.stop().unwrap();
    check_traces(&world, "the last server");
}

#[test]
fn the_server_ends_with_its_broker_and_says_so() {
    let mut world = world().start().unwrap();
    deploy(&world, "hello", HELLO, &[]);
    assert_eq!(world.get(&host("hello"), "/").unwrap().status, 200);
    world.kill_broker().unwrap();
    let status = world.wait().unwrap();
    assert_eq!(status.code(), Some(70), "{}", world.said());
    assert!(world.said().contains("broker is gone"), "{}", world.said());
    check_traces(&world, "the broker's death");
}

/// Ends the server, its broker, or both.
fn end(world: &mut World, round: usize) {
    let broker = world.ready().broker_pid;
    match round % 3 {
        0 => world.kill_server().map(drop).unwrap(),
        1 => {
            world.kill_broker().unwrap();
            world.wait().map(drop).unwrap();
        }
        _ => {
            world.kill_broker().unwrap();
            world.kill_server().map(drop).unwrap();
        }
    }
    wait_until(SOON, "the broker's end", || !is_alive(broker)).unwrap();
}

fn check_traces(world: &World, after: &str) {
    let gone = wait_until(TRACES_GONE, "every trace gone", || world.leftovers().is_empty());
    assert!(gone.is_ok(), "{after} left:\n{}", world.leftovers());
}

/// Everything acknowledged is there; everything listed is whole and can be called.
fn check(world: &World, round: usize, acknowledged: &BTreeMap<String, String>) {
    assert_eq!(world.get(&host("hello"), "/").unwrap().text(), "hello", "round {round}");
    for (name, sha) in acknowledged {
        let found = world.aws("GET", &format!("/2015-03-31/functions/{name}/configuration"), "").unwrap();
        assert_eq!(found.status, 200, "round {round}: {name} was acknowledged: {}", found.text());
        let found: serde_json::Value = serde_json::from_slice(&found.body).unwrap();
        assert_eq!(found["CodeSha256"], *sha, "round {round}: {name}");
    }
    let Some(newest) = acknowledged.keys().next_back() else { return };
    let answer = fixture::invoke(world, newest, "{}");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().contains("hello"), "round {round}: {newest}: {}", answer.text());
}

/// Creates functions as fast as they are acknowledged, and remembers which were.
struct Writer {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    thread: JoinHandle<BTreeMap<String, String>>,
}

impl Writer {
    fn start(world: &World, round: usize) -> Self {
        let (ready, runtime) = (world.ready().clone(), fixture::runtime(world));
        let zip = zipped(&[("lambda_function.py", HELLO)]);
        let stop = Arc::new(AtomicBool::new(false));
        let count = Arc::new(AtomicUsize::new(0));
        let thread = thread::spawn({
            let (stop, count) = (Arc::clone(&stop), Arc::clone(&count));
            move || {
                let mut acknowledged = BTreeMap::new();
                let mut client = Client::keeping_alive(ready.listen);
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let name = format!("made-{round:03}-{number:05}");
                    let request = serde_json::json!({
                        "FunctionName": name,
                        "Runtime": runtime,
                        "Role": "arn:aws:iam::000000000000:role/lambent",
                        "Handler": "lambda_function.lambda_handler",
                        "Code": { "ZipFile": zip },
                    });
                    let body = request.to_string();
                    let address = ready.listen.to_string();
                    let path = "/2015-03-31/functions";
                    let answer = client.request("POST", &address, path, &[], body.as_bytes());
                    let Ok(answer) = answer else { break };
                    assert_eq!(answer.status, 201, "{}", answer.text());
                    let made: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
                    acknowledged.insert(name, made["CodeSha256"].as_str().unwrap().to_owned());
                    count.fetch_add(1, Ordering::Relaxed);
                }
                acknowledged
            }
        });
        Self { stop, count, thread }
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn stop(self) -> BTreeMap<String, String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}
