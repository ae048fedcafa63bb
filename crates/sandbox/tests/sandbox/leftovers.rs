//! Nothing is left: no process, no control group, no mount, no loop device, after any kind of end.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test's panic is its verdict"
)]

use std::io::BufRead;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use sandbox::handle::Signal;
use sandbox::spec::Layers;
use sandbox::{Isolation, Options};

use crate::common::ember::{Ember, Forked};
use crate::common::{self, Case, World};

pub const CASES: &[Case] = &[
    ("nothing is left of a sandbox that has ended", after_exit),
    ("a hundred sandboxes leave no descriptor in server and broker", descriptors),
    ("nothing is left when the last handle is dropped", after_drop),
    ("nothing is left when the broker is killed, and the server is told", after_broker_killed),
    ("nothing is left when the server is killed", after_server_killed),
    ("nothing is left of an ember and its instances when the broker is killed", embers_without_broker),
    ("nothing is left of an ember and its instances when the last handle is dropped", embers_without_handle),
    ("a hundred forks leave no descriptor in server and broker, no root and no group", forks),
    ("nothing is left of embers whose instances come and go in any order", muddle),
    ("what a broker and its server have left is removed by the next of the name", after_both_killed),
];

const SERVER: &str = "--server-of-leftovers";
const SLEEPER: &str = "import subprocess; print('up'); subprocess.run(['/usr/bin/sleep', '600'])";
const SOON: Duration = Duration::from_secs(10);

fn after_exit(world: &World) {
    let (sandbox, output) = world.start(common::python("print(1)", Layers::ALL)).unwrap();
    let id = sandbox.id().to_owned();
    assert!(!common::cgroups_with(&id).is_empty(), "it has control groups while it runs");
    world.finish(&sandbox, output);
    assert!(common::eventually(SOON, || common::cgroups_with(&id).is_empty()));
    assert!(common::eventually(SOON, || loops(world.directory.path()) <= 2), "only the pool's are left");
}

fn descriptors(world: &World) {
    let open = |pid: u32| std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let run = |times: usize| {
        for _ in 0..times {
            world.run(common::spec(&["/usr/bin/true"], Layers::ALL));
        }
    };
    run(5);
    // Two shells and nobody dying: two groups below each tree of ours.
    let pool_is_full = || {
        let groups = common::cgroups_with(&format!("lambent-{}", world.name));
        let trees = groups.iter().filter(|group| group.ends_with(format!("lambent-{}", world.name))).count();
        groups.len() == 3 * trees && loops(world.directory.path()) == 2
    };
    assert!(common::eventually(SOON, pool_is_full));
    let (server, broker) = (open(std::process::id()), open(world.broker));
    run(100);
    assert!(common::eventually(SOON, pool_is_full));
    // Each of the pool's two shells hands over its network namespace when it is ready, which cannot be seen
    // from here: the first count may have been without. What leaks with a sandbox would be a hundred.
    let broker = broker + 2;
    assert!(common::eventually(SOON, || open(world.broker) <= broker), "{} of {broker}", open(world.broker));
    assert!(common::eventually(SOON, || open(std::process::id()) <= server));
}

fn after_drop(world: &World) {
    let other = World::new();
    let (name, directory) = (other.name.clone(), other.directory.path().to_path_buf());
    let sandboxes: Vec<_> =
        (0..3).map(|_| other.start(common::python(SLEEPER, Layers::ALL)).unwrap()).collect();
    assert!(loops(&directory) >= 3);
    assert!(processes(&name) >= 3);
    drop(sandboxes);
    let kept = other.end();
    nothing_left(&name, kept.path());
    assert_eq!(world.python("print(1)", Layers::ALL).output, "1\n", "another broker is not touched");
}

fn after_broker_killed(_: &World) {
    let world = World::new();
    let (sandbox, output) = world.start(common::python(SLEEPER, Layers::ALL)).unwrap();
    let broker = rustix::process::Pid::from_raw(world.broker.try_into().unwrap()).unwrap();
    rustix::process::kill_process(broker, rustix::process::Signal::KILL).unwrap();
    world.runtime.block_on(async {
        tokio::time::timeout(SOON, world.handle.gone()).await.unwrap();
        tokio::time::timeout(SOON, sandbox.exited()).await.unwrap();
    });
    output.text();
    nothing_left(&world.name, world.directory.path());
    let error = world.start(common::python("", Layers::ALL)).err().unwrap();
    assert_eq!(error.to_string(), "the sandbox broker is gone");
}

/// An ember with two instances, one of them with a program of its own.
fn family(world: &World) -> (Ember, Vec<Forked>) {
    let ember = Ember::start(world, &[]);
    assert_eq!(ember.sharing(world).vetoes, Vec::<String>::new());
    let mut instances = vec![ember.fork(world), ember.fork(world)];
    instances[0].run("import subprocess; held = subprocess.Popen(['/usr/bin/sleep', '600'])");
    (ember, instances)
}

/// The broker's children that are no sandbox.
fn asides(broker: u32) -> Vec<String> {
    let children = std::fs::read_to_string(format!("/proc/{broker}/task/{broker}/children")).unwrap();
    let name = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    children
        .split_whitespace()
        .filter(|pid| name(pid).starts_with("lambent-mover"))
        .map(str::to_owned)
        .collect()
}

fn embers_without_broker(_: &World) {
    let world = World::new();
    let (ember, instances) = family(&world);
    let asides = asides(world.broker);
    assert_eq!(asides.len(), 1, "there is one mover");
    let broker = rustix::process::Pid::from_raw(world.broker.try_into().unwrap()).unwrap();
    rustix::process::kill_process(broker, rustix::process::Signal::KILL).unwrap();
    world.runtime.block_on(async {
        tokio::time::timeout(SOON, world.handle.gone()).await.unwrap();
        for instance in &instances {
            tokio::time::timeout(SOON, instance.sandbox.exited()).await.unwrap();
        }
    });
    nothing_left(&world.name, world.directory.path());
    let gone = || asides.iter().all(|pid| !Path::new(&format!("/proc/{pid}/root")).exists());
    assert!(common::eventually(SOON, gone), "the mover");
    drop((ember, instances));
}

fn embers_without_handle(_: &World) {
    let world = World::new();
    let (name, directory) = (world.name.clone(), world.directory.path().to_path_buf());
    let family = family(&world);
    let asides = asides(world.broker);
    assert!(loops(&directory) >= 3);
    drop(family);
    let kept = world.end();
    nothing_left(&name, kept.path());
    assert!(asides.iter().all(|pid| !Path::new(&format!("/proc/{pid}/root")).exists()), "the mover");
}

fn forks(world: &World) {
    let open = |pid: u32| std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let ember = Ember::start(world, &[]);
    assert_eq!(ember.sharing(world).vetoes, Vec::<String>::new());
    let fork = |times: usize| (0..times).for_each(|_| drop(ember.fork(world)));
    fork(5);
    // The two shells of the pool, the ember's sandbox; and of roots its own, those ahead and those not removed yet.
    let is_quiet = || {
        let groups = common::cgroups_with(&format!("lambent-{}", world.name));
        let trees = groups.iter().filter(|group| group.ends_with(format!("lambent-{}", world.name))).count();
        groups.len() == 4 * trees && loops(world.directory.path()) <= 2 + 1 + 3 + 2
    };
    assert!(common::eventually(SOON, is_quiet), "{:?}", common::cgroups_with(&world.name));
    let (server, broker) = (open(std::process::id()), open(world.broker));
    fork(100);
    assert!(common::eventually(SOON, is_quiet), "{:?}", common::cgroups_with(&world.name));
    assert!(
        common::eventually(SOON, || open(world.broker) <= broker + 4),
        "{} of {broker}",
        open(world.broker)
    );
    assert!(common::eventually(SOON, || open(std::process::id()) <= server));
}

/// Four at once fork three embers and end what comes of it in every way there is; one ember is killed half way.
fn muddle(_: &World) {
    let world = World::new();
    let embers: Vec<Ember> = (0..3).map(|_| Ember::start(&world, &[])).collect();
    for ember in &embers {
        assert_eq!(ember.sharing(&world).vetoes, Vec::<String>::new());
    }
    std::thread::scope(|scope| {
        for thread in 0..4_usize {
            let (world, embers) = (&world, &embers);
            scope.spawn(move || {
                let mut kept = Vec::new();
                for round in 0..40_usize {
                    if thread == 0 && round == 20 {
                        embers[2].sandbox.signal(Signal::Kill);
                    }
                    let which = (thread * 7 + round * 5) % 3;
                    match embers[which].try_fork(world, &[]) {
                        Ok(instance) => end_somehow(world, instance, (thread * 3 + round) % 6, &mut kept),
                        Err(error) => assert_eq!(which, 2, "in {round}: {error}"),
                    }
                }
            });
        }
    });
    for ember in &embers[..2] {
        assert_eq!(ember.fork(&world).run("answer = 1"), "1");
    }
    let (name, directory) = (world.name.clone(), world.directory.path().to_path_buf());
    drop(embers);
    let pool_only = || {
        let groups = common::cgroups_with(&format!("lambent-{name}"));
        let trees = groups.iter().filter(|group| group.ends_with(format!("lambent-{name}"))).count();
        groups.len() == 3 * trees && loops(&directory) == 2
    };
    assert!(common::eventually(SOON, pool_only), "{:?}", common::cgroups_with(&name));
    let kept = world.end();
    nothing_left(&name, kept.path());
}

fn end_somehow(world: &World, mut instance: Forked, how: usize, kept: &mut Vec<Forked>) {
    match how {
        0 => drop(instance),
        1 => instance.tell("raise SystemExit(1)"),
        2 => {
            instance.sandbox.freeze();
            instance.sandbox.thaw();
            assert_eq!(instance.run("answer = 2"), "2");
        }
        3 => {
            instance.run("import subprocess; held = subprocess.Popen(['/usr/bin/sleep', '600'])");
            instance.sandbox.freeze();
        }
        4 => drop(world.runtime.block_on(instance.sandbox.stop(SOON))),
        _ => kept.push(instance),
    }
}

fn after_server_killed(_: &World) {
    let directory = tempfile::tempdir().unwrap();
    let name = format!("killed-{}", std::process::id());
    let (mut server, _broker) = server(&name, directory.path());
    server.kill().unwrap();
    server.wait().unwrap();
    nothing_left(&name, directory.path());
}

fn after_both_killed(_: &World) {
    let directory = tempfile::tempdir().unwrap();
    let name = format!("both-{}", std::process::id());
    let (mut server, broker) = server(&name, directory.path());
    // Stopped, so that neither can tidy up after the other.
    for pid in [server.id(), broker] {
        let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    }
    server.kill().unwrap();
    let pid = rustix::process::Pid::from_raw(broker.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    server.wait().unwrap();
    assert!(common::eventually(SOON, || processes(&name) == 0), "processes end without anybody's help");
    assert!(common::eventually(SOON, || loops(directory.path()) == 0), "loop devices, too");
    let next = sandbox::launch(Options {
        name: name.clone(),
        isolation: Isolation::Namespaces,
        directory: directory.path().to_path_buf(),
        pool: 0,
        switches: false,
    });
    assert!(
        common::eventually(SOON, || common::cgroups_with(&name).len() <= 5),
        "only those of the new broker"
    );
    drop(next);
    assert!(common::eventually(SOON, || common::cgroups_with(&name).is_empty()));
}

fn nothing_left(name: &str, directory: &Path) {
    assert!(common::eventually(SOON, || processes(name) == 0), "processes of {name}");
    assert!(common::eventually(SOON, || loops(directory) == 0), "loop devices of {}", directory.display());
    let groups = || common::cgroups_with(&format!("lambent-{name}"));
    assert!(common::eventually(SOON, || groups().is_empty()), "{:?}", groups());
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&*directory.to_string_lossy()), "a mount");
    let files: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files, ["root"], "only the empty place of mounts");
}

/// Living processes in control groups of this name. The dead ones are reaped by the machine's init, in its own time.
fn processes(name: &str) -> usize {
    let wanted = format!("lambent-{name}");
    let read = |entry: &std::fs::DirEntry, file: &str| {
        std::fs::read_to_string(entry.path().join(file)).unwrap_or_default()
    };
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| read(entry, "cgroup").contains(&wanted))
        .filter(|entry| !read(entry, "stat").contains(") Z "))
        .count()
}

/// Loop devices whose image is in this directory, the unnamed ones, too.
fn loops(directory: &Path) -> usize {
    let wanted = directory.to_string_lossy().into_owned();
    std::fs::read_dir("/sys/block")
        .unwrap()
        .flatten()
        .filter(|entry| {
            std::fs::read_to_string(entry.path().join("loop/backing_file"))
                .is_ok_and(|file| file.starts_with(&wanted))
        })
        .count()
}

/// A process of its own with a broker and a running sandbox.
fn server(name: &str, directory: &Path) -> (std::process::Child, u32) {
    let mut server = Command::new("/proc/self/exe")
        .args([SERVER, name])
        .arg(directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (server, line.trim().parse().unwrap())
}

/// The process behind [`server`].
pub fn run_if_server() -> Option<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [first, name, directory] = arguments.as_slice() else { return None };
    if first != SERVER {
        return None;
    }
    let launched = sandbox::launch(Options {
        name: name.clone(),
        isolation: Isolation::Namespaces,
        directory: directory.into(),
        pool: 2,
        switches: false,
    })
    .unwrap();
    let broker = launched.broker_pid();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let tasks = tokio_util::task::TaskTracker::new();
        let handle = launched.connect(&tasks).unwrap();
        let (sandbox, _output) = common::start(&handle, common::python(SLEEPER, Layers::ALL)).await.unwrap();
        println!("{broker}");
        sandbox.exited().await;
    });
    Some(ExitCode::SUCCESS)
}
