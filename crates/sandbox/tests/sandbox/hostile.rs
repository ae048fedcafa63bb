//! Embers that break the rules: each is ended with what it has forked, and nothing is left; and the same program without
//! the breach is forked.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's panic is its verdict"
)]

use std::fs;
use std::time::Duration;

use sandbox::handle::{StartError, Status};

use crate::common::ember::Ember;
use crate::common::{Case, World, cgroups_with, eventually};

pub const CASES: &[Case] = &[
    ("an ember that breaks a rule is ended at its newborn's hello", breaches),
    ("an ember that forks twice for one order is ended at the next, and its instance lives on", twice),
    ("an ember that closes its control socket is forked no more", closes),
    ("a newborn that ends before its hello costs this start only", dies),
    ("an ember whose newborn says nothing is ended", silent),
];

const SOON: Duration = Duration::from_secs(10);

/// What is done wrongly, and what is said of it.
const BREACHES: &[(&str, &str)] = &[
    ("own", "the hello came from somebody who is not its child"),
    ("grandchild", "the hello came from somebody who is not its child"),
    ("threads", "its newborn had more than one thread"),
    ("memory", "its newborn shared memory, descriptors or working directory with it"),
    ("files", "its newborn shared memory, descriptors or working directory with it"),
    ("root", "its newborn shared memory, descriptors or working directory with it"),
];

fn kindled(world: &World, hostile: &str) -> Ember {
    let ember = Ember::start(world, &[("HOSTILE", hostile)]);
    assert_eq!(ember.sharing(world).vetoes, Vec::<String>::new());
    ember
}

fn refusal(world: &World, ember: &Ember) -> String {
    match ember.try_fork(world, &[]) {
        Err(StartError::Step { reason, .. }) => reason,
        other => panic!("{:?}", other.map(|_| ())),
    }
}

/// Every process of the sandbox's control groups, the init left out: it goes last.
fn processes(id: &str) -> Vec<String> {
    let groups = cgroups_with(id);
    groups
        .iter()
        .flat_map(|group| {
            let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
}

fn breaches(world: &World) {
    assert_eq!(kindled(world, "").fork(world).run("answer = 1"), "1", "without a breach it is forked");
    for (hostile, expected) in BREACHES {
        let ember = kindled(world, hostile);
        let id = ember.sandbox.id().to_owned();
        let pids = processes(&id);
        assert_eq!(&refusal(world, &ember), expected, "{hostile}");
        let exit = world.runtime.block_on(ember.sandbox.exited());
        assert!(matches!(exit.status, Status::Signaled(_)), "{hostile}: {exit:?}");
        assert!(refusal(world, &ember).contains("ended"), "{hostile}");
        assert!(eventually(SOON, || cgroups_with(&id).is_empty()), "{hostile}: {:?}", cgroups_with(&id));
        assert!(
            eventually(SOON, || pids.iter().all(|pid| !fs::exists(format!("/proc/{pid}")).unwrap())),
            "{hostile}"
        );
    }
}

fn twice(world: &World) {
    let ember = kindled(world, "twice");
    let mut one = ember.fork(world);
    assert_eq!(refusal(world, &ember), "a process runs beside it that is none of its instances");
    world.runtime.block_on(ember.sandbox.exited());
    assert_eq!(one.run("answer = 1"), "1");
    let id = ember.sandbox.id().to_owned();
    drop((one, ember));
    assert!(eventually(SOON, || cgroups_with(&id).is_empty()), "{:?}", processes(&id));
}

fn closes(world: &World) {
    let ember = kindled(world, "closes");
    let first = refusal(world, &ember);
    assert!(
        first.ends_with("it has ended or closed its control socket") || first.ends_with("orders"),
        "{first}"
    );
    world.runtime.block_on(ember.sandbox.exited());
    assert!(refusal(world, &ember).contains("ended"));
}

fn dies(world: &World) {
    let ember = kindled(world, "dies");
    for _ in 0..3 {
        assert_eq!(refusal(world, &ember), "the newborn ended before it was ready: see its output");
    }
    let two_each = || processes(ember.sandbox.id()).len() == 2 * cgroups_with(ember.sandbox.id()).len();
    assert!(eventually(SOON, two_each), "the ember and its init: {:?}", processes(ember.sandbox.id()));
}

fn silent(world: &World) {
    let ember = kindled(world, "silent");
    let id = ember.sandbox.id().to_owned();
    assert_eq!(refusal(world, &ember), "its newborn said nothing for 10 s");
    world.runtime.block_on(ember.sandbox.exited());
    assert!(eventually(SOON, || cgroups_with(&id).is_empty()), "{:?}", processes(&id));
}
