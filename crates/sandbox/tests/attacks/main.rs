//! Attacks against a sandbox, each refused, and each shown to succeed where what refuses it is off.
//!
//! For every attack the same program runs: with all layers on (it must be refused as expected), also in a sandbox that
//! stood by before it was assigned; with all the
//! layers that refuse it off (the positive control: it must succeed, so it does not fail for a wrong
//! reason); and with each of those layers as the only one of them that is on (each must refuse alone).
//!
//! * `table`: the attacks and what is expected of them; `programs/`: what runs;
//! * `contest`: attacks with more than one party, looked at from outside;
//! * `scene`: the targets; `run`: one run; `verdict`: its outcome; `report`: the table at the end.
//!
//! Arguments: parts of names to run. A host that refuses namespaces runs none and lists them all.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs,
    reason = "a test's panic is its verdict, and its items are read here only"
)]

mod attack;
#[path = "../common/mod.rs"]
mod common;
mod contest;
mod forked;
mod report;
mod run;
mod scene;
mod table;
mod verdict;

use std::process::ExitCode;

use sandbox::spec::Layers;

use crate::attack::{Attack, Control};
use crate::report::Row;
use crate::scene::Scene;

fn main() -> ExitCode {
    if let Some(code) = sandbox::run_if_broker() {
        return code;
    }
    let filters: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let chosen = |name: &str| filters.is_empty() || filters.iter().any(|part| name.contains(part.as_str()));
    let attacks: Vec<Attack> = table::attacks().into_iter().filter(|attack| chosen(attack.name)).collect();
    let contests: Vec<_> = contest::CONTESTS.into_iter().filter(|(name, _)| chosen(name)).collect();
    let names: Vec<&str> =
        attacks.iter().map(|attack| attack.name).chain(contests.iter().map(|(name, _)| *name)).collect();
    if std::env::args().any(|word| word == "--list") {
        names.iter().for_each(|name| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    if let Some(reason) = cannot_run() {
        println!("not run: {reason}");
        names.iter().for_each(|name| println!("  {name}"));
        return ExitCode::SUCCESS;
    }
    let mut scene = Scene::new();
    let mut rows: Vec<Row> = attacks.iter().map(|attack| try_out(&scene, attack)).collect();
    rows.extend(contests.iter().map(|(name, contest)| contest(&scene, name)));
    let well = report::print(&rows);
    assert!(scene.victim_is_alive(), "the neighbour did not come through");
    assert!(scene.platform_is_alive(), "the platform's process did not come through");
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Why this host can run none of them.
fn cannot_run() -> Option<String> {
    let found = sandbox::probe();
    if let Err(reason) = found.namespaces {
        return Some(format!("this host refuses namespaces ({reason})"));
    }
    if found.rootless {
        return Some("the controls turn the user layer off, which takes root with CAP_SYS_ADMIN".to_owned());
    }
    found.limits.err().map(|reason| format!("this host refuses limits ({reason})"))
}

/// Every run that one attack needs.
fn try_out(scene: &Scene, attack: &Attack) -> Row {
    let sealed = run::sandboxed(scene, attack, Layers::ALL, None);
    let mut row = Row::new(attack.name, &sealed);
    row.expect("all layers on", &sealed, attack.sealed);
    row.expect("assigned after it stood by", &run::assigned(scene, attack), attack.sealed);
    forked::expect(&mut row, scene, attack);
    let bare = || run::sandboxed(scene, attack, attack.without_refusers(None), None);
    let control = match attack.control {
        Control::LayersOff => bare(),
        Control::Host | Control::Beyond(_) => run::on_host(scene, attack),
        Control::Relaxed(relax) => run::sandboxed(scene, attack, Layers::ALL, Some(relax)),
    };
    row.control(attack, &control);
    if let Control::Beyond(expected) = attack.control {
        let found = bare();
        row.expect("no layer that refuses", &found, expected);
        row.alone.push(("none of them", found.to_string()));
    }
    for &(layer, expected) in attack.refusers {
        let alone = run::sandboxed(scene, attack, attack.without_refusers(Some(layer)), None);
        // Where the host lacks the target, a layer that lets the call through finds nothing either.
        let through = row.not_shown.is_some() && alone == control;
        row.alone(layer, &alone, if through { "" } else { expected });
    }
    row
}
