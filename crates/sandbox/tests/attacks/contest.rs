//! Attacks with more than one party, judged from outside: shares of a processor, what outlives a sandbox,
//! and whether the broker and a neighbour go on while others misbehave.

use std::fs::File;
use std::io::Write;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sandbox::handle::{Channels, Sandbox};
use sandbox::spec::Layers;

use crate::attack::Attack;
use crate::common::{self, eventually};
use crate::report::Row;
use crate::run;
use crate::scene::Scene;
use crate::verdict::Verdict;

/// A contest: it runs everything it needs, controls included.
pub type Contest = fn(&Scene, &str) -> Row;

pub const CONTESTS: [(&str, Contest); 5] = [
    ("processor_share", processor_share),
    ("survivor", survivor),
    ("listen_abuse", listen_abuse),
    ("listen_flood", listen_flood),
    ("all_at_once", all_at_once),
];

const EXHAUSTION: &str = include_str!("programs/exhaustion.py");

/// Many processes against one on one processor: with a sandbox each, the one keeps its half; in one sandbox
/// (the control) it gets what is left over. Other work on the machine changes neither ratio.
fn processor_share(scene: &Scene, name: &str) -> Row {
    const MANY: usize = 12;
    let apart = burn_together(scene, &[1, MANY]);
    let own = apart[0].1 / (apart[0].1 + apart[1].1);
    let together = burn_together(scene, &[MANY + 1]);
    let left = together[0].0 / together[0].1;
    let kept = |share: f64, least: f64| if share >= least { "kept" } else { "lost" };
    let mut row = Row::new(name, &Verdict::Refused(format!("{:.0} % {}", own * 100.0, kept(own, 0.35))));
    row.control = format!("{:.0} % {}", left * 100.0, kept(left, 0.25));
    if own < 0.35 {
        row.wrong.push(format!("the neighbour got {:.0} % of the processor, not half", own * 100.0));
    }
    if left >= 0.25 {
        row.wrong.push(format!("one of {} in one sandbox got {:.0} %", MANY + 1, left * 100.0));
    }
    row
}

/// One sandbox for each number of processes, all burning the same processor at once. For each sandbox: the
/// time of its first process and of all, in thousandths of a second.
fn burn_together(scene: &Scene, counts: &[usize]) -> Vec<(f64, f64)> {
    let mut attack = Attack::new("processor_shared", EXHAUSTION, "", &[]);
    attack.setting = |setting| {
        setting.facts.push(("SECONDS", "2".to_owned()));
        setting.facts.push(("PROCESSOR", "0".to_owned()));
    };
    let mut running = Vec::new();
    for count in counts {
        let mut spec = run::setting(scene, &attack, Layers::ALL).spec;
        spec.process.environment.push(("FACT_PROCESSES".to_owned(), count.to_string()));
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let (wait, go) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let channels = Channels { output: write, frames: Some(wait) };
        let sandbox = scene.world.runtime.block_on(scene.world.handle.start(spec, channels)).unwrap();
        running.push((sandbox, run::collect(read), go));
    }
    for (_, _, go) in &running {
        File::from(go.try_clone().unwrap()).write_all(b"!").unwrap();
    }
    let finished = running.into_iter().map(|(sandbox, output, _go)| {
        scene.world.runtime.block_on(sandbox.exited());
        output.join().unwrap()
    });
    let numbers = |text: String| {
        let line = text
            .lines()
            .find(|line| line.starts_with("first "))
            .unwrap_or_else(|| panic!("{text}"))
            .to_owned();
        let words: Vec<&str> = line.split(' ').collect();
        (words[1].parse::<f64>().unwrap(), words[3].parse::<f64>().unwrap())
    };
    finished.map(numbers).collect()
}

/// A daemon tries to outlive its sandbox; on the host (the control) it does.
fn survivor(scene: &Scene, name: &str) -> Row {
    let mut attack = Attack::new("survivor", EXHAUSTION, "", &[]);
    attack.setting = |setting| {
        setting.facts.push(("SECONDS", "20".to_owned()));
        setting.facts.push(("NAME", survivor_name()));
    };
    let inside = run::sandboxed(scene, &attack, Layers::ALL, None);
    let outlived = living(&survivor_name());
    let mut row = Row::new(name, &Verdict::Refused("gone with it".to_owned()));
    row.expect("inside", &inside, "succeeded");
    if !outlived.is_empty() {
        "still there".clone_into(&mut row.sealed);
        row.wrong.push(format!("after the sandbox had ended there still was {outlived:?}"));
    }
    let outside = run::on_host(scene, &attack);
    row.expect("control", &outside, "succeeded");
    // The daemon takes its name a moment after the program has ended.
    let lives = eventually(Duration::from_secs(5), || !living(&survivor_name()).is_empty());
    row.control = if lives { "succeeded".to_owned() } else { "gone".to_owned() };
    if !lives {
        row.wrong.push("control: the daemon did not survive on the host either".to_owned());
    }
    for number in living(&survivor_name()) {
        let process = rustix::process::Pid::from_raw(number).unwrap();
        let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
    }
    row
}

/// At most 15 bytes, as the kernel cuts names there.
fn survivor_name() -> String {
    format!("outlive-{}", std::process::id() % 1_000_000)
}

fn living(name: &str) -> Vec<i32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|number: &i32| {
            std::fs::read_to_string(format!("/proc/{number}/comm")).is_ok_and(|found| found.trim() == name)
        })
        .collect()
}

/// Reports of `listen()` about everything but listening sockets, raced by close: the broker goes on.
fn listen_abuse(scene: &Scene, name: &str) -> Row {
    let abuse = Attack::new("listen_abuse", EXHAUSTION, "", &[]);
    let inside = run::sandboxed(scene, &abuse, Layers::ALL, None);
    let mut row = Row::new(name, &Verdict::Refused("the broker goes on".to_owned()));
    row.expect("inside", &inside, "succeeded");
    row.control = serves(scene, &mut row.wrong);
    row
}

/// Four sandboxes keep the broker busy with reports. A newcomer still starts, and soon; and what the server
/// remembers of the reports (here: this process) does not grow with their number.
fn listen_flood(scene: &Scene, name: &str) -> Row {
    const SOON: Duration = Duration::from_secs(3);
    // Remembering every report costs 300 KiB to some MiB here, depending on the machine's other work.
    const GROWTH: u64 = 192 << 10;
    let flood = Attack::new("listen_flood", EXHAUSTION, "", &[]);
    let facts = [("PROCESSES", 16), ("SECONDS", 6)];
    let running: Vec<_> = (0..4).map(|_| begin(scene, &flood, &facts)).collect();
    let mut row = Row::new(name, &Verdict::Refused("the broker goes on".to_owned()));
    let began = Instant::now();
    row.control = serves(scene, &mut row.wrong);
    let took = began.elapsed();
    if took > SOON {
        row.wrong.push(format!("a newcomer took {took:?}"));
    }
    let before = resident_bytes();
    for (sandbox, output) in running {
        let exit = scene.world.runtime.block_on(sandbox.exited());
        row.expect("a flood", &Verdict::of(&output.join().unwrap(), Some(&exit)), "succeeded");
    }
    let grown = resident_bytes().saturating_sub(before);
    row.control.push_str(&format!(", {} KiB kept", grown >> 10));
    if grown > GROWTH {
        row.wrong.push(format!("the server's memory grew by {} KiB", grown >> 10));
    }
    row
}

/// Memory of this process.
fn resident_bytes() -> u64 {
    let numbers = std::fs::read_to_string("/proc/self/statm").unwrap();
    numbers.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// Everything that uses something up, at once, four times; meanwhile a newcomer starts and runs.
fn all_at_once(scene: &Scene, name: &str) -> Row {
    const BAD: [(&str, u64); 5] = [
        ("fork_bomb", 10_000),
        ("memory_bomb", 1 << 30),
        ("disk_fill", 1 << 30),
        ("shared_memory_fill", 1 << 30),
        ("processor_hog", 1_000_000),
    ];
    let mut running = Vec::new();
    for (attack, goal) in BAD.iter().cycle().take(4 * BAD.len()) {
        let facts = [("GOAL", *goal), ("ROOM", 512 << 20), ("PROCESSES", 8), ("SECONDS", 3)];
        let (sandbox, output) = begin(scene, &Attack::new(attack, EXHAUSTION, "", &[]), &facts);
        running.push((*attack, sandbox, output));
    }
    let mut row = Row::new(name, &Verdict::Refused("each for itself".to_owned()));
    row.control = serves(scene, &mut row.wrong);
    for (attack, sandbox, output) in running {
        let exit = scene.world.runtime.block_on(sandbox.exited());
        let verdict = Verdict::of(&output.join().unwrap(), Some(&exit));
        if !matches!(verdict, Verdict::Refused(_) | Verdict::Killed(_)) {
            row.wrong.push(format!("{attack}: {verdict}"));
        }
    }
    row
}

/// Starts a program with all layers and these facts, and does not wait for it.
fn begin(scene: &Scene, attack: &Attack, facts: &[(&str, u64)]) -> (Sandbox, JoinHandle<String>) {
    let mut spec = run::setting(scene, attack, Layers::ALL).spec;
    for (name, value) in facts {
        spec.process.environment.push((format!("FACT_{name}"), value.to_string()));
    }
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let start = scene.world.handle.start(spec, Channels { output: write, frames: None });
    (scene.world.runtime.block_on(start).unwrap(), run::collect(read))
}

/// Whether a newcomer starts, says something and ends, and the old neighbour is still there.
fn serves(scene: &Scene, wrong: &mut Vec<String>) -> String {
    let begin = Instant::now();
    let newcomer = scene.world.run(common::python("print('here')", Layers::ALL));
    if newcomer.output.trim() != "here" {
        wrong.push(format!("a newcomer was disturbed: {newcomer:?}"));
    }
    if !scene.victim_is_alive() {
        wrong.push("the neighbour did not come through".to_owned());
    }
    format!("a newcomer ran in {} ms", begin.elapsed().as_millis())
}
