//! An ember of the tests (`programs/ember.py`), and its instances: each runs what it is told over its frames.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    dead_code,
    reason = "a test's panic is its verdict"
)]

use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use sandbox::handle::{Channels, Sandbox, Sharing, StartError};
use sandbox::spec::{Layers, Spec};

use super::{Output, World};

/// How long an ember or an instance may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program that was started as an ember and has said that it is ready.
pub struct Ember {
    pub sandbox: Sandbox,
    pub frames: UnixStream,
    pub output: Output,
}

/// An instance of it.
pub struct Forked {
    pub sandbox: Sandbox,
    pub output: Output,
    frames: BufReader<UnixStream>,
}

// === impl Ember ===

impl Ember {
    /// With every layer, and variables besides.
    pub fn start(world: &World, variables: &[(&str, &str)]) -> Self {
        Self::with(world, spec(Layers::ALL, variables))
    }

    /// With any spec of [`spec`]'s kind. Waits until it is ready.
    pub fn with(world: &World, spec: Spec) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let channels = Channels { output: write, frames: Some(theirs.into()) };
        let sandbox = world.runtime.block_on(world.handle.start(spec, channels)).unwrap();
        let output = Output::collect(read);
        ours.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut line = String::new();
        let heard = BufReader::new(ours.try_clone().unwrap()).read_line(&mut line);
        if line != "ready\n" {
            drop(sandbox);
            panic!("the ember is not ready: {heard:?}, {line:?}, it wrote {:?}", output.text());
        }
        Self { sandbox, frames: ours, output }
    }

    /// What the broker says of it.
    pub fn sharing(&self, world: &World) -> Sharing {
        world.runtime.block_on(self.sandbox.sharing())
    }

    /// An instance, or why there is none.
    pub fn try_fork(&self, world: &World, variables: &[(&str, &str)]) -> Result<Forked, StartError> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let channels = Channels { output: write, frames: Some(OwnedFd::from(theirs)) };
        let variables = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let sandbox = world.runtime.block_on(self.sandbox.fork(channels, variables))?;
        ours.set_read_timeout(Some(PATIENCE)).unwrap();
        Ok(Forked { sandbox, output: Output::collect(read), frames: BufReader::new(ours) })
    }

    pub fn fork(&self, world: &World) -> Forked {
        self.try_fork(world, &[]).unwrap()
    }
}

// === impl Forked ===

impl Forked {
    /// Sends a script and does not wait for it.
    pub fn tell(&mut self, script: &str) {
        let text = script.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        self.frames.get_mut().write_all(format!("\"{text}\"\n").as_bytes()).unwrap();
    }

    /// Runs a script in it: what it leaves in `answer`, as JSON, or its error.
    pub fn run(&mut self, script: &str) -> String {
        self.tell(script);
        self.heard()
    }

    /// The next answer.
    pub fn heard(&mut self) -> String {
        let mut line = String::new();
        self.frames.read_line(&mut line).expect("the instance answers");
        line.trim_end().to_owned()
    }
}

/// The program of an ember of the tests.
pub const PROGRAM: &str = include_str!("programs/ember.py");

/// The spec of an ember of the tests.
pub fn spec(layers: Layers, variables: &[(&str, &str)]) -> Spec {
    let mut spec = super::spec(&[super::PYTHON, "-u", "-I", "-S", "-c", PROGRAM], layers);
    spec.ember = true;
    spec.process.environment.push(("LAMBENT_EMBER_FD".to_owned(), "4".to_owned()));
    for &(name, value) in variables {
        spec.process.environment.push((name.to_owned(), value.to_owned()));
    }
    spec
}
