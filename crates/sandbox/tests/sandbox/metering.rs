//! Figures that the server reads itself, against what the program's own clock says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's panic is its verdict")]

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use sandbox::handle::{Channels, Sandbox};
use sandbox::meter::Meter;
use sandbox::spec::Layers;

use crate::common::{self, Case, World};

pub const CASES: &[Case] = &[
    ("CPU time is read as the program's own clock has it, its processes included", cpu),
    ("the peak of memory is of the time since it was taken", peak),
    ("the figures of an ended sandbox are not known", ended),
];

/// Does what a letter on descriptor 3 says, and answers with the CPU time it took in microseconds.
const WORKER: &str = "
import os, resource
def used():
    both = [resource.getrusage(which) for which in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in both)
def burn():
    until = used() + 0.4
    while used() < until: pass
while letter := os.read(3, 1):
    before = used()
    if letter == b's': burn()
    if letter == b'p':
        child = os.fork()
        if child == 0: burn(); os._exit(0)
        os.waitpid(child, 0)
    if letter == b'm': del bytearray(80 << 20)[:1]
    os.write(3, b'%d\\n' % round((used() - before) * 1e6))
";

/// A program that does what it is told.
struct Worker {
    sandbox: Sandbox,
    line: UnixStream,
    _output: std::io::PipeReader,
}

// === impl Worker ===

impl Worker {
    fn start(world: &World) -> Self {
        let (line, theirs) = UnixStream::pair().unwrap();
        line.set_read_timeout(Some(common::LONGEST)).unwrap();
        let (read, write) = std::io::pipe().unwrap();
        let channels = Channels { output: write.into(), frames: Some(OwnedFd::from(theirs)) };
        let spec = common::python(WORKER, Layers::ALL);
        let sandbox = world.runtime.block_on(world.handle.start(spec, channels)).unwrap();
        let mut worker = Self { sandbox, line, _output: read };
        worker.ask(b'x');
        worker
    }

    fn ask(&mut self, letter: u8) -> u64 {
        self.line.write_all(&[letter]).unwrap();
        let mut text = Vec::new();
        let mut byte = [0];
        while byte != *b"\n" {
            self.line.read_exact(&mut byte).unwrap();
            text.push(byte[0]);
        }
        String::from_utf8(text).unwrap().trim().parse().unwrap()
    }

    fn meter(&self) -> Meter {
        self.sandbox.meter()
    }
}

fn cpu(world: &World) {
    let mut worker = Worker::start(world);
    let meter = worker.meter();
    for letter in [b's', b'p', b's'] {
        let before = meter.cpu_micros().expect("it is measured");
        let told = worker.ask(letter);
        let read = meter.cpu_micros().unwrap() - before;
        let off = read.abs_diff(told);
        assert!(told >= 400_000, "{told} µs");
        assert!(off * 100 <= told * 2, "it used {told} µs and {read} were read");
    }
    let usage = world.runtime.block_on(worker.sandbox.usage());
    assert!(usage.cpu_micros.abs_diff(meter.cpu_micros().unwrap()) < 20_000, "both count from the start");
}

fn peak(world: &World) {
    let mut worker = Worker::start(world);
    let meter = worker.meter();
    let at_rest = meter.memory_bytes().expect("it is measured");
    meter.take_peak();
    worker.ask(b'm');
    let high = meter.take_peak().unwrap();
    assert!(high >= at_rest + (70 << 20), "{at_rest} bytes at rest, {high} at most");
    worker.ask(b'x');
    let low = meter.take_peak().unwrap();
    // Version 2 can forget a peak from Linux 6.12 on, version 1 always.
    let forgets = std::path::Path::new("/sys/fs/cgroup/memory").exists();
    assert!(low < high - (60 << 20) || !forgets && low == high, "{high}, then {low}");
}

fn ended(world: &World) {
    let worker = Worker::start(world);
    let meter = worker.meter();
    assert!(meter.cpu_micros().is_some());
    world.runtime.block_on(worker.sandbox.stop(Duration::ZERO));
    let gone =
        || meter.cpu_micros().is_none() && meter.memory_bytes().is_none() && meter.take_peak().is_none();
    assert!(common::eventually(Duration::from_secs(10), gone), "the groups are removed");
}
