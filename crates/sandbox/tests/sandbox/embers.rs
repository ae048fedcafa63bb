//! Programs that are forked into instances: each is a sandbox of its own, in the namespaces of one.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test's panic is its verdict"
)]

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use sandbox::handle::{Signal, Status};
use tokio::io::AsyncReadExt;

use crate::common::ember::{Ember, Forked};
use crate::common::{Case, World, cgroups_with, eventually};

pub const CASES: &[Case] = &[
    ("an ember is forked into instances that answer for themselves", forks),
    ("siblings have a /tmp and a /dev/shm of their own, and none is left behind", roots),
    ("forty forks at once are forty instances", burst),
    ("a newborn gets control groups, limits and a meter of its own", placed),
    ("a newborn's programs are moved with it and end with it", descendants),
    ("a frozen newborn stands still until it is thawed", frozen),
    ("how a newborn ended is told", endings),
    ("the end of an ember ends no instance, and the last instance ends the rest", outlived),
    ("an ember that ends by itself is told of, and its instances live on", bereaved),
    ("the instances of a server have listeners of their own at its port", listeners),
    ("a fork that nobody waits for leaves nothing", abandoned),
    ("what a fork costs, 50 ms apart", latency),
    ("what a hundred forks at once cost", throughput),
];

const SOON: Duration = Duration::from_secs(10);

/// An ember that may be forked.
fn kindled(world: &World, variables: &[(&str, &str)]) -> Ember {
    let ember = Ember::start(world, variables);
    let vetoes = ember.sharing(world).vetoes;
    assert_eq!(vetoes, Vec::<String>::new());
    ember
}

/// Waits until the instance has left its ember's control groups.
fn wait_until_placed(world: &World, instance: &mut Forked) {
    let id = instance.sandbox.id().to_owned();
    let found = eventually(SOON, || cgroups_with(&id).iter().any(|group| !members(group).is_empty()));
    assert!(found, "{:?}", cgroups_with(&world.name));
}

fn members(group: &std::path::Path) -> String {
    fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default()
}

fn forks(world: &World) {
    let ember = kindled(world, &[("INIT", "held = [1]")]);
    let mut one = ember.try_fork(world, &[("NAME", "one")]).unwrap();
    let mut two = ember.try_fork(world, &[("NAME", "two")]).unwrap();
    assert_ne!(one.sandbox.id(), two.sandbox.id());
    let script = "import os; answer = [os.environ['NAME'], os.getcwd(), os.getuid()]";
    assert_eq!(one.run(script), "[\"one\", \"/\", 1000]");
    assert_eq!(two.run(script), "[\"two\", \"/\", 1000]");
    let inside =
        "answer = sorted(name for name in os.listdir('/proc') if name.isdigit()) == [str(os.getpid())]";
    assert_eq!(one.run(inside), "true", "it sees itself alone");
    one.run("print('written', flush=True)");
    drop(one.sandbox);
    assert_eq!(one.output.text(), "written\n");
}

fn roots(world: &World) {
    let ember = kindled(world, &[]);
    let mut one = ember.fork(world);
    let mut two = ember.fork(world);
    let write = "for path in ('/tmp/a', '/dev/shm/a'): open(path, 'w').write('mine')
import os; answer = sorted(os.listdir('/tmp') + os.listdir('/dev/shm'))";
    let list = "import os; answer = sorted(os.listdir('/tmp') + os.listdir('/dev/shm'))";
    assert_eq!(one.run(write), "[\"a\", \"a\"]");
    assert_eq!(two.run(list), "[]");
    let size = "import os; held = os.statvfs('/tmp'); answer = held.f_blocks * held.f_frsize > 400 << 20";
    assert_eq!(two.run(size), "true");
    let others =
        "answer = [line.split()[4] for line in open('/proc/self/mountinfo') if line.split()[4] == '/tmp']";
    assert_eq!(two.run(others), "[\"/tmp\"]", "of all the roots it sees its own");
    assert_eq!(
        two.run("import os; os.chroot('/tmp')"),
        "\"PermissionError: [Errno 1] Operation not permitted: '/tmp'\""
    );
    let init = init_of(world, &ember);
    for _ in 0..8 {
        drop(ember.fork(world));
    }
    let mounts = || fs::read_to_string(format!("/proc/{init}/mountinfo")).unwrap_or_default();
    let tmps = || {
        mounts().lines().filter(|line| line.split(' ').nth(4).is_some_and(|at| at.ends_with("/tmp"))).count()
    };
    assert!(eventually(SOON, || (1..=9).contains(&tmps())), "{}", mounts());
}

/// The process id of the init, which is the ember's parent.
fn init_of(world: &World, ember: &Ember) -> String {
    let group = cgroups_with(ember.sandbox.id()).pop().unwrap();
    let children =
        |pid: &str| fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let broker = world.broker.to_string();
    let inits = children(&broker);
    let members = members(&group);
    inits.split_whitespace().find(|pid| members.lines().any(|member| member == *pid)).unwrap().to_owned()
}

fn burst(world: &World) {
    let ember = kindled(world, &[]);
    let mut all: Vec<Forked> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..40).map(|_| scope.spawn(|| ember.fork(world))).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    let mut pids: Vec<String> =
        all.iter_mut().map(|one| one.run("import os; answer = os.getpid()")).collect();
    pids.sort();
    pids.dedup();
    assert_eq!(pids.len(), 40);
    for one in &mut all {
        assert_eq!(one.run("import os; answer = os.listdir('/tmp')"), "[]");
    }
}

fn placed(world: &World) {
    let mut spec =
        crate::common::ember::spec(sandbox::spec::Layers::ALL, &[("INIT", "held = bytearray(30 << 20)")]);
    spec.limits.memory_bytes = 128 << 20;
    let ember = Ember::with(world, spec);
    assert!(ember.sharing(world).vetoes.is_empty());
    let mut one = ember.fork(world);
    assert!(one.sandbox.meter().cpu_micros().is_some(), "measured from its first instruction");
    let busy =
        "import time; end = time.process_time() + 0.2\nwhile time.process_time() < end: pass\nanswer = 1";
    one.run(busy);
    wait_until_placed(world, &mut one);
    one.run(busy);
    let usage = world.runtime.block_on(one.sandbox.usage());
    assert!((400_000..2_000_000).contains(&usage.cpu_micros), "{usage:?}");
    let metered =
        || one.sandbox.meter().cpu_micros().is_some_and(|micros| (400_000..2_000_000).contains(&micros));
    assert!(eventually(SOON, metered), "{:?}", one.sandbox.meter().cpu_micros());
    assert!(eventually(SOON, || one.sandbox.meter().memory_bytes().is_some()));
    let peak = one.sandbox.meter().take_peak();
    assert!(peak.is_some_and(|peak| (30 << 20..128 << 20).contains(&peak)), "with what it shares: {peak:?}");
    one.tell("held = bytearray(120 << 20)");
    let exit = world.runtime.block_on(one.sandbox.exited());
    assert!(exit.out_of_memory, "the ember's memory counts: {exit:?}");
    let mut two = ember.fork(world);
    assert_eq!(two.run("answer = 1"), "1", "and nobody else is concerned");
}

fn descendants(world: &World) {
    let ember = kindled(world, &[]);
    let mut one = ember.fork(world);
    one.run("import subprocess; held = subprocess.Popen(['/bin/sleep', '600'])");
    let id = one.sandbox.id().to_owned();
    let both = || cgroups_with(&id).iter().any(|group| members(group).lines().count() == 2);
    assert!(eventually(SOON, both), "{:?}", cgroups_with(&world.name));
    let group = cgroups_with(&id).pop().unwrap();
    let pids: Vec<String> = members(&group).lines().map(str::to_owned).collect();
    world.runtime.block_on(one.sandbox.stop(Duration::from_secs(5)));
    let gone = || pids.iter().all(|pid| !fs::exists(format!("/proc/{pid}")).unwrap_or(true));
    assert!(eventually(SOON, gone), "{pids:?}");
    assert!(eventually(SOON, || cgroups_with(&id).is_empty()));
    // Another may follow: nobody is left beside the ember.
    assert_eq!(ember.fork(world).run("answer = 1"), "1");
}

fn frozen(world: &World) {
    let ember = kindled(world, &[]);
    let mut one = ember.fork(world);
    one.sandbox.freeze();
    let id = one.sandbox.id().to_owned();
    let is_frozen = || {
        cgroups_with(&id).iter().any(|group| {
            fs::read_to_string(group.join("cgroup.events")).is_ok_and(|text| text.contains("frozen 1"))
        })
    };
    assert!(eventually(SOON, is_frozen), "{:?}", cgroups_with(&id));
    one.tell("answer = 'thawed'");
    one.sandbox.thaw();
    assert_eq!(one.heard(), "\"thawed\"");
    one.sandbox.freeze();
    let exit = world.runtime.block_on(one.sandbox.stop(Duration::from_secs(5)));
    assert_eq!(exit.status, Status::Signaled(libc::SIGTERM));
}

fn endings(world: &World) {
    let ember = kindled(world, &[]);
    for (script, expected) in [
        ("raise SystemExit(7)", Status::Exited(7)),
        ("import os; os.abort()", Status::Signaled(libc::SIGABRT)),
        ("import os; os.kill(os.getpid(), 9)", Status::Signaled(libc::SIGKILL)),
    ] {
        let mut one = ember.fork(world);
        one.tell(script);
        assert_eq!(world.runtime.block_on(one.sandbox.exited()).status, expected, "{script}");
    }
}

fn outlived(world: &World) {
    let ember = kindled(world, &[]);
    let id = ember.sandbox.id().to_owned();
    let mut one = ember.fork(world);
    let mut two = ember.fork(world);
    let Ember { sandbox, .. } = ember;
    sandbox.signal(Signal::Kill);
    let exit = world.runtime.block_on(sandbox.exited());
    assert_eq!(exit.status, Status::Signaled(libc::SIGKILL));
    assert_eq!(one.run("import os; answer = os.getppid()"), "1", "the init has adopted it");
    one.tell("raise SystemExit(3)");
    assert_eq!(world.runtime.block_on(one.sandbox.exited()).status, Status::Exited(3));
    assert_eq!(two.run("answer = 2"), "2");
    // The one that lives, the ember's, and at most one that its init has taken for a next that never came.
    let images = || loops(world);
    assert!(
        eventually(SOON, || images() <= 2 + 3),
        "{} images: {}",
        images(),
        world.directory.path().display()
    );
    drop((one, two));
    assert!(eventually(SOON, || cgroups_with(&id).is_empty()), "{:?}", cgroups_with(&world.name));
}

/// Loop devices of this world: two are the pool's.
fn loops(world: &World) -> usize {
    let wanted = world.directory.path().to_string_lossy().into_owned();
    let backing = |entry: fs::DirEntry| fs::read_to_string(entry.path().join("loop/backing_file")).ok();
    let all = fs::read_dir("/sys/block").unwrap().flatten().filter_map(backing);
    all.filter(|file| file.starts_with(&wanted)).count()
}

fn bereaved(world: &World) {
    let ember =
        kindled(world, &[("INIT", "import signal; signal.signal(signal.SIGTERM, lambda *_: os._exit(4))")]);
    let mut one = ember.fork(world);
    ember.sandbox.signal(Signal::Terminate);
    assert_eq!(world.runtime.block_on(ember.sandbox.exited()).status, Status::Exited(4));
    assert!(ember.try_fork(world, &[]).is_err());
    assert_eq!(one.run("answer = 1"), "1");
}

fn listeners(world: &World) {
    let init = "listener = socket.create_server(('127.0.0.1', 8000))";
    let ember = kindled(world, &[("INIT", init)]);
    let serve = "listener.listen()\nwhile True:\n    held = listener.accept()[0]; held.sendall(str(os.getpid()).encode()); held.close()";
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for _ in 0..2 {
        let mut one = ember.fork(world);
        let pid = one.run("import os, __main__; listener = __main__.listener; answer = os.getpid()");
        one.tell(serve);
        let answer = world.runtime.block_on(async {
            let address = one.sandbox.listening(Some(8000)).await.unwrap();
            addresses.push(address);
            let mut text = String::new();
            one.sandbox.connect(address).await.unwrap().read_to_string(&mut text).await.unwrap();
            text
        });
        assert_eq!(answer, pid);
        // The next one has another address also while this one lives.
        std::mem::forget(one);
    }
    assert_eq!(addresses, ["127.0.0.2:8000".parse().unwrap(), "127.0.0.3:8000".parse().unwrap()]);
}

fn abandoned(world: &World) {
    let ember = kindled(world, &[]);
    for wait in [0, 1, 5, 20] {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let (read, write) = std::io::pipe().unwrap();
        let channels = sandbox::handle::Channels { output: write.into(), frames: Some(theirs.into()) };
        world.runtime.block_on(async {
            let fork = ember.sandbox.fork(channels, Vec::new());
            let _ = tokio::time::timeout(Duration::from_millis(wait), fork).await;
        });
        drop((ours, read));
    }
    let mut last = ember.fork(world);
    assert_eq!(last.run("answer = 1"), "1");
    drop(last);
    let id = ember.sandbox.id().to_owned();
    let alone = || {
        cgroups_with(&world.name).iter().all(|group| {
            members(group).is_empty()
                || !group.to_string_lossy().contains(&id)
                || members(group).lines().count() == 2
        })
    };
    assert!(eventually(SOON, alone), "{:?}", cgroups_with(&world.name));
}

/// Prints; a time says nothing on a machine that does other things.
fn latency(world: &World) {
    let ember = kindled(world, &[]);
    let mut times: Vec<[Duration; 2]> = Vec::new();
    for _ in 0..30 {
        std::thread::sleep(Duration::from_millis(50));
        let begin = std::time::Instant::now();
        let mut one = ember.fork(world);
        let started = begin.elapsed();
        one.run("answer = 1");
        times.push([started, begin.elapsed()]);
    }
    for (at, name) in ["checked", "answered"].iter().enumerate() {
        times.sort_by_key(|time| time[at]);
        println!("  {name}: min {:?}, median {:?}, p90 {:?}", times[0][at], times[15][at], times[27][at]);
    }
}

/// Prints when each of a hundred that were asked for at once is there.
fn throughput(world: &World) {
    let ember = kindled(world, &[]);
    let begin = std::time::Instant::now();
    let mut times: Vec<(Duration, Forked)> = std::thread::scope(|scope| {
        let fork = || {
            let forked = ember.fork(world);
            (begin.elapsed(), forked)
        };
        let starts: Vec<_> = (0..100).map(|_| scope.spawn(fork)).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    times.sort_by_key(|(time, _)| *time);
    println!(
        "  1st {:?}, 10th {:?}, 50th {:?}, 100th {:?}",
        times[0].0, times[9].0, times[49].0, times[99].0
    );
}
