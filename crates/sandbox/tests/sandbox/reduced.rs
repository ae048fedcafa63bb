//! The reduced mode, and rootless: what holds without the host's rights.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test's panic is its verdict")]

use std::io::BufRead;
use std::time::Duration;

use sandbox::Isolation;
use sandbox::handle::{Channels, Status};
use sandbox::spec::Layers;

use crate::common::{self, Case, World};

pub const CASES: &[Case] = &[
    ("the reduced mode runs a program, finds its port and reports its end", process),
    ("in the reduced mode the descendants end, too", process_descendants),
];

fn process(_: &World) {
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

fn process_descendants(_: &World) {
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
