//! Sandboxes that stand still: they cost no time, wake for whoever needs them, and die like any other.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a test's panic is its verdict"
)]

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use sandbox::handle::{Channels, Sandbox, Signal, Status};
use sandbox::spec::Layers;

use crate::common::{self, Case, World};

pub const CASES: &[Case] = &[
    ("a frozen sandbox keeps its request and answers it after the thaw", answers),
    ("a frozen sandbox dies at once when it is killed", killed),
    ("a frozen sandbox that is dropped leaves nothing", dropped),
    ("a frozen sandbox uses no CPU, its threads and processes included", still),
    ("freezing and thawing in turns ends where the last order says", turns),
    ("what freezing costs", costs),
];

/// Answers each byte on descriptor 3 with the same.
const ECHO: &str = "
import os
while byte := os.read(3, 1): os.write(3, byte)";

struct Echo {
    sandbox: Sandbox,
    line: UnixStream,
}

// === impl Echo ===

impl Echo {
    fn start(world: &World) -> Self {
        let (line, theirs) = UnixStream::pair().unwrap();
        let (_read, write) = std::io::pipe().unwrap();
        let channels = Channels { output: write.into(), frames: Some(OwnedFd::from(theirs)) };
        let spec = common::python(ECHO, Layers::ALL);
        let sandbox = world.runtime.block_on(world.handle.start(spec, channels)).unwrap();
        let mut echo = Self { sandbox, line };
        assert!(echo.answers(common::LONGEST));
        echo
    }

    fn answers(&mut self, within: Duration) -> bool {
        self.line.write_all(b"x").unwrap();
        self.hears(within)
    }

    fn hears(&mut self, within: Duration) -> bool {
        self.line.set_read_timeout(Some(within)).unwrap();
        self.line.read_exact(&mut [0]).is_ok()
    }

    /// Freezes it and waits until the kernel says that nothing runs any more.
    fn freeze(&self) {
        self.sandbox.freeze();
        assert!(common::eventually(common::LONGEST, || is_frozen(&self.sandbox)));
    }
}

fn is_frozen(sandbox: &Sandbox) -> bool {
    common::cgroups_with(sandbox.id()).iter().any(|group| {
        std::fs::read_to_string(group.join("cgroup.events")).is_ok_and(|text| text.contains("frozen 1"))
    })
}

fn answers(world: &World) {
    let mut echo = Echo::start(world);
    echo.freeze();
    assert!(!echo.answers(Duration::from_millis(200)), "it stands still");
    echo.sandbox.thaw();
    assert!(echo.hears(common::LONGEST), "nothing was lost");
    assert!(echo.answers(common::LONGEST));
}

fn killed(world: &World) {
    let echo = Echo::start(world);
    echo.freeze();
    echo.sandbox.signal(Signal::Kill);
    let exit = world
        .runtime
        .block_on(async { tokio::time::timeout(common::LONGEST, echo.sandbox.exited()).await.unwrap() });
    assert_eq!(exit.status, Status::Signaled(9));
}

fn dropped(world: &World) {
    let echo = Echo::start(world);
    let id = echo.sandbox.id().to_owned();
    echo.freeze();
    assert!(!common::cgroups_with(&id).is_empty());
    drop(echo);
    assert!(common::eventually(common::LONGEST, || common::cgroups_with(&id).is_empty()));
}

fn still(world: &World) {
    let script = "
import os, threading
def burn():
    while True: pass
for _ in range(2): threading.Thread(target=burn, daemon=True).start()
os.fork()
burn()";
    let (sandbox, _output) = world.start(common::python(script, Layers::ALL)).unwrap();
    let meter = sandbox.meter();
    let runs = || meter.cpu_micros().unwrap() > 100_000;
    assert!(common::eventually(common::LONGEST, runs));
    sandbox.freeze();
    assert!(common::eventually(common::LONGEST, || is_frozen(&sandbox)));
    let before = meter.cpu_micros().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(meter.cpu_micros().unwrap(), before);
}

fn turns(world: &World) {
    let mut echo = Echo::start(world);
    for _ in 0..50 {
        echo.sandbox.freeze();
        echo.sandbox.thaw();
    }
    assert!(echo.answers(common::LONGEST));
    echo.sandbox.thaw();
    echo.sandbox.freeze();
    // Its answer comes after everything that was asked before.
    world.runtime.block_on(echo.sandbox.usage());
    assert!(common::eventually(common::LONGEST, || is_frozen(&echo.sandbox)));
    assert!(!echo.answers(Duration::from_millis(100)));
}

fn costs(world: &World) {
    let mut echo = Echo::start(world);
    let [mut running, mut frozen]: [Vec<u128>; 2] = Default::default();
    for _ in 0..100 {
        let begin = Instant::now();
        assert!(echo.answers(common::LONGEST));
        running.push(begin.elapsed().as_micros());
        echo.freeze();
        let begin = Instant::now();
        echo.sandbox.thaw();
        assert!(echo.answers(common::LONGEST));
        frozen.push(begin.elapsed().as_micros());
    }
    for (name, times) in [("answer", &mut running), ("thaw and answer", &mut frozen)] {
        times.sort_unstable();
        println!("    {name}: min {} median {} p90 {} µs", times[0], times[50], times[90]);
    }
}
