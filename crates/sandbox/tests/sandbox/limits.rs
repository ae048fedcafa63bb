//! What a process tree may use, and what it finds in its `/tmp`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test's panic is its verdict")]

use std::time::{Duration, Instant};

use sandbox::handle::Status;
use sandbox::spec::Layers;

use crate::common::{self, Case, World};

pub const CASES: &[Case] = &[
    ("more memory than the limit ends the program, and the reason is reported", out_of_memory),
    ("without the limits layer the same program succeeds", no_limits),
    ("processes are limited", processes),
    ("CPU time is limited and reported", cpu),
    ("500 MB in /tmp are written and read back beside 128 MiB of memory", large_files),
    ("/tmp is full at its size, whatever its size, and memory is not", full),
    ("a size of /tmp is formatted once, and never for a start that has been announced", images),
    ("two sandboxes have a /tmp each", private),
    ("open files are limited", open_files),
    ("when the machine is out of memory a sandbox goes before its server", first_to_go),
];

const GREEDY: &str = "x = b'x' * (400 << 20); print(len(x))";

fn out_of_memory(world: &World) {
    let outcome = world.python(GREEDY, Layers::ALL);
    assert_eq!(outcome.exit.status, Status::Signaled(9), "{outcome:?}");
    assert!(outcome.exit.out_of_memory, "{outcome:?}");
    assert!(outcome.exit.usage.memory_peak_bytes > 200 << 20, "{outcome:?}");
}

fn no_limits(world: &World) {
    let outcome = world.python(GREEDY, Layers { limits: false, ..Layers::ALL });
    assert_eq!(outcome.exit.status, Status::Exited(0), "{outcome:?}");
    assert!(!outcome.exit.out_of_memory);
}

fn processes(world: &World) {
    let script = "
import os, time
made = 0
try:
    for _ in range(100):
        if os.fork() == 0: time.sleep(60)
        made += 1
except BlockingIOError: pass
print(made)";
    assert_eq!(world.python(script, Layers::ALL).output, "63\n");
    assert_eq!(world.python(script, Layers { limits: false, ..Layers::ALL }).output, "100\n");
}

fn cpu(world: &World) {
    let script = "
import time
begin, used = time.time(), time.process_time()
while time.process_time() - used < 0.3: pass
print(time.time() - begin, time.process_time())";
    let mut spec = common::python(script, Layers::ALL);
    spec.limits.cpu_millis = 250;
    let outcome = world.run(spec);
    let (wall, used) = outcome.output.trim().split_once(' ').unwrap_or_else(|| panic!("{outcome:?}"));
    let (wall, used): (f64, f64) = (wall.parse().unwrap(), used.parse().unwrap());
    assert!(wall > 0.8, "300 ms of CPU at a quarter of one took {wall} s");
    let reported = Duration::from_micros(outcome.exit.usage.cpu_micros).as_secs_f64();
    assert!((used..used + 0.7).contains(&reported), "{used} s used: {outcome:?}");
}

fn large_files(world: &World) {
    let script = "
block = b'x' * 1_000_000
with open('/tmp/large', 'wb') as file:
    for _ in range(500): file.write(block)
with open('/tmp/large', 'rb') as file:
    total = 0
    while data := file.read(1_000_000): total += len(data)
print(total)";
    let mut spec = common::python(script, Layers::ALL);
    spec.limits.memory_bytes = 128 << 20;
    let outcome = world.run(spec);
    assert_eq!(outcome.output, "500000000\n", "{outcome:?}");
    assert!(!outcome.exit.out_of_memory);
}

/// All bytes of the size fit into one file; not a block more than a file system needs to keep account of them.
fn full(world: &World) {
    let script = "
import errno, sys
size, block, total = int(sys.argv[1]), b'x' * (1 << 20), 0
try:
    with open('/tmp/large', 'wb', buffering=0) as file:
        while True: total += file.write(block)
except OSError as error: print(errno.errorcode[error.errno], total - size)";
    for megabytes in [512, 64, 1000] {
        let mut spec = common::python(script, Layers::ALL);
        spec.process.argv.push((megabytes << 20).to_string());
        spec.tmp_bytes = megabytes << 20;
        spec.limits.memory_bytes = 128 << 20;
        let outcome = world.run(spec);
        let (name, over) = outcome.output.trim().split_once(' ').unwrap_or_else(|| panic!("{outcome:?}"));
        assert_eq!(name, "ENOSPC", "{outcome:?}");
        let over: i64 = over.parse().unwrap();
        println!("    {megabytes} MiB: full {over} bytes after its size");
        assert!((0..1 << 20).contains(&over), "{over} bytes more than {megabytes} MiB");
        assert!(!outcome.exit.out_of_memory, "{outcome:?}");
    }
}

fn images(world: &World) {
    let took = |bytes: u64| {
        let mut spec = common::python("import os; print(os.statvfs('/tmp').f_blocks > 0)", Layers::ALL);
        spec.tmp_bytes = bytes;
        let begin = Instant::now();
        let (sandbox, output) = world.start(spec).unwrap();
        let took = begin.elapsed();
        assert_eq!(world.finish(&sandbox, output).output, "True\n");
        took
    };
    let (new, known, usual) = (took(2000 << 20), took(2000 << 20), took(512 << 20));
    world.handle.expect_scratch(3000 << 20);
    let formats = || {
        let running = std::process::Command::new("pgrep").args(["-f", "mkfs.ext4"]).output().unwrap();
        !running.stdout.is_empty()
    };
    common::eventually(Duration::from_secs(10), || !formats());
    println!("    a new size {new:?}, known {known:?}, announced {:?}, usual {usual:?}", took(3000 << 20));
}

fn private(world: &World) {
    let (first, output) = world
        .start(common::python(
            "open('/tmp/mine', 'w').close()\nprint(1)\nimport time; time.sleep(60)",
            Layers::ALL,
        ))
        .unwrap();
    let second = world.python("import os; print(os.listdir('/tmp'))", Layers::ALL);
    assert_eq!(second.output, "[]\n");
    world.runtime.block_on(first.stop(Duration::ZERO));
    drop(output);
}

fn first_to_go(world: &World) {
    let script = "
import os
file = os.open('/proc/self/oom_score_adj', os.O_RDWR)
print(int(os.read(file, 10)))
try: os.pwrite(file, b'-1', 0)
except PermissionError: print('refused')";
    assert_eq!(world.python(script, Layers::ALL).output, "500\nrefused\n");
    // Without CAP_SYS_RESOURCE the broker cannot keep it from becoming its own equal.
    let broker = std::fs::read_to_string(format!("/proc/{}/oom_score_adj", world.broker)).unwrap();
    assert!(broker.trim().parse::<i32>().unwrap() < 500, "{broker}");
}

fn open_files(world: &World) {
    let script = "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE), resource.getrlimit(resource.RLIMIT_CORE))";
    assert_eq!(world.python(script, Layers::ALL).output, "(1024, 1024) (0, 0)\n");
}
