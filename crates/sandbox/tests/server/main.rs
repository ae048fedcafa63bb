//! Attacks of a server that was taken over: each refused once the server has given up its privileges and is
//! confined, and each shown to succeed where it is not.
//!
//! Every attack is a process of its own, this executable again, which does to itself what a server does before
//! it has threads and then tries. The control runs the same code with the capabilities given up and no
//! confinement (or, for what takes a capability, with neither): it must succeed, or its refusal says nothing.
//! No sandbox is made except in `serves`, so all but that needs no namespaces.
//!
//! Arguments: parts of names to run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs,
    reason = "a test's panic is its verdict, and its items are read here only"
)]

mod attacks;
#[path = "../common/mod.rs"]
mod common;
mod scene;
mod serves;

use std::process::{Command, ExitCode};

use sandbox::Confinement;

use crate::attacks::{ATTACKS, Attack, Needs};
use crate::scene::Scene;

/// First argument of a process that attacks.
const ATTACK: &str = "--attack";

/// What a process does to itself before it attacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Everything that a server does.
    Confined,
    /// The same in the reduced mode.
    Reduced,
    /// Capabilities are given up, and that is all.
    Dropped,
    /// Nothing.
    Privileged,
}

const STATES: [(&str, State); 4] = [
    ("confined", State::Confined),
    ("reduced", State::Reduced),
    ("dropped", State::Dropped),
    ("privileged", State::Privileged),
];

fn main() -> ExitCode {
    if let Some(code) = sandbox::run_if_broker() {
        return code;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some(ATTACK) => return act(&arguments[1], &arguments[2]),
        Some(scene::VICTIM) => return scene::victim(),
        Some(serves::SERVER) => return serves::server(),
        _ => {}
    }
    let parts: Vec<&String> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
    let chosen = |name: &str| parts.is_empty() || parts.iter().any(|part| name.contains(part.as_str()));
    let scene = Scene::new();
    let mut wrong = Vec::new();
    for attack in ATTACKS.iter().filter(|attack| chosen(attack.name)) {
        judge(&scene, attack, &mut wrong);
    }
    for (name, outcome) in [("serves", serves::serves as fn() -> Result<String, String>)] {
        if chosen(name) {
            let outcome = outcome();
            println!("{name:<28} {}", outcome.as_ref().map_or_else(|it| format!("WRONG {it}"), Clone::clone));
            wrong.extend(outcome.err());
        }
    }
    println!("\n{} wrong: {wrong:#?}", wrong.len());
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs an attack and its control, and prints both.
fn judge(scene: &Scene, attack: &Attack, wrong: &mut Vec<String>) {
    let lacking = match attack.needs {
        Needs::Root if !rustix::process::geteuid().is_root() => Some("not root"),
        Needs::Capability if !administers() => Some("no CAP_SYS_ADMIN"),
        Needs::LandlockSignals if scene.landlock < 6 => Some("Landlock before version 6"),
        _ if attack.by_path && scene.landlock < 2 => Some("no Landlock here"),
        _ => None,
    };
    if let Some(lacking) = lacking {
        println!("{:<28} not run: {lacking}", attack.name);
        return;
    }
    let state = if attack.needs == Needs::Capability { State::Privileged } else { State::Dropped };
    let control = run(scene, attack, state);
    let sealed = run(scene, attack, State::Confined);
    let reduced = run(scene, attack, State::Reduced);
    println!("{:<28} {sealed:<18} reduced mode: {reduced:<18} control: {control}", attack.name);
    let mut expect = |what: &str, found: &str, expected: &str| {
        if !expected.split('|').any(|it| it == found) {
            wrong.push(format!("{}, {what}: {found} instead of {expected}", attack.name));
        }
    };
    expect("confined", &sealed, attack.sealed);
    expect("reduced mode", &reduced, attack.reduced.unwrap_or(attack.sealed));
    let lacks = attack.lacking.is_some() && control != "succeeded";
    expect("control", &control, if lacks { &control } else { "succeeded" });
}

/// Whether a control can have the capability that is given up.
fn administers() -> bool {
    let sets = rustix::thread::capabilities(None).unwrap();
    sets.effective.contains(rustix::thread::CapabilitySet::SYS_ADMIN)
}

/// One attack in a process of its own; its verdict.
fn run(scene: &Scene, attack: &Attack, state: State) -> String {
    scene.restore();
    let (word, _) = STATES.iter().find(|(_, each)| *each == state).unwrap();
    let output = Command::new("/proc/self/exe")
        .args([ATTACK, attack.name, word])
        .envs(scene.facts())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    match text.lines().find_map(|line| line.strip_prefix("verdict: ")) {
        Some(verdict) => verdict.to_owned(),
        None => format!("{} {text}{}", output.status, String::from_utf8_lossy(&output.stderr)),
    }
}

/// The process that attacks.
fn act(name: &str, state: &str) -> ExitCode {
    let attack = ATTACKS.iter().find(|attack| attack.name == name).unwrap();
    let (_, state) = STATES.iter().find(|(word, _)| *word == state).unwrap();
    if *state != State::Privileged {
        sandbox::drop_privileges().unwrap();
    }
    if matches!(state, State::Confined | State::Reduced) {
        let directory = std::path::PathBuf::from(scene::fact("DATA"));
        let sockets = *state == State::Reduced;
        let _notes = sandbox::confine(&Confinement { directory: &directory, removed: false, sockets });
    }
    let verdict = match (attack.act)() {
        Ok(()) => "succeeded".to_owned(),
        Err(error) => match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
            Some(rustix::io::Errno::ACCESS) => "EACCES".to_owned(),
            Some(rustix::io::Errno::PERM) => "EPERM".to_owned(),
            Some(rustix::io::Errno::XDEV) => "EXDEV".to_owned(),
            Some(rustix::io::Errno::NOSYS) => "ENOSYS".to_owned(),
            _ => error.to_string(),
        },
    };
    println!("verdict: {verdict}");
    ExitCode::SUCCESS
}
