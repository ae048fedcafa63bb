//! Metering through the real server: against what the function's own kernel figures say, against the cgroups
//! read by the test itself, and everywhere the figures are shown.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test's panic is its verdict")]

mod fixture;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use fixture::{HELLO, SOON, deploy, host, invoke, not_run, wait_for_zero, world};
use serde_json::Value;
use testkit::{Response, World, wait_until};

/// Burns the CPU time it is asked for, and says what the kernel says it has used.
const BURNER: &str = "\
import resource, time

def used():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime

def lambda_handler(event, context):
    begun = time.process_time()
    while time.process_time() - begun < event['seconds']:
        pass
    return {'micros': int((time.process_time() - begun) * 1e6), 'all': int(used() * 1e6)}
";

/// Holds some memory for a while.
const HOLDER: &str = "\
import time

def lambda_handler(event, context):
    held = bytearray(event['mib'] << 20)
    held[::4096] = b'x' * len(held[::4096])
    time.sleep(0.1)
    return len(held)
";

fn figure(response: &Response, name: &str) -> Option<u64> {
    response.header(name).map(|value| value.parse().unwrap())
}

/// Whether this host measures; says so by name where it does not.
fn measures(world: &World, test: &str) -> bool {
    deploy(world, "probe", HELLO, &[]);
    let measured = figure(&invoke(world, "probe", "{}"), "x-lambent-cpu-micros").is_some();
    if !measured {
        not_run(test, "this host has no control groups");
    }
    measured
}

fn within(figure: u64, truth: u64, percent: u64) -> bool {
    figure.abs_diff(truth) * 100 <= truth * percent
}

#[test]
fn a_burner_is_metered_within_two_percent() {
    let world = world().start().unwrap();
    if !measures(&world, "metering of a burner") {
        return;
    }
    deploy(&world, "burner", BURNER, &[]);
    invoke(&world, "burner", r#"{"seconds": 0}"#);
    for seconds in ["0.25", "0.4", "0.3"] {
        let response = invoke(&world, "burner", &format!(r#"{{"seconds": {seconds}}}"#));
        let said: Value = serde_json::from_slice(&response.body).unwrap();
        let truth = said["micros"].as_u64().unwrap();
        let metered = figure(&response, "x-lambent-cpu-micros").unwrap();
        assert!(within(metered, truth, 2), "metered {metered} us of {truth}");
        assert!(response.header("x-lambent-estimated").is_none());
        assert_eq!(response.header("x-lambent-start"), Some("warm"));
        assert_eq!(figure(&response, "x-lambent-bytes-in"), Some(17 + seconds.len() as u64 - 4));
        assert_eq!(figure(&response, "x-lambent-bytes-out"), Some(response.body.len() as u64));
    }
}

#[test]
fn the_first_request_of_a_fork_is_metered_as_well() {
    // Its instance is moved into groups of its own while it computes.
    let world = world().start().unwrap();
    if !measures(&world, "metering of first requests") {
        return;
    }
    for name in ["first", "second", "third"] {
        deploy(&world, name, BURNER, &[]);
        let response = invoke(&world, name, r#"{"seconds": 0.3}"#);
        let said: Value = serde_json::from_slice(&response.body).unwrap();
        let (truth, metered) =
            (said["micros"].as_u64().unwrap(), figure(&response, "x-lambent-cpu-micros").unwrap());
        assert!(within(metered, truth, 2), "metered {metered} us of {truth}");
        assert_ne!(response.header("x-lambent-start"), Some("warm"));
        // Nor is it the ember's: what is not the request's is far less than the request.
        let init = cpu(&explained(&world, name), "init");
        assert!(init < 200_000, "{init} us of init");
    }
}

/// The same for a language with threads of its own.
const NODE: &str = "\
export const handler = async (event) => {
  const begun = process.cpuUsage();
  const used = () => { const since = process.cpuUsage(begun); return since.user + since.system; };
  while (used() < event.seconds * 1e6) {}
  return { micros: used() };
};
";

#[test]
fn other_languages_are_metered_alike() {
    let world = world().start().unwrap();
    if !measures(&world, "metering of Node.js") {
        return;
    }
    let runtimes = fixture::status(&world)["runtimes"].to_string();
    if !runtimes.contains("nodejs") {
        not_run("metering of Node.js", "this host has no Node.js");
        return;
    }
    let folder = world.folder("node", &[("index.mjs", NODE)]).unwrap();
    world.run(&["deploy", folder.to_str().unwrap(), "--name", "node"]).unwrap();
    invoke(&world, "node", r#"{"seconds": 0}"#);
    let response = invoke(&world, "node", r#"{"seconds": 0.3}"#);
    let said: Value = serde_json::from_slice(&response.body).unwrap();
    let (truth, metered) =
        (said["micros"].as_u64().unwrap(), figure(&response, "x-lambent-cpu-micros").unwrap());
    assert!(within(metered, truth, 2), "metered {metered} us of {truth}");
}

#[test]
fn memory_is_what_the_instance_held() {
    let world = world().start().unwrap();
    if !measures(&world, "metering of memory") {
        return;
    }
    deploy(&world, "holder", HOLDER, &["--memory", "256"]);
    let small = invoke(&world, "holder", r#"{"mib": 1}"#);
    let large = invoke(&world, "holder", r#"{"mib": 100}"#);
    let (small, large) = (
        figure(&small, "x-lambent-memory-peak-bytes").unwrap(),
        figure(&large, "x-lambent-memory-peak-bytes").unwrap(),
    );
    let more = large - small;
    assert!(more > 80 << 20 && more < 120 << 20, "{small} and {large}");
}

/// The CPU time of a function's sandboxes by their own groups, in microseconds.
fn in_cgroups(world: &World, name: &str) -> u64 {
    let page = world.admin(&format!("/v1/functions/{name}")).unwrap();
    let page: Value = serde_json::from_slice(&page.body).unwrap();
    let mut sandboxes = Vec::new();
    for kind in ["instances", "templates"] {
        let held = page["worker"][kind].as_array().cloned().unwrap_or_default();
        sandboxes.extend(held.iter().filter_map(|one| one["sandbox"].as_str().map(str::to_owned)));
    }
    sandboxes.retain(|sandbox| !sandbox.is_empty());
    let mut found: BTreeMap<String, u64> = BTreeMap::new();
    let mut places = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(place) = places.pop() {
        for entry in fs::read_dir(&place).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            if sandboxes.contains(&name) {
                let cpu = found.entry(name).or_default();
                *cpu = (*cpu).max(cpu_below(&entry.path()));
            }
            places.push(entry.path());
        }
    }
    assert!(!found.is_empty(), "no group of {sandboxes:?}");
    found.values().sum()
}

fn cpu_below(group: &std::path::Path) -> u64 {
    if let Ok(text) = fs::read_to_string(group.join("cpuacct.usage")) {
        return text.trim().parse::<u64>().unwrap() / 1_000;
    }
    if !group.join("cgroup.controllers").exists() {
        return 0;
    }
    let text = fs::read_to_string(group.join("cpu.stat")).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("usage_usec ")?.parse().ok()).unwrap_or(0)
}

fn explained(world: &World, name: &str) -> Value {
    let page = world.admin(&format!("/v1/functions/{name}/explain")).unwrap();
    assert_eq!(page.status, 200, "{}", page.text());
    serde_json::from_slice(&page.body).unwrap()
}

fn cpu(explained: &Value, bucket: &str) -> u64 {
    explained["costs"][bucket]["cpu_micros"].as_u64().unwrap()
}

#[test]
fn the_buckets_are_all_there_is() {
    let world = world().start().unwrap();
    if !measures(&world, "the sum of the buckets") {
        return;
    }
    deploy(&world, "burner", BURNER, &["--idle-seconds", "2"]);
    let mut requests = 0;
    for _ in 0..6 {
        let response = invoke(&world, "burner", r#"{"seconds": 0.25}"#);
        requests += figure(&response, "x-lambent-cpu-micros").unwrap();
    }
    let explained_now = explained(&world, "burner");
    let of_requests = cpu(&explained_now, "requests");
    assert!(
        within(of_requests, requests, 1),
        "the requests' own figures sum to {requests}, the bucket is {of_requests}"
    );
    // The function's own process, by its own figures: nothing of it is in no bucket.
    let last: Value = serde_json::from_slice(&invoke(&world, "burner", r#"{"seconds": 0}"#).body).unwrap();
    let process = last["all"].as_u64().unwrap();
    let explained_then = explained(&world, "burner");
    let seen: u64 = ["requests", "init", "idle"].map(|bucket| cpu(&explained_then, bucket)).iter().sum();
    assert!(seen * 100 >= process * 98, "the process used {process} us, the buckets have {seen}");
    // Its sandboxes' groups, read here: nothing is counted twice, and little is what was done before its program.
    let groups = in_cgroups(&world, "burner");
    let explained_then = explained(&world, "burner");
    let seen: u64 = ["requests", "init", "idle"].map(|bucket| cpu(&explained_then, bucket)).iter().sum();
    assert!(seen * 100 <= groups * 101, "the groups used {groups} us, the buckets have {seen}");
    assert!(seen * 100 >= groups * 96, "the groups used {groups} us, the buckets have {seen}");
    wait_until(SOON, "it is at zero", || explained(&world, "burner")["instances"]["idle"] == 0).unwrap();
    let afterwards = explained(&world, "burner");
    let total: u64 =
        ["requests", "init", "idle", "unattributed"].map(|bucket| cpu(&afterwards, bucket)).iter().sum();
    let unattributed = cpu(&afterwards, "unattributed");
    assert!(unattributed * 100 <= total * 2, "{unattributed} us of {total} belong to nobody");
}

#[test]
fn a_crash_is_metered_too() {
    let world = world().start().unwrap();
    if !measures(&world, "metering of a crash") {
        return;
    }
    let crash = BURNER
        .replace("    return", "    if event.get('crash'):\n        import os; os._exit(7)\n    return");
    deploy(&world, "crash", &crash, &[]);
    // A fork is in groups of its own some milliseconds after it has begun; one that ends sooner has no figure.
    let mut metered = None;
    wait_until(SOON, "a crash with a figure", || {
        invoke(&world, "crash", r#"{"seconds": 0.2}"#);
        let response = invoke(&world, "crash", r#"{"seconds": 0.2, "crash": true}"#);
        assert!(response.text().contains("Runtime.ExitError"), "{}", response.text());
        metered = figure(&response, "x-lambent-cpu-micros");
        metered.is_some()
    })
    .unwrap();
    let metered = metered.unwrap();
    assert!((190_000..300_000).contains(&metered), "{metered} us");
}

#[test]
fn headers_of_a_url_are_opt_in() {
    let world = world().start().unwrap();
    deploy(&world, "quiet", HELLO, &[]);
    let response = world.get(&host("quiet"), "/").unwrap();
    assert_eq!(response.text(), "hello");
    assert!(response.header("x-lambent-start").is_none());
    deploy(&world, "open", HELLO, &["--headers", "on"]);
    let cold = world.get(&host("open"), "/").unwrap();
    let start = cold.header("x-lambent-start").unwrap().to_owned();
    assert!(["bare", "standby", "ember", "spare"].contains(&start.as_str()), "{start}");
    assert!(figure(&cold, "x-lambent-run-micros").unwrap() > 0);
    let warm = world.get(&host("open"), "/").unwrap();
    assert_eq!(warm.header("x-lambent-start"), Some("warm"));
    assert_eq!(figure(&warm, "x-lambent-start-micros"), Some(0));
    assert_eq!(warm.header("x-lambent-request-id"), warm.header("x-amzn-requestid"));
}

#[test]
fn a_function_cannot_say_what_it_cost() {
    let world = world().start().unwrap();
    let liar = HELLO
        .replace("'body'", "'headers': {'x-lambent-start': 'free', 'x-lambent-run-micros': '0'}, 'body'");
    deploy(&world, "liar", &liar, &["--headers", "on"]);
    let response = world.get(&host("liar"), "/").unwrap();
    assert_ne!(response.header("x-lambent-start"), Some("free"));
    assert!(figure(&response, "x-lambent-run-micros").unwrap() > 0);
    // Where they are off the names are the function's own.
    deploy(&world, "free", &liar, &[]);
    assert_eq!(world.get(&host("free"), "/").unwrap().header("x-lambent-start"), Some("free"));
}

#[test]
fn the_report_line_is_awss_with_ours_behind() {
    let world = world().start().unwrap();
    deploy(&world, "hello", HELLO, &[]);
    let cold = report(&world, "hello");
    let warm = report(&world, "hello");
    for (line, fields) in [(&cold, 6), (&warm, 5)] {
        let parts: Vec<&str> = line.trim_end().split('\t').collect();
        let names: Vec<&str> = parts.iter().map(|part| part.split(": ").next().unwrap()).collect();
        let expected = [
            "REPORT RequestId",
            "Duration",
            "Billed Duration",
            "Memory Size",
            "Max Memory Used",
            "Init Duration",
        ];
        assert_eq!(names[..fields], expected[..fields], "{line}");
        assert!(parts[1].ends_with(" ms") && parts[2].ends_with(" ms"), "{line}");
        assert!(parts[3].ends_with(" MB") && parts[4].ends_with(" MB"), "{line}");
        // The first match of each of AWS's names is AWS's own field, whoever looks for it and how.
        for (index, name) in expected[..fields].iter().enumerate() {
            let first = line.find(&format!("{name}: ")).unwrap();
            let own = parts[..index].iter().map(|part| part.len() + 1).sum::<usize>();
            assert_eq!(first, own, "{name} in {line}");
        }
        assert!(names[fields..].contains(&"Start") && names[fields..].contains(&"Queue"), "{line}");
    }
    assert!(warm.contains("\tStart: warm\t"), "{warm}");
}

/// The `REPORT` line of one call, from the log that comes with its answer.
fn report(world: &World, name: &str) -> String {
    let output = world.run(&["invoke", name, "--tail", "--json"]).unwrap();
    let answer: Value = serde_json::from_str(&output).unwrap();
    let tail = answer["log_tail"].as_str().unwrap();
    tail.lines().find(|line| line.starts_with("REPORT")).unwrap().to_owned()
}

/// A server of its own that burns 0.2 s in each of its threads, or says what it has used in all.
const SERVER: &str = "\
import os, resource, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        usage = resource.getrusage(resource.RUSAGE_SELF)
        begun = time.thread_time()
        while self.path == '/burn' and time.thread_time() - begun < 0.2:
            pass
        body = str(int((usage.ru_utime + usage.ru_stime) * 1e6)).encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

ThreadingHTTPServer(('', int(os.environ['PORT'])), Handler).serve_forever()
";

#[test]
fn requests_at_once_share_what_their_instance_used() {
    let world = world().start().unwrap();
    if !measures(&world, "metering of requests at once") {
        return;
    }
    let folder = world.folder("shared", &[("server.py", SERVER)]).unwrap();
    let options = ["--start", "python3 server.py", "--concurrency", "4", "--max-instances", "1"];
    let mut arguments = vec!["deploy", folder.to_str().unwrap(), "--name", "shared"];
    arguments.extend_from_slice(&options);
    world.run(&arguments).unwrap();
    let used = |world: &World| world.get(&host("shared"), "/").unwrap().text().parse::<u64>().unwrap();
    let before = used(&world);
    let answers: Vec<Response> = std::thread::scope(|scope| {
        let calls: Vec<_> =
            (0..4).map(|_| scope.spawn(|| world.get(&host("shared"), "/burn").unwrap())).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let truth = used(&world) - before;
    let traces: Vec<Value> = answers
        .iter()
        .map(|answer| {
            let id = answer.header("x-amzn-requestid").unwrap();
            serde_json::from_slice(&world.admin(&format!("/v1/requests/{id}")).unwrap().body).unwrap()
        })
        .collect();
    let instances: BTreeSet<&str> = traces.iter().map(|trace| trace["instance"].as_str().unwrap()).collect();
    assert_eq!(instances.len(), 1);
    assert!(traces.iter().all(|trace| trace["estimated"] == true), "{traces:#?}");
    let parts: Vec<u64> = traces.iter().map(|trace| trace["cpu_micros"].as_u64().unwrap()).collect();
    let sum: u64 = parts.iter().sum();
    assert!(within(sum, truth, 4), "{parts:?} are {sum} us, the process used {truth}");
    assert!(parts.iter().all(|part| *part > 20_000), "{parts:?}");
}

#[test]
fn handlers_at_once_are_exact() {
    // A handler takes one request at a time: its figures are exact however many instances there are.
    let world = world().start().unwrap();
    if !measures(&world, "metering under load") {
        return;
    }
    deploy(&world, "burner", BURNER, &["--max-instances", "3"]);
    let answers: Vec<Response> = std::thread::scope(|scope| {
        let calls: Vec<_> =
            (0..6).map(|_| scope.spawn(|| invoke(&world, "burner", r#"{"seconds": 0.3}"#))).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    for response in &answers {
        let said: Value = serde_json::from_slice(&response.body).unwrap();
        let (truth, metered) =
            (said["micros"].as_u64().unwrap(), figure(response, "x-lambent-cpu-micros").unwrap());
        assert!(within(metered, truth, 4), "metered {metered} us of {truth}");
        assert!(response.header("x-lambent-estimated").is_none());
    }
    wait_for_zero_soon(&world);
}

fn wait_for_zero_soon(world: &World) {
    for name in ["burner", "probe"] {
        world.run(&["delete", name, "--yes"]).unwrap();
    }
    wait_for_zero(world);
}
