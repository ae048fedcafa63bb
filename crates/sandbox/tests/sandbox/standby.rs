//! Sandboxes whose program waits before it is known what for: what they see before, and what after.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a test's panic is its verdict"
)]

use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

use sandbox::handle::{Channels, Sandbox, Status};
use sandbox::spec::{Assignment, Layers, Limits, Mount, Spec};

use crate::common::{self, Case, World};

pub const CASES: &[Case] = &[
    ("a sandbox that stands by sees no code, and after its assignment its own", assigned),
    ("its limits, name, accounts and /tmp are those of the assignment", equipped),
    ("an assignment may raise limits", raised),
    ("a sandbox is assigned once, and only if it stands by", once),
    ("an assignment that fails is a named failure and the end of the sandbox", failed),
    ("a frozen sandbox that stands by wakes when it is assigned", frozen),
    ("what an assignment costs", costs),
];

/// Answers each line on descriptor 3 with the value of the expression in it.
const WAITER: &str = "
import os, socket
with open(3, 'r', closefd=False) as orders, open(3, 'w', closefd=False) as answers:
    for line in orders: print(eval(line), file=answers, flush=True)";

struct Waiter {
    sandbox: Sandbox,
    orders: UnixStream,
    answers: BufReader<UnixStream>,
}

// === impl Waiter ===

impl Waiter {
    fn start(world: &World) -> Self {
        Self::of(world, spec())
    }

    fn of(world: &World, spec: Spec) -> Self {
        let (orders, theirs) = UnixStream::pair().unwrap();
        orders.set_read_timeout(Some(common::LONGEST)).unwrap();
        let (_read, write) = std::io::pipe().unwrap();
        let channels = Channels { output: write.into(), frames: Some(OwnedFd::from(theirs)) };
        let sandbox = world.runtime.block_on(world.handle.start(spec, channels)).unwrap();
        let answers = BufReader::new(orders.try_clone().unwrap());
        Self { sandbox, orders, answers }
    }

    fn ask(&mut self, expression: &str) -> String {
        writeln!(self.orders, "{expression}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn assign(&self, world: &World, assignment: &Assignment) -> Result<(), String> {
        world.runtime.block_on(self.sandbox.assign(assignment)).map_err(|error| error.to_string())
    }
}

fn spec() -> Spec {
    let mut spec = common::python(WAITER, Layers::ALL);
    spec.standby = true;
    spec.mounts.extend(["/var/task", "/opt"].map(|target| Mount::Directory { target: target.into() }));
    spec
}

fn assignment(code: &Path) -> Assignment {
    Assignment {
        hostname: "assigned".to_owned(),
        mounts: vec![Mount::ReadOnly { source: code.into(), target: "/var/task".into() }],
        tmp_bytes: 512 << 20,
        limits: Limits {
            memory_bytes: 100 << 20,
            cpu_millis: 1000,
            cpu_weight: 200,
            cpu_owner: 5,
            pids: 20,
            open_files: 1024,
        },
    }
}

fn code(text: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(text), text).unwrap();
    directory
}

fn assigned(world: &World) {
    let (mine, others) = (code("mine"), code("others"));
    let (mut first, mut second) = (Waiter::start(world), Waiter::start(world));
    for waiter in [&mut first, &mut second] {
        assert_eq!(waiter.ask("os.listdir('/var/task') + os.listdir('/opt')"), "[]");
    }
    first.assign(world, &assignment(mine.path())).unwrap();
    second.assign(world, &assignment(others.path())).unwrap();
    assert_eq!(first.ask("open('/var/task/mine').read()"), "mine");
    assert_eq!(second.ask("os.listdir('/var/task')"), "['others']");
    let mounts = first.ask("[line.split()[4] for line in open('/proc/self/mountinfo')]");
    assert!(mounts.contains("/var/task") && !mounts.contains("/opt"), "{mounts}");
    let write = "[os.access('/var/task', os.W_OK), os.statvfs('/var/task').f_flag & os.ST_RDONLY, os.statvfs('/var/task').f_flag & os.ST_NOSUID]";
    assert_eq!(first.ask(write), "[False, 1, 2]");
}

fn equipped(world: &World) {
    let code = code("code");
    let mut waiter = Waiter::start(world);
    waiter.ask("open('/tmp/before', 'w').write('x'), sum(range(30_000_000))");
    let before = waiter.sandbox.meter().cpu_micros().unwrap();
    let usual = waiter.ask("os.statvfs('/tmp').f_blocks");
    waiter.assign(world, &Assignment { tmp_bytes: 700 << 20, ..assignment(code.path()) }).unwrap();
    assert_eq!(waiter.ask("socket.gethostname()"), "assigned");
    assert_eq!(waiter.ask("os.path.exists('/tmp/before'), os.access('/tmp', os.W_OK)"), "(False, True)");
    let bytes: u64 = waiter.ask("os.statvfs('/tmp').f_bavail * os.statvfs('/tmp').f_bsize").parse().unwrap();
    assert!((700 << 20..720 << 20).contains(&bytes), "{usual} blocks before, {bytes} bytes now");
    let used = waiter.sandbox.meter().cpu_micros().unwrap();
    assert!(used < before, "accounts begin anew: {before} µs before, {used} after");
    writeln!(waiter.orders, "len(b'x' * (150 << 20))").unwrap();
    let exit = world.runtime.block_on(waiter.sandbox.exited());
    assert!(exit.out_of_memory, "the limit of the assignment holds: {exit:?}");
}

fn raised(world: &World) {
    let code = code("code");
    let mut waiter = Waiter::start(world);
    let mut assignment = assignment(code.path());
    assignment.limits.memory_bytes = 700 << 20;
    waiter.assign(world, &assignment).unwrap();
    assert_eq!(waiter.ask("len(b'x' * (400 << 20))"), (400 << 20).to_string(), "it started with 256 MiB");
    writeln!(waiter.orders, "len(b'x' * (900 << 20))").unwrap();
    assert!(world.runtime.block_on(waiter.sandbox.exited()).out_of_memory);
}

fn once(world: &World) {
    let (mine, others) = (code("mine"), code("others"));
    let mut waiter = Waiter::start(world);
    waiter.assign(world, &assignment(mine.path())).unwrap();
    let again = waiter.assign(world, &assignment(others.path())).unwrap_err();
    assert_eq!(again, "assign the sandbox: it does not stand by, or was assigned before");
    assert_eq!(waiter.ask("os.listdir('/var/task')"), "['mine']", "and it lives");
    let mut ordinary = Waiter::of(world, Spec { standby: false, ..spec() });
    ordinary.assign(world, &assignment(others.path())).unwrap_err();
    assert_eq!(ordinary.ask("os.listdir('/var/task')"), "[]");
}

fn failed(world: &World) {
    let waiter = Waiter::start(world);
    let file = Mount::File { text: String::new(), target: "/var/task/x".into() };
    let code = code("code");
    let wrong = Assignment { mounts: vec![file], ..assignment(code.path()) };
    assert!(waiter.assign(world, &wrong).unwrap_err().contains("only parts of the host"));
    let error = waiter.assign(world, &assignment(Path::new("/nowhere/at/all"))).unwrap_err();
    assert!(error.starts_with("open /nowhere/at/all: "), "{error}");
    assert_eq!(world.runtime.block_on(waiter.sandbox.exited()).status, Status::Signaled(9));
    assert!(waiter.assign(world, &assignment(code.path())).unwrap_err().contains("ended"));
}

fn frozen(world: &World) {
    let code = code("code");
    let mut waiter = Waiter::start(world);
    waiter.sandbox.freeze();
    waiter.assign(world, &assignment(code.path())).unwrap();
    assert_eq!(waiter.ask("os.listdir('/var/task')"), "['code']");
}

fn costs(world: &World) {
    let code = code("code");
    let mut times = Vec::new();
    for _ in 0..20 {
        let mut waiter = Waiter::start(world);
        waiter.ask("1");
        let begin = Instant::now();
        waiter.assign(world, &assignment(code.path())).unwrap();
        times.push(begin.elapsed().as_micros());
    }
    times.sort_unstable();
    println!("    an assignment: min {} median {} p90 {} µs", times[0], times[10], times[18]);
}
