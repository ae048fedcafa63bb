//! The reduced mode, and rootless: what holds without the host's rights.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test's panic is its verdict"
)]

use std::io::BufRead;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::Duration;

use sandbox::Isolation;
use sandbox::handle::{Channels, Status};
use sandbox::spec::Layers;

use crate::common::ember::Ember;
use crate::common::{self, Anywhere, Case, World};

pub const ANYWHERE: &[Anywhere] = &[
    ("the reduced mode runs a program, finds its port and reports its end", process),
    ("in the reduced mode the descendants end, too", process_descendants),
    ("in the reduced mode an ember runs, and is not forked for a named reason", ember),
];

pub const CASES: &[Case] =
    &[("without the host's rights both modes work, and the broker says what it lacks", unprivileged)];

const NOBODY: &str = "--as-nobody";

fn process() {
    let world = World::with(Isolation::Process, 1);
    let script = "
import socket, sys
s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()
c, a = s.accept(); c.sendall(b'hello'); c.close(); sys.exit(5)";
    let (sandbox, output) = world.start(common::python(script, Layers::PROCESS)).unwrap();
    world.runtime.block_on(async {
        let address = sandbox.listening(None).await.unwrap();
        let mut stream = sandbox.connect(address).await.unwrap();
        let mut text = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut text).await.unwrap();
        assert_eq!(text, "hello");
    });
    assert_eq!(world.finish(&sandbox, output).exit.status, Status::Exited(5));
}

fn process_descendants() {
    let world = World::with(Isolation::Process, 0);
    // Children in sessions of their own, as daemons are.
    let script = "
import os, subprocess
child = subprocess.Popen(['/usr/bin/sleep', '600'], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(child.pid)";
    let outcome = world.python(script, Layers::PROCESS);
    let gone = |text: &str| {
        let path = format!("/proc/{}", text.trim());
        common::eventually(Duration::from_secs(10), || !std::path::Path::new(&path).exists())
    };
    assert!(gone(&outcome.output), "{outcome:?}");
    let waiting = format!("{script}\nimport time; time.sleep(600)");
    let (mut read, write) = std::io::pipe().unwrap();
    let channels = Channels { output: write.into(), frames: None };
    let spec = common::python(&waiting, Layers::PROCESS);
    let sandbox = world.runtime.block_on(world.handle.start(spec, channels)).unwrap();
    let mut line = String::new();
    std::io::BufReader::new(&mut read).read_line(&mut line).unwrap();
    world.runtime.block_on(sandbox.stop(Duration::from_secs(5)));
    assert!(gone(&line), "{line}");
}

fn ember() {
    let world = World::with(Isolation::Process, 0);
    let ember = Ember::with(&world, common::ember::spec(Layers::PROCESS, &[("OPEN", "1")]));
    let vetoes = ember.sharing(&world).vetoes;
    assert_eq!(vetoes, ["embers need namespaces, and this server runs without"]);
    let error = ember.try_fork(&world, &[]).err().unwrap();
    assert_eq!(error.to_string(), "fork: embers need namespaces, and this server runs without");
    drop(ember);
}

/// The same, as a user with no right at all.
fn unprivileged(_: &World) {
    let status = Command::new("/proc/self/exe")
        .arg(NOBODY)
        .env("TMPDIR", "/tmp")
        .current_dir("/")
        .uid(65534)
        .gid(65534)
        .status()
        .unwrap();
    assert!(status.success());
}

/// The process behind [`unprivileged`].
pub fn run_if_nobody() -> Option<ExitCode> {
    if std::env::args().nth(1).as_deref() != Some(NOBODY) {
        return None;
    }
    process();
    process_descendants();
    let found = sandbox::probe();
    if let Err(reason) = found.namespaces {
        println!("    not run: rootless namespaces, which this host refuses ({reason})");
        return Some(ExitCode::SUCCESS);
    }
    assert!(found.rootless);
    assert!(found.scratch.is_err(), "loop devices are not for everybody");
    let world = World::new();
    let outcome =
        world.python("import os; print(os.getuid(), os.getpid(), os.path.exists('/home'))", Layers::ALL);
    assert_eq!(outcome.output, "1000 3 False\n");
    let server = "
import socket
s = socket.socket(); s.bind(('127.0.0.1', 5000)); s.listen()
c, a = s.accept(); c.sendall(b'rootless'); c.close()";
    let (sandbox, output) = world.start(common::python(server, Layers::ALL)).unwrap();
    world.runtime.block_on(async {
        let address = sandbox.listening(None).await.unwrap();
        let mut text = String::new();
        let mut stream = sandbox.connect(address).await.unwrap();
        tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut text).await.unwrap();
        assert_eq!(text, "rootless");
        assert_eq!(sandbox.meter().cpu_micros().is_some(), found.limits.is_ok(), "measured where limited");
        sandbox.stop(Duration::from_secs(5)).await;
    });
    output.text();
    let ember = Ember::with(&world, common::ember::spec(Layers::ALL, &[]));
    let vetoes = ember.sharing(&world).vetoes;
    assert!(vetoes[0].starts_with("embers need a broker with root's rights"), "{vetoes:?}");
    println!("    rootless: limits {:?}", found.limits);
    Some(ExitCode::SUCCESS)
}
