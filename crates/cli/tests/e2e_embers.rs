//! Embers through the real server: one init for many instances, what its newborns must not have in common, and
//! what becomes of an init that must not be shared. Where the kernel cannot keep siblings apart nothing is forked,
//! and these tests say that they were not run.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's panic is its verdict")]

mod fixture;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::thread;

use fixture::{SOON, deploy, host, invoke, not_run, rounds, runtime, status, world, zipped};
use serde_json::{Value, json};
use testkit::{Response, World, wait_until};

/// What is frozen is not seen to end by a signal from outside before it is thawed.
const AWAKE: &[&str] = &["--freeze", "off"];

/// Counts what it has seen, after an init that is worth saving.
const COUNTER: &str = r#"
import os, time
print("init runs", flush=True)
time.sleep(0.3)
COUNT = []
def lambda_handler(event, context):
    COUNT.append(1)
    time.sleep(event.get("sleep", 0))
    return {"pid": os.getpid(), "count": len(COUNT), "stream": context.log_stream_name,
            "type": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]}
"#;

/// Draws from everything that has a state, in its init and in each call.
const RANDOM: &str = r#"
import os, random, secrets, ssl, time, uuid
SOURCES = {
    "random": random.random,
    "system": random.SystemRandom().random,
    "uuid1": lambda: str(uuid.uuid1()),
    "uuid4": lambda: str(uuid.uuid4()),
    "secrets": lambda: secrets.token_hex(16),
    "ssl": lambda: ssl.RAND_bytes(16).hex(),
}
try:
    import numpy
    SOURCES["numpy"] = lambda: float(numpy.random.random())
    GENERATOR = numpy.random.default_rng()
    SOURCES["numpy generator"] = lambda: float(GENERATOR.random())
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    SOURCES["cryptography"] = lambda: X25519PrivateKey.generate().private_bytes_raw().hex()
except ImportError:
    pass
def draw():
    return {name: source() for name, source in SOURCES.items()}
draw()
def lambda_handler(event, context):
    drawn = draw()
    time.sleep(0.2)
    return {"stream": context.log_stream_name, "drawn": drawn}
"#;

/// Waits as a victim, or tries what it can against one.
const SIBLING: &str = r#"
import os, signal, subprocess, time
def attempt(action):
    try:
        action()
        return "done"
    except OSError as error:
        return type(error).__name__
def attack(pid):
    return {
        "signal": attempt(lambda: os.kill(pid, 0)),
        "kill": attempt(lambda: os.kill(pid, signal.SIGKILL)),
    }
def lambda_handler(event, context):
    if event["be"] == "victim":
        open("/tmp/secret", "w").write("mine")
        open("/dev/shm/secret", "w").write("mine")
        time.sleep(event["sleep"])
        return {"pid": os.getpid(), "tmp": sorted(os.listdir("/tmp"))}
    if event["be"] == "own":
        child = subprocess.Popen(["/bin/sleep", "60"])
        found = {"seen": str(child.pid) in os.listdir("/proc"), **attack(child.pid)}
        child.wait()
        return found
    pids = [pid for pid in range(1, 200) if pid != os.getpid()]
    return {
        "secrets": [p for p in ("/tmp/secret", "/dev/shm/secret") if os.path.exists(p)],
        "seen": [name for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()],
        "kill": sorted({found for pid in pids for found in attack(pid).values()}),
    }
"#;

/// A server of its own, unchanged.
const OWN: &str = r#"
import http.server, os, time
time.sleep(0.2)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/slow":
            time.sleep(1)
        body = str(os.getpid()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
"#;

#[test]
fn one_init_makes_many_instances_which_have_nothing_of_each_other() {
    let Some(world) = forking() else { return };
    deploy(&world, "counter", COUNTER, &[AWAKE, &["--max-instances", "50"]].concat());
    let first = called(&world, "counter", "{}");
    assert_eq!((label(&first), &body(&first)["count"]), ("bare", &json!(1)));
    let warm = called(&world, "counter", "{}");
    assert_eq!((label(&warm), &body(&warm)["count"]), ("warm", &json!(2)));
    let answers = at_once(&world, "counter", &json!({"sleep": 1}), 50);
    let mut counts = BTreeMap::from([(body(&first)["stream"].to_string(), vec![1, 2])]);
    for answer in &answers {
        let body = body(answer);
        let seen = counts.entry(body["stream"].to_string()).or_default();
        seen.push(body["count"].as_u64().unwrap());
    }
    for seen in counts.values_mut() {
        seen.sort_unstable();
        let own: Vec<u64> = (1..).take(seen.len()).collect();
        assert_eq!(*seen, own, "an instance sees its own calls only");
    }
    assert!(answers.iter().filter(|answer| is_forked(answer)).count() >= 30, "{counts:?}");
    let template = template(&world, "counter");
    assert!(template["forks"].as_u64() >= Some(30), "{template}");
    let logs = world.run(&["logs", "counter", "--lines", "10000"]).unwrap();
    assert_eq!(logs.matches("init runs").count(), 1);
}

#[test]
fn an_ember_serves_after_its_instances_are_gone_and_its_end_ends_none_of_them() {
    let Some(world) = forking() else { return };
    deploy(&world, "counter", COUNTER, AWAKE);
    let first = called(&world, "counter", "{}");
    end_instances(&world);
    let second = called(&world, "counter", "{}");
    assert!(is_forked(&second) && body(&second)["count"] == 1, "{}", label(&second));
    assert_ne!(body(&first)["stream"], body(&second)["stream"]);
    let (embers, others) = processes(&world);
    assert_eq!((embers.len(), others.is_empty()), (1, false));
    kill(embers[0]);
    let gone = || template(&world, "counter")["state"] == "gone";
    wait_until(SOON, "the ember's end is noticed", gone).unwrap();
    let known = instances(&world);
    let third = body(&called(&world, "counter", "{}"))["stream"].to_string();
    assert!(known.iter().any(|id| third.contains(id.trim_matches('"'))), "{third} {known:?}");
    let left: Vec<u32> = world.programs().into_iter().map(|(pid, _)| pid).collect();
    assert!(others.iter().all(|pid| left.contains(pid)), "{others:?} {left:?}");
    end_all(&world);
    // Where new instances are needed often a spare is made at once, so the label is not always the same.
    assert_eq!(body(&called(&world, "counter", "{}"))["count"], 1);
    assert_eq!(template(&world, "counter")["state"], "alive");
}

#[test]
fn a_thousand_forks_of_one_ember_agree_in_nothing() {
    let Some(world) = forking() else { return };
    let site = site(&["numpy", "numpy.libs", "cryptography", "cffi", "_cffi_backend"]);
    let mut files = vec![("lambda_function.py".to_owned(), RANDOM.as_bytes().to_vec())];
    match &site {
        Some(found) => files.extend(found.iter().cloned()),
        None => not_run("forks with numpy and cryptography", "run scripts/test-setup"),
    }
    let request = json!({
        "FunctionName": "random", "Runtime": system_python(), "Handler": "lambda_function.lambda_handler",
        "Role": "arn:aws:iam::000000000000:role/lambent", "MemorySize": 256, "Timeout": 60,
        "Code": {"ZipFile": stored(&files)}, "Tags": {"lambent:max-instances": "50", "lambent:freeze": "off"},
    });
    let made = world.aws("POST", "/2015-03-31/functions", &request.to_string()).unwrap();
    assert_eq!(made.status, 201, "{}", made.text());
    called(&world, "random", "{}");
    let wanted = u64::try_from(rounds(200, 1000)).unwrap();
    let mut drawn: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut calls = 0;
    while template(&world, "random")["forks"].as_u64() < Some(wanted) {
        end_instances(&world);
        for answer in at_once(&world, "random", &json!({}), 50) {
            calls += 1;
            for (source, value) in body(&answer)["drawn"].as_object().unwrap() {
                let known = drawn.entry(source.clone()).or_default();
                assert!(known.insert(value.to_string()), "{source} gave {value} twice in {calls} calls");
            }
        }
        let template = template(&world, "random");
        assert_eq!(template["state"], "alive", "{template}");
    }
    assert!(drawn.len() == if site.is_some() { 9 } else { 6 }, "{:?}", drawn.keys());
}

#[test]
fn siblings_cannot_see_or_signal_each_other() {
    let Some(world) = forking() else { return };
    deploy(&world, "sibling", SIBLING, AWAKE);
    let own = body(&called(&world, "sibling", r#"{"be": "own"}"#));
    assert_eq!(own, json!({"seen": true, "signal": "done", "kill": "done"}));
    thread::scope(|scope| {
        let victim = scope.spawn(|| called(&world, "sibling", r#"{"be": "victim", "sleep": 3}"#));
        wait_until(SOON, "the victim is at work", || busy(&world, "sibling") == 1).unwrap();
        let attacker = called(&world, "sibling", r#"{"be": "attacker"}"#);
        assert!(is_forked(&attacker), "it is another instance: {}", label(&attacker));
        let found = body(&attacker);
        assert_eq!((&found["secrets"], &found["seen"]), (&json!([]), &json!([])), "{found}");
        let ways = found["kill"].as_array().unwrap();
        assert!(!ways.contains(&json!("done")) && ways.contains(&json!("PermissionError")), "{found}");
        let victim = victim.join().unwrap();
        assert_eq!(victim.status, 200, "{}", victim.text());
        assert!(body(&victim)["tmp"].as_array().unwrap().contains(&json!("secret")));
    });
}

#[test]
fn an_init_that_must_not_be_shared_is_not_and_explain_says_why() {
    let Some(world) = forking() else { return };
    let handler = "def lambda_handler(event, context):\n    return 'well'\n";
    let cases = [
        (
            "sqlite",
            "import sqlite3\ndb = sqlite3.connect('/tmp/a.db')\ndb.execute('create table t (a)')\n",
            "a.db",
        ),
        (
            "connection",
            "import socket\nserver = socket.create_server(('127.0.0.1', 0))\n\
             client = socket.create_connection(server.getsockname())\n",
            "connection",
        ),
        (
            "thread",
            "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n",
            "thread",
        ),
    ];
    for (name, init, word) in cases {
        deploy(&world, name, &format!("{init}{handler}"), AWAKE);
        assert_eq!(label(&called(&world, name, "{}")), "bare");
        assert_eq!(label(&called(&world, name, "{}")), "warm", "the process of the init serves");
        let template = template(&world, name);
        let reasons = template["reasons"].to_string();
        assert_eq!(template["state"], "refused", "{name}: {template}");
        assert!(reasons.contains(word), "{name}: {reasons}");
        let explained = world.run(&["explain", name]).unwrap();
        assert!(explained.contains(word), "{explained}");
        end_instances(&world);
        let again = called(&world, name, "{}");
        assert_eq!((again.status, label(&again)), (200, "bare"), "{name}");
    }
}

#[test]
fn a_tag_and_snap_start_decide_whether_init_is_shared() {
    let Some(world) = forking() else { return };
    let zip = zipped(&[("lambda_function.py", COUNTER)]);
    let function = |name: &str, runtime: &str, more: Value| {
        let mut request = json!({
            "FunctionName": name, "Runtime": runtime, "Handler": "lambda_function.lambda_handler",
            "Role": "arn:aws:iam::000000000000:role/lambent", "Code": {"ZipFile": zip},
        });
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let made = world.aws("POST", "/2015-03-31/functions", &request.to_string()).unwrap();
        assert_eq!(made.status, 201, "{}", made.text());
    };
    function(
        "alone",
        &runtime(&world),
        json!({"Tags": {"lambent:init": "per-instance", "lambent:freeze": "off"}}),
    );
    called(&world, "alone", "{}");
    end_instances(&world);
    assert_eq!(label(&called(&world, "alone", "{}")), "bare");
    assert_eq!(status_of(&world, "alone")["templates"], json!([]));
    let runtimes = status(&world)["runtimes"].clone();
    if !runtimes.as_array().unwrap().contains(&json!("python3.12")) {
        return not_run("SnapStart", "this host has no python3.12");
    }
    let more = json!({
        "SnapStart": {"ApplyOn": "PublishedVersions"}, "Publish": true, "Tags": {"lambent:freeze": "off"},
    });
    function("snap", "python3.12", more);
    assert_eq!(body(&called(&world, "snap", "{}"))["type"], "on-demand", "$LATEST has none");
    let first = called(&world, "snap:1", "{}");
    assert_eq!((label(&first), &body(&first)["type"]), ("bare", &json!("snap-start")));
    end_instances(&world);
    let second = called(&world, "snap:1", "{}");
    assert!(is_forked(&second) && body(&second)["type"] == "snap-start", "{}", second.text());
}

#[test]
fn an_unmodified_server_is_forked_where_it_would_listen() {
    let Some(world) = forking() else { return };
    let folder = world.folder("own", &[("app.py", OWN), ("requirements.txt", "")]).unwrap();
    let folder = folder.to_str().unwrap();
    world.run(&["deploy", folder, "--name", "own", "--server", "own", "--handler", "app.py"]).unwrap();
    let host = host("own");
    let first = world.get(&host, "/").unwrap();
    assert_eq!(first.status, 200, "{}", first.text());
    end_instances(&world);
    let pids: BTreeSet<String> = thread::scope(|scope| {
        let calls: Vec<_> = (0..3).map(|_| scope.spawn(|| world.get(&host, "/slow").unwrap())).collect();
        calls.into_iter().map(|call| call.join().unwrap().text()).collect()
    });
    assert!(!pids.is_empty() && !pids.contains(&first.text()), "{pids:?}");
    let template = template(&world, "own");
    assert_eq!(
        (&template["state"], template["forks"].as_u64() >= Some(2)),
        (&json!("alive"), true),
        "{template}"
    );
}

#[test]
fn an_unmodified_server_whose_init_must_not_be_shared_listens_by_itself() {
    let Some(world) = forking() else { return };
    let thread =
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n";
    let folder =
        world.folder("own", &[("app.py", &format!("{thread}{OWN}")), ("requirements.txt", "")]).unwrap();
    let folder = folder.to_str().unwrap();
    world.run(&["deploy", folder, "--name", "own", "--server", "own", "--handler", "app.py"]).unwrap();
    let (first, second) = (world.get(&host("own"), "/").unwrap(), world.get(&host("own"), "/").unwrap());
    assert_eq!((first.status, first.text()), (200, second.text()), "the process that was held serves");
    let template = template(&world, "own");
    assert_eq!(template["state"], "refused", "{template}");
    assert!(template["reasons"].to_string().contains("thread"), "{template}");
}

/// A world that forks, if this host can.
fn forking() -> Option<World> {
    let world = world().start().unwrap();
    let status = status(&world);
    match status.get("no_forks").and_then(Value::as_str) {
        None => return Some(world),
        Some(reason) => not_run("embers", reason),
    }
    None
}

/// An answer of a call that went well.
fn called(world: &World, name: &str, payload: &str) -> Response {
    let (name, qualifier) = name.split_once(':').unwrap_or((name, "$LATEST"));
    let path = format!("/2015-03-31/functions/{name}/invocations?Qualifier={qualifier}");
    let answer = if qualifier == "$LATEST" {
        invoke(world, name, payload)
    } else {
        world.aws("POST", &path, payload).unwrap()
    };
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("x-amz-function-error"), None, "{}", answer.text());
    answer
}

fn at_once(world: &World, name: &str, payload: &Value, number: usize) -> Vec<Response> {
    let payload = payload.to_string();
    thread::scope(|scope| {
        let calls: Vec<_> = (0..number).map(|_| scope.spawn(|| called(world, name, &payload))).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    })
}

fn label(answer: &Response) -> &str {
    answer.header("x-lambent-start").unwrap()
}

/// Whether its instance was forked from an ember that was there.
fn is_forked(answer: &Response) -> bool {
    ["ember", "spare"].contains(&label(answer))
}

fn body(answer: &Response) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

fn status_of(world: &World, name: &str) -> Value {
    let functions = status(world)["functions"].as_array().unwrap().clone();
    functions.into_iter().find(|function| function["name"] == name).unwrap()
}

/// What the only version of a function that was called is forked from.
fn template(world: &World, name: &str) -> Value {
    status_of(world, name)["templates"][0].clone()
}

fn busy(world: &World, name: &str) -> usize {
    let instances = status_of(world, name)["instances"].as_array().unwrap().clone();
    instances.iter().filter(|instance| instance["state"] == "busy").count()
}

/// Embers and instances by process id. An instance that was forked is its ember's child, or its init's once the
/// ember is gone; an ember that nothing was forked from cannot be told from an instance.
fn processes(world: &World) -> (Vec<u32>, Vec<u32>) {
    let programs: Vec<u32> = world.programs().into_iter().map(|(pid, _)| pid).collect();
    let parents: BTreeSet<u32> = programs.iter().filter_map(|pid| parent(*pid)).collect();
    programs.into_iter().partition(|pid| parents.contains(pid))
}

fn parent(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let _already_gone = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

/// Ends every instance from outside, and no ember. A spare may be made in their place.
fn end_instances(world: &World) {
    let before = instances(world);
    let embers = pids_of_embers(world);
    for (pid, _) in world.programs() {
        if !embers.contains(&pid) {
            kill(pid);
        }
    }
    let gone = wait_until(SOON, "the instances are gone", || instances(world).is_disjoint(&before));
    assert!(gone.is_ok(), "{embers:?} of {:?}\n{:#}", world.programs(), status(world)["functions"]);
}

fn instances(world: &World) -> BTreeSet<String> {
    let status = status(world);
    let functions = status["functions"].as_array().unwrap();
    let instances = functions.iter().flat_map(|function| function["instances"].as_array().unwrap());
    instances.map(|instance| instance["id"].to_string()).collect()
}

fn end_all(world: &World) {
    let pids: Vec<u32> = world.programs().into_iter().map(|(pid, _)| pid).collect();
    pids.iter().for_each(|pid| kill(*pid));
    let gone = || world.programs().iter().all(|(pid, _)| !pids.contains(pid));
    wait_until(SOON, "the programs are gone", gone).unwrap();
}

/// The processes of embers that are alive, as the status says.
fn pids_of_embers(world: &World) -> BTreeSet<u32> {
    let (mut embers, instances) = processes(world);
    let status = status(world);
    let alive = |function: &&Value| {
        function["templates"].as_array().unwrap().iter().any(|template| template["state"] == "alive")
    };
    if embers.is_empty() && status["functions"].as_array().unwrap().iter().any(|one| alive(&one)) {
        // Nothing lives that was forked from it, so it is the only one.
        embers = instances;
    }
    embers.into_iter().collect()
}

/// The runtime that the packages for tests are for.
fn system_python() -> String {
    let version = std::process::Command::new("/usr/bin/python3").arg("--version").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let minor = version.trim().strip_prefix("Python 3.").unwrap().split('.').next().unwrap();
    format!("python3.{minor}")
}

/// Files of installed packages, by their path from the top; `None` where they are not installed.
fn site(packages: &[&str]) -> Option<Vec<(String, Vec<u8>)>> {
    let site = PathBuf::from(std::env::var_os("LAMBENT_TEST_ENV")?).join("site");
    let mut files = Vec::new();
    for package in packages {
        let entries = std::fs::read_dir(&site).ok()?.flatten();
        let found = entries.filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name == *package || name.starts_with(&format!("{package}.")) && name.ends_with(".so")
        });
        let before = files.len();
        for entry in found {
            collect(&site, &entry.path(), &mut files);
        }
        if files.len() == before && *package != "cffi" {
            return None;
        }
    }
    Some(files)
}

fn collect(site: &Path, path: &Path, files: &mut Vec<(String, Vec<u8>)>) {
    let name = path.strip_prefix(site).unwrap().to_string_lossy().into_owned();
    if path.is_dir() {
        if name.ends_with("/tests") || name.ends_with("__pycache__") {
            return;
        }
        for entry in std::fs::read_dir(path).unwrap().flatten() {
            collect(site, &entry.path(), files);
        }
    } else {
        files.push((name, std::fs::read(path).unwrap()));
    }
}

/// A zip that is not compressed, in base64.
fn stored(files: &[(String, Vec<u8>)]) -> String {
    use base64::Engine as _;
    use std::io::Write as _;

    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Stored)
        .unix_permissions(0o755);
    for (name, content) in files {
        writer.start_file(name.as_str(), options).unwrap();
        writer.write_all(content).unwrap();
    }
    base64::prelude::BASE64_STANDARD.encode(writer.finish().unwrap().into_inner())
}
