//! Programs that are forked into instances: each is a sandbox of its own, in the namespaces of one.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's panic is its verdict"
)]

use sandbox::handle::Status;

use crate::common::ember::Ember;
use crate::common::{Case, World};

pub const CASES: &[Case] = &[("an ember is forked into instances that answer for themselves", forks)];

fn forks(world: &World) {
    let ember = Ember::start(world, &[("INIT", "held = [1]")]);
    let sharing = ember.sharing(world);
    assert_eq!(sharing.vetoes, Vec::<String>::new());
    let mut one = ember.try_fork(world, &[("NAME", "one")]).unwrap();
    let mut two = ember.try_fork(world, &[("NAME", "two")]).unwrap();
    assert_ne!(one.sandbox.id(), two.sandbox.id());
    let script = "import os; answer = [os.environ['NAME'], os.listdir('/tmp'), os.getcwd()]";
    assert_eq!(one.run(script), "[\"one\", [\"lost+found\"], \"/\"]");
    assert_eq!(two.run(script), "[\"two\", [\"lost+found\"], \"/\"]");
    one.tell("raise SystemExit(7)");
    assert_eq!(world.runtime.block_on(one.sandbox.exited()).status, Status::Exited(7));
    two.run("answer = 1");
    drop(two);
}
