//! Power cuts at any moment, under a whole server: what the API acknowledged is there when the server is
//! started on what was on disk, whatever else was written and not synced (`testkit::powercut`).
//!
//! The broker is not on the layer: it writes nothing that has to last.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's panic is its verdict")]

mod fixture;
mod powercut;

use std::path::Path;
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use fixture::{HELLO, SOON, deploy, host, rounds, world};
use powercut::look::{differences, misbehaviour};
use powercut::work::{Functions, Work};
use testkit::powercut::{Layer, Luck};
use testkit::{Load, World, is_alive, wait_until};

static LAYER: LazyLock<Layer> =
    LazyLock::new(|| Layer::compile(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap());

#[test]
fn nothing_acknowledged_is_lost_when_the_power_goes() {
    let mut world = world().on_layer(&LAYER).start().unwrap();
    deploy(&world, "hello", HELLO, &[]);
    let (mut known, mut acknowledged) = (Functions::new(), 0);
    for round in 0..rounds(6, 60) {
        let load = Load::start(world.ready().gateway, &host("hello"), "/", 1);
        let work = Work::start(&world, &known, round as u64);
        wait_until(SOON, "the server is at work", || work.answered() >= 40 && load.answered() > 0).unwrap();
        // A different moment each round.
        thread::sleep(Duration::from_millis(11 * (round as u64 % 17)));
        end(&mut world, round);
        acknowledged += work.answered();
        known = work.stop();
        let _failed_of_course = load.stop();
        if round % 2 == 1 {
            // What a server shows after a mere kill has to be durable as well: it can be relied on from then.
            world.restart().unwrap();
            check(&world, &mut known, round);
            end(&mut world, 0);
        }
        world.cut_power(luck(round)).unwrap();
        world.restart().unwrap();
        check(&world, &mut known, round);
        assert_eq!(world.get(&host("hello"), "/").unwrap().text(), "hello", "round {round}");
        assert_eq!(misbehaviour(&world, &known, round), [""; 0], "round {round}");
    }
    let alive = known.values().filter(|known| known.acknowledged.is_some()).count();
    assert!(alive > 3, "only {alive} functions are left after {acknowledged} acknowledged requests");
    println!("{acknowledged} requests acknowledged, {alive} functions left");
}

#[test]
fn control_code_that_is_not_synced_is_lost() {
    // Zips and trees are written here and then renamed.
    let lost = lost_to_lies("/tmp/");
    assert!(lost.iter().any(|line| line.contains("zip")), "{lost:#?}");
}

#[test]
fn control_names_that_are_not_synced_are_lost() {
    let lost = lost_to_lies("/blobs/");
    assert!(lost.iter().any(|line| line.contains("zip cannot be read")), "{lost:#?}");
}

#[test]
fn control_records_that_are_not_synced_are_lost() {
    let lost = lost_to_lies("/lambent.db");
    assert!(lost.iter().any(|line| line.contains("is None")), "{lost:#?}");
}

/// What the checks find after a cut on a disk that ignores the syncs of some paths.
fn lost_to_lies(paths: &str) -> Vec<String> {
    let mut world = world().on_layer(&LAYER).env("POWERCUT_LIES", paths).start().unwrap();
    let work = Work::start(&world, &Functions::new(), 0);
    wait_until(SOON, "the server is at work", || work.answered() >= 20).unwrap();
    end(&mut world, 0);
    let mut known = work.stop();
    world.cut_power(Luck::Nothing).unwrap();
    match world.restart() {
        Ok(()) => differences(&world, &mut known),
        Err(error) => vec![format!("it does not start: {error:#}")],
    }
}

/// Everything acknowledged is there, nothing half-made is, nothing deleted is.
fn check(world: &World, known: &mut Functions, round: usize) {
    assert_eq!(differences(world, known), [""; 0], "round {round}");
}

/// Ends the server: by its own death, its broker's, both, or in peace.
fn end(world: &mut World, round: usize) {
    let broker = world.ready().broker_pid;
    match round % 4 {
        0 => world.kill_server().map(drop).unwrap(),
        1 => {
            world.kill_broker().unwrap();
            world.wait().map(drop).unwrap();
        }
        2 => {
            world.kill_broker().unwrap();
            world.kill_server().map(drop).unwrap();
        }
        _ => world.stop().map(drop).unwrap(),
    }
    wait_until(SOON, "the broker's end", || !is_alive(broker)).unwrap();
}

/// In turn the worst, the usual, and any.
fn luck(round: usize) -> Luck {
    match round % 3 {
        0 => Luck::Nothing,
        1 => Luck::Names,
        _ => Luck::Chance(round as u64),
    }
}
