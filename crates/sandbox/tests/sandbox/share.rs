//! How sandboxes share the machine: one weight per owner, less for all of them than for who runs them, and want of
//! memory that is noticed.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test's panic is its verdict")]

use std::time::Duration;

use sandbox::handle::Sandbox;
use sandbox::spec::Layers;

use crate::common::{self, Case, Output, World};

pub const CASES: &[Case] = &[
    ("an owner with many sandboxes has no more of a processor than one with few", owners),
    ("sandboxes together weigh less than the rest of the machine", subordinate),
    ("want of memory is told to the server", pressure),
];

/// Everything on one processor, so that weights decide.
const HOG: &str = "
import os
os.sched_setaffinity(0, {0})
while True: pass";

fn owners(world: &World) {
    let fair = small_owners_part(world, [1, 1, 1, 2]);
    let unfair = small_owners_part(world, [0, 0, 0, 0]);
    println!("    one against three: {:.0} % with an owner, {:.0} % without", fair * 100.0, unfair * 100.0);
    assert!(fair > 0.42, "{fair}");
    assert!(unfair < 0.35, "the control: {unfair}");
}

/// What the last of some hogs has of their CPU time.
fn small_owners_part(world: &World, owners: [u64; 4]) -> f64 {
    let running: Vec<(Sandbox, Output)> = owners
        .iter()
        .map(|&owner| {
            let mut spec = common::python(HOG, Layers::ALL);
            spec.limits.cpu_owner = owner;
            world.start(spec).unwrap()
        })
        .collect();
    let read =
        || -> Vec<u64> { running.iter().map(|(sandbox, _)| sandbox.meter().cpu_micros().unwrap()).collect() };
    let all_run = || read().iter().all(|&micros| micros > 50_000);
    assert!(common::eventually(Duration::from_secs(20), all_run));
    let before = read();
    std::thread::sleep(Duration::from_secs(2));
    let used: Vec<u64> = read().iter().zip(&before).map(|(now, before)| now - before).collect();
    #[expect(clippy::cast_precision_loss, reason = "microseconds of two seconds")]
    let part = *used.last().unwrap() as f64 / used.iter().sum::<u64>() as f64;
    part
}

fn subordinate(world: &World) {
    let trees = common::cgroups_with(&format!("lambent-{}", world.name));
    let weights: Vec<(String, String)> = trees
        .iter()
        .filter(|tree| tree.ends_with(format!("lambent-{}", world.name)))
        .flat_map(|tree| [tree.join("cpu.shares"), tree.join("cpu.weight")])
        .filter_map(|file| Some((file.display().to_string(), std::fs::read_to_string(file).ok()?)))
        .collect();
    assert!(!weights.is_empty());
    for (file, weight) in weights {
        let usual = if file.ends_with("shares") { 1024 } else { 100 };
        assert!(weight.trim().parse::<u32>().unwrap() * 2 < usual, "{file}: {weight}");
    }
}

/// Reads a file over and over that is larger than the memory for its pages.
const THRASH: &str = "
import mmap
with open('/tmp/file', 'wb') as file:
    for _ in range(100): file.write(b'x' * (1 << 20))
file = open('/tmp/file', 'rb')
pages = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
while True: sum(pages[at] for at in range(0, len(pages), 4096))";

fn pressure(world: &World) {
    if std::fs::read("/proc/pressure/memory").is_err() {
        println!("    not run: this kernel has no PSI");
        return;
    }
    let mut pressure = world.handle.pressure();
    assert!(pressure.borrow().some_percent < f32::EPSILON, "none has been told of");
    let mut spec = common::python(THRASH, Layers::ALL);
    spec.limits.memory_bytes = 24 << 20;
    let running: Vec<_> = (0..3).map(|_| world.start(spec.clone()).unwrap()).collect();
    let told = world.runtime.block_on(async {
        let told = pressure.wait_for(|pressure| pressure.some_percent >= 10.0);
        *tokio::time::timeout(common::LONGEST, told).await.unwrap().unwrap()
    });
    assert!(told.total_bytes > told.available_bytes && told.available_bytes > 0, "{told:?}");
    drop(running);
    let calm = world.runtime.block_on(async {
        let calm = pressure.wait_for(|pressure| pressure.some_percent < 1.0);
        *tokio::time::timeout(common::LONGEST, calm).await.unwrap().unwrap()
    });
    println!("    {told:?}, then {calm:?}");
}
