//! How fast shells are made and placed: the pool, starts beyond it, and a burst. Figures are printed, not asserted;
//! what is asserted is that every process of a sandbox is in the sandbox's own groups before its program runs.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a test's panic is its verdict"
)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use sandbox::Isolation;
use sandbox::spec::{Layers, Mount, Spec};

use crate::common::{self, Case, World};

pub const CASES: &[Case] = &[
    ("a program is in its own group of every hierarchy from its first instruction", placed),
    ("the pool holds more shells for a while after a burst, then as many as before", follows),
    ("what starts cost: spaced, in a row, and without a pool", costs),
];

/// Hierarchies of version 1, and the one of version 2.
const HIERARCHIES: [&str; 5] = ["memory", "cpu", "cpuacct", "pids", ""];

fn placed(world: &World) {
    // Without the cgroup namespace it sees its groups as the host does.
    let layers = Layers { cgroup: false, ..Layers::ALL };
    for layers in [layers, layers] {
        let outcome = world.python("print(open('/proc/self/cgroup').read())", layers);
        let mine = format!("/lambent-{}/", world.name);
        let lines: Vec<&str> = outcome.output.lines().filter(|line| line.contains(&mine)).collect();
        let ids: Vec<&str> = lines.iter().filter_map(|line| line.rsplit('/').next()).collect();
        assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{outcome:?}");
        let listed = |controller: &str| {
            lines.iter().any(|line| {
                line.split(':').nth(1).is_some_and(|names| names.split(',').any(|one| one == controller))
            })
        };
        let version_1 = listed("memory");
        assert!(listed(""), "the unified tree: {outcome:?}");
        assert!(!version_1 || HIERARCHIES.iter().all(|&controller| listed(controller)), "{outcome:?}");
    }
}

fn follows(world: &World) {
    let shells = || {
        let groups = common::cgroups_with(&format!("lambent-{}/", world.name));
        let names: BTreeSet<_> = groups.iter().filter_map(|group| group.file_name()).collect();
        names.len()
    };
    assert!(
        common::eventually(common::LONGEST, || shells() == 2),
        "the pool is full before anything happens"
    );
    world.runtime.block_on(async {
        let tasks = tokio_util::task::TaskTracker::new();
        let start = |_| {
            let handle = world.handle.clone();
            tasks.spawn(async move { common::start(&handle, common::python("", Layers::ALL)).await })
        };
        let running: Vec<_> = (0..12).map(start).collect();
        for start in running {
            let (sandbox, output) = start.await.unwrap().unwrap();
            common::finish(&sandbox, output).await;
        }
    });
    let begin = Instant::now();
    assert!(common::eventually(common::LONGEST, || shells() > 2), "it has grown");
    assert!(common::eventually(common::LONGEST, || shells() == 2), "and shrunk");
    println!("    as many as before {} ms after the burst", begin.elapsed().as_millis());
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(shells(), 2);
}

fn costs(world: &World) {
    let spaced = starts(world, 50, Duration::from_millis(50));
    print("50 ms apart, 2 in the pool", &spaced);
    print("the same with twenty mounts more", &starts_of(world, &furnished(), 50, Duration::from_millis(50)));
    let begin = Instant::now();
    let row = starts(world, 50, Duration::ZERO);
    println!("    50 starts in a row: {} ms", begin.elapsed().as_millis());
    print("in a row, 2 in the pool", &row);
    let bare = World::with(Isolation::Namespaces, 0);
    print("50 ms apart, no pool", &starts(&bare, 50, Duration::from_millis(50)));
    let begin = Instant::now();
    print("in a row, no pool", &starts(&bare, 50, Duration::ZERO));
    println!("    50 starts in a row without a pool: {} ms", begin.elapsed().as_millis());
}

/// A spec with as many mounts and files as a function has.
fn furnished() -> Spec {
    let mut spec = common::spec(&["/usr/bin/sleep", "600"], Layers::ALL);
    for number in 0..10 {
        let target = format!("/etc/directory-{number}").into();
        spec.mounts.push(Mount::ReadOnly { source: "/usr/bin".into(), target });
        spec.mounts.push(Mount::File { text: "x".to_owned(), target: format!("/etc/file-{number}").into() });
    }
    spec
}

fn starts(world: &World, count: usize, gap: Duration) -> Vec<u128> {
    starts_of(world, &common::spec(&["/usr/bin/sleep", "600"], Layers::ALL), count, gap)
}

/// Microseconds from the request to the answer, sorted.
fn starts_of(world: &World, spec: &Spec, count: usize, gap: Duration) -> Vec<u128> {
    let mut times = Vec::new();
    world.runtime.block_on(async {
        let mut running = Vec::new();
        for _ in 0..count {
            tokio::time::sleep(gap).await;
            let spec = spec.clone();
            let begin = Instant::now();
            let (sandbox, output) = common::start(&world.handle, spec).await.unwrap();
            times.push(begin.elapsed().as_micros());
            running.push((sandbox, output));
        }
    });
    times.sort_unstable();
    times
}

fn print(what: &str, times: &[u128]) {
    let at = |part: usize| times[times.len() * part / 100];
    println!("    {what}: min {} median {} p90 {} µs", times[0], at(50), at(90));
}
