//! How a program starts, what it is told, and how its end is reported.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a test's panic is its verdict"
)]

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use sandbox::handle::{Channels, StartError, Status};
use sandbox::spec::{Layers, Mount};

use crate::common::{self, Case, World};

pub const CASES: &[Case] = &[
    ("a program runs and its exit code is reported", exit_code),
    ("a signal that ends a program is reported", signal),
    ("the environment, directory and host name are those of the spec", surroundings),
    ("a program inherits its three or four descriptors and no other", descriptors),
    ("a program that is not there is a named failure", no_program),
    ("a mount source that is not there is a named failure", no_source),
    ("a target that leads out of the root stays inside", target_stays_inside),
    ("an invalid spec is refused before anything is made", invalid_spec),
    ("stop sends SIGTERM, and SIGKILL after the grace", stop),
    ("dropping a sandbox kills it", dropping),
    ("orphans are reaped and end with the program", orphans),
    ("a frozen sandbox stands still until it is thawed", freeze),
    ("a frozen sandbox can be stopped", stop_frozen),
    ("a start that nobody waits for leaves nothing", abandoned),
    ("the server may give its privileges up while sandboxes start", without_privileges),
    ("Node and the JVM run behind every layer", other_runtimes),
    ("50 starts in parallel", parallel),
    ("what a start costs, 50 ms apart", latency),
];

fn exit_code(world: &World) {
    let outcome = world.python("import os,sys; print(os.getpid(), os.getuid()); sys.exit(7)", Layers::ALL);
    assert_eq!(outcome.exit.status, Status::Exited(7), "{outcome:?}");
    assert_eq!(outcome.output, "3 1000\n");
    assert!(outcome.exit.usage.cpu_micros > 1000, "{outcome:?}");
}

fn signal(world: &World) {
    let outcome = world.python("import os; os.kill(os.getpid(), 11)", Layers::ALL);
    assert_eq!(outcome.exit.status, Status::Signaled(11));
    assert!(!outcome.exit.out_of_memory);
}

fn surroundings(world: &World) {
    let script = "import os,socket; print(sorted(os.environ), os.getcwd(), socket.gethostname(), os.getpgrp()==os.getpid())";
    let mut spec = common::python(script, Layers::ALL);
    spec.hostname = "one-of-many".to_owned();
    spec.process.directory = "/tmp".into();
    spec.process.environment =
        vec![("A".to_owned(), "b=c".to_owned()), ("LC_CTYPE".to_owned(), "C.UTF-8".to_owned())];
    assert_eq!(world.run(spec).output, "['A', 'LC_CTYPE'] /tmp one-of-many True\n");
}

fn descriptors(world: &World) {
    let script = "
import os
found = []
for fd in range(1024):
    try: found.append((fd, os.readlink(f'/proc/self/fd/{fd}').split(':')[0]))
    except OSError: pass
print(found)";
    let without = world.python(script, Layers::ALL).output;
    assert_eq!(without, "[(0, '/dev/null'), (1, 'pipe'), (2, 'pipe')]\n");
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let spec = common::python("import os; os.write(3, b'frames')", Layers::ALL);
    let (_read, write) = std::io::pipe().unwrap();
    let channels = Channels { output: write.into(), frames: Some(OwnedFd::from(theirs)) };
    let sandbox = world.runtime.block_on(world.handle.start(spec, channels)).unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut &ours, &mut text).unwrap();
    assert_eq!(text, "frames");
    world.runtime.block_on(sandbox.exited());
}

fn no_program(world: &World) {
    let failed = failure(world, common::spec(&["/usr/bin/no-such-program"], Layers::ALL));
    assert_eq!(failed, "execute /usr/bin/no-such-program: No such file or directory (os error 2)");
}

fn no_source(world: &World) {
    let mut spec = common::python("", Layers::ALL);
    spec.mounts.push(Mount::ReadOnly { source: "/no/such/source".into(), target: "/var/task".into() });
    assert_eq!(failure(world, spec), "open /no/such/source: No such file or directory (os error 2)");
}

fn target_stays_inside(world: &World) {
    let code = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), code.path().join("away")).unwrap();
    let mut spec = common::python("", Layers::ALL);
    spec.mounts.push(Mount::ReadOnly { source: code.path().into(), target: "/var/task".into() });
    spec.mounts.push(Mount::File { text: "x".to_owned(), target: "/var/task/away/file".into() });
    let _ = failure_or_end(world, spec);
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

fn invalid_spec(world: &World) {
    let mut spec = common::python("", Layers::ALL);
    spec.mounts.push(Mount::ReadOnly { source: "/usr/../etc".into(), target: "/etc2".into() });
    assert_eq!(failure(world, spec), "check the spec: mount source /usr/../etc: must not contain `..`");
}

fn stop(world: &World) {
    let polite =
        "import signal,sys,time; signal.signal(15, lambda *_: sys.exit(3)); print('up'); time.sleep(60)";
    let (sandbox, output) = started(world, polite);
    let exit = world.runtime.block_on(sandbox.stop(Duration::from_secs(20)));
    assert_eq!(exit.status, Status::Exited(3));
    drop(output);
    let stubborn = "import signal,time; signal.signal(15, signal.SIG_IGN); print('up'); time.sleep(60)";
    let (sandbox, _output) = started(world, stubborn);
    let exit = world.runtime.block_on(sandbox.stop(Duration::from_millis(200)));
    assert_eq!(exit.status, Status::Signaled(9));
}

fn dropping(world: &World) {
    let (sandbox, output) = started(world, "import time; print('up'); time.sleep(60)");
    let begin = Instant::now();
    drop(sandbox);
    output.join().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(10));
}

fn orphans(world: &World) {
    let script = "
import os, time
if os.fork() == 0:
    if os.fork() == 0: time.sleep(600)
    os._exit(0)
os.wait(); print('done')";
    let outcome = world.python(script, Layers::ALL);
    assert_eq!(outcome.exit.status, Status::Exited(0), "{outcome:?}");
}

fn freeze(world: &World) {
    let script = "
import time
count = 0
while True:
    count += 1; print(count); time.sleep(0.001)";
    let (read, write) = std::io::pipe().unwrap();
    let channels = Channels { output: write.into(), frames: None };
    let spec = common::python(script, Layers::ALL);
    let sandbox = world.runtime.block_on(world.handle.start(spec, channels)).unwrap();
    rustix::io::ioctl_fionbio(&read, true).unwrap();
    let drained = || {
        let mut buffer = [0; 65536];
        let mut total = 0;
        while let Ok(count) = rustix::io::read(&read, &mut buffer) {
            total += count;
        }
        total
    };
    assert!(common::eventually(Duration::from_secs(10), || drained() > 0), "it runs");
    sandbox.freeze();
    assert!(common::eventually(Duration::from_secs(10), || {
        std::thread::sleep(Duration::from_millis(50));
        drained() == 0
    }));
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(drained(), 0, "it stands still");
    sandbox.thaw();
    assert!(common::eventually(Duration::from_secs(10), || drained() > 0), "it runs again");
}

fn stop_frozen(world: &World) {
    let (sandbox, _output) = started(world, "import time; print('up'); time.sleep(60)");
    sandbox.freeze();
    let exit = world.runtime.block_on(sandbox.stop(Duration::from_secs(20)));
    assert_eq!(exit.status, Status::Signaled(15));
}

fn abandoned(world: &World) {
    world.runtime.block_on(async {
        for micros in (0..6000).step_by(300) {
            let spec = common::python("import time; time.sleep(600)", Layers::ALL);
            let start = common::start(&world.handle, spec);
            let _ = tokio::time::timeout(Duration::from_micros(micros), start).await;
        }
    });
    let sleepers = || {
        let groups = common::cgroups_with(&format!("lambent-{}/", world.name));
        groups.iter().filter(|group| group.starts_with("/sys/fs/cgroup/pids")).count()
    };
    assert!(common::eventually(Duration::from_secs(10), || sleepers() <= 2), "only the pool is left");
}

const SERVER: &str = "--without-privileges";

fn without_privileges(_: &World) {
    let status = std::process::Command::new("/proc/self/exe").arg(SERVER).status().unwrap();
    assert!(status.success());
}

/// The process behind [`without_privileges`]: a server as it should be.
pub fn run_if_server() -> Option<std::process::ExitCode> {
    if std::env::args().nth(1).as_deref() != Some(SERVER) {
        return None;
    }
    let world =
        World::before_threads(sandbox::Isolation::Namespaces, 2, || sandbox::drop_privileges().unwrap());
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap().trim().to_owned();
    assert_eq!(u64::from_str_radix(&effective, 16).unwrap() & !(1 << 10), 0, "at most CAP_NET_BIND_SERVICE");
    assert!(status.contains("NoNewPrivs:\t1"));
    assert_eq!(world.python("print(1)", Layers::ALL).output, "1\n");
    world.end();
    Some(std::process::ExitCode::SUCCESS)
}

fn other_runtimes(world: &World) {
    let worker = "
const { Worker } = require('worker_threads'), http = require('http'), fs = require('fs');
const server = http.createServer((q, r) => r.end('served')).listen(8080, async () => {
  fs.writeFileSync('/tmp/file', await (await fetch('http://127.0.0.1:8080/')).text());
  new Worker(\"require('worker_threads').parentPort.postMessage(6 * 7)\", { eval: true })
    .on('message', n => { console.log(n, fs.readFileSync('/tmp/file', 'utf8')); process.exit(); });
});";
    let runs = [
        (vec!["/usr/bin/node", "-e", worker], "42 served\n"),
        (vec!["/usr/bin/java", "-Xmx128m", "-version"], "openjdk version"),
    ];
    for (argv, expected) in runs {
        if !std::path::Path::new(argv[0]).exists() {
            println!("    not run: {} is not installed", argv[0]);
            continue;
        }
        let mut spec = common::spec(&argv, Layers::ALL);
        spec.limits.memory_bytes = 1 << 30;
        let configuration = "/etc/java-17-openjdk";
        for path in [configuration, "/etc/alternatives"] {
            if std::path::Path::new(path).exists() {
                spec.mounts.push(Mount::ReadOnly { source: path.into(), target: path.into() });
            }
        }
        let outcome = world.run(spec);
        assert!(outcome.output.starts_with(expected), "{outcome:?}");
        assert_eq!(outcome.exit.status, Status::Exited(0), "{outcome:?}");
    }
}

fn parallel(world: &World) {
    world.runtime.block_on(async {
        let begin = Instant::now();
        let mut running = Vec::new();
        let tasks = tokio_util::task::TaskTracker::new();
        for number in 0..50 {
            let handle = world.handle.clone();
            let script = format!("print({number})");
            running.push(tasks.spawn(async move {
                let (sandbox, output) =
                    common::start(&handle, common::python(&script, Layers::ALL)).await.unwrap();
                let outcome = common::finish(&sandbox, output).await;
                assert_eq!(outcome.output, format!("{number}\n"));
                sandbox.id().to_owned()
            }));
        }
        let mut ids = Vec::new();
        for task in running {
            ids.push(task.await.unwrap());
        }
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 50, "each has an id of its own");
        println!("    50 parallel starts of Python, to their ends: {} ms", begin.elapsed().as_millis());
    });
}

fn latency(world: &World) {
    let mut measured: [Vec<u128>; 3] = Default::default();
    world.runtime.block_on(async {
        for _ in 0..50 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let begin = Instant::now();
            let spec = common::spec(&["/usr/bin/true"], Layers::ALL);
            let (sandbox, _output) = common::start(&world.handle, spec).await.unwrap();
            measured[0].push(begin.elapsed().as_micros());
            sandbox.exited().await;
            measured[1].push(begin.elapsed().as_micros());
            let begin = Instant::now();
            assert!(std::process::Command::new("/usr/bin/true").status().unwrap().success());
            measured[2].push(begin.elapsed().as_micros());
        }
    });
    for (name, times) in ["start answered", "end reported", "(plain spawn of true)"].iter().zip(&mut measured)
    {
        times.sort_unstable();
        println!("    {name}: min {} median {} p90 {} µs", times[0], times[25], times[45]);
    }
}

fn failure(world: &World, spec: sandbox::spec::Spec) -> String {
    match world.start(spec) {
        Err(error @ StartError::Step { .. }) => error.to_string(),
        other => panic!("not the failure of a step: {:?}", other.map(|_| "started")),
    }
}

fn failure_or_end(world: &World, spec: sandbox::spec::Spec) -> String {
    match world.start(spec) {
        Ok((sandbox, output)) => world.finish(&sandbox, output).output,
        Err(error) => error.to_string(),
    }
}

/// A script that has printed its first line; the thread ends with the last writer.
fn started(world: &World, script: &str) -> (sandbox::handle::Sandbox, std::thread::JoinHandle<()>) {
    let (mut read, write) = std::io::pipe().unwrap();
    let channels = Channels { output: write.into(), frames: None };
    let spec = common::python(script, Layers::ALL);
    let sandbox = world.runtime.block_on(world.handle.start(spec, channels)).unwrap();
    let mut buffer = [0; 3];
    std::io::Read::read_exact(&mut read, &mut buffer).unwrap();
    let rest = std::thread::spawn(move || {
        let _ = std::io::copy(&mut read, &mut std::io::sink());
    });
    (sandbox, rest)
}
