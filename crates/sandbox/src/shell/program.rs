//! From the fork of the program to its exec: descriptors, limits, ids, capabilities, filters, in an order in
//! which each step still has the right to be made.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Resource, Rlimit};

use super::life::Seed;
use crate::failure::{At, Failure};
use crate::filter;
use crate::privileges;
use crate::protocol::{Word, say};
use crate::spec::{Layers, Listen, Spec};
use crate::system::{self, CloneOptions, Forked};

/// The id of a program inside.
pub(super) const USER: u32 = 1000;

/// The first descriptor number that a program does not inherit.
const FIRST_CLOSED: u32 = 4;

/// Starts the program and waits until it is running, or says which step failed.
pub(super) fn start(
    seed: &Seed<'_>,
    spec: &Spec,
    layers: Layers,
    channels: [Option<OwnedFd>; 2],
) -> Result<Pid, Failure> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).at(|| "make a pipe")?;
    // What the exec needs is made here, where there is time for it.
    let words = Words::of(spec).at(|| "read the command line")?;
    match system::clone_process(CloneOptions::default()).at(|| "fork the program")? {
        Forked::Child => {
            drop(read);
            let Err(failure) = become_program(seed, spec, layers, &channels, &words);
            let _ = File::from(write).write_all(&serde_json::to_vec(&failure).unwrap_or_default());
            system::exit_now(127)
        }
        Forked::Parent { pid, .. } => {
            drop((write, channels));
            let mut report = Vec::new();
            File::from(read).read_to_end(&mut report).at(|| "wait for exec")?;
            if report.is_empty() {
                return Ok(pid);
            }
            Err(serde_json::from_slice(&report)
                .unwrap_or_else(|_| Failure::new("start the program", "it was killed")))
        }
    }
}

/// A command line and environment as the kernel wants them.
struct Words {
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

// === impl Words ===

impl Words {
    fn of(spec: &Spec) -> io::Result<Self> {
        let arguments =
            spec.process.argv.iter().map(|word| CString::new(word.as_str())).collect::<Result<_, _>>()?;
        let environment = spec
            .process
            .environment
            .iter()
            .map(|(name, value)| CString::new(format!("{name}={value}")))
            .collect::<Result<_, _>>()?;
        Ok(Self { arguments, environment })
    }
}

/// The child. Returns only if it fails.
fn become_program(
    seed: &Seed<'_>,
    spec: &Spec,
    layers: Layers,
    channels: &[Option<OwnedFd>; 2],
    words: &Words,
) -> Result<std::convert::Infallible, Failure> {
    rustix::process::setsid().at(|| "start a session")?;
    // Out of the way of the numbers that the program gets.
    let control = rustix::io::fcntl_dupfd_cloexec(&seed.control, 64).at(|| "keep the control socket")?;
    place(channels)?;
    limit(spec)?;
    take_identity(seed, layers)?;
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .at(|| "ask to die with the init")?;
    rustix::process::chdir(&spec.process.directory)
        .at(|| format!("change to {}", spec.process.directory.display()))?;
    system::reset_signals();
    system::mask_signals(None).at(|| "unblock signals")?;
    install_filters(seed, spec, layers, &control)?;
    let program =
        words.arguments.first().ok_or_else(|| Failure::new("start the program", "no program is named"))?;
    let error = system::execute(program, &words.arguments, &words.environment);
    Err(Failure::new(format!("execute {}", program.to_string_lossy()), error.to_string()))
}

/// 0 is empty, 1 and 2 are the output, 3 the frames; the rest closes at exec.
fn place(channels: &[Option<OwnedFd>; 2]) -> Result<(), Failure> {
    // All copies first: a source may have one of the numbers.
    let mut sources = Vec::new();
    for channel in channels.iter().flatten() {
        sources.push(rustix::io::fcntl_dupfd_cloexec(channel, 64).at(|| "keep a channel")?);
    }
    let nothing = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .at(|| "open /dev/null")?;
    let nothing = rustix::io::fcntl_dupfd_cloexec(&nothing, 64).at(|| "keep /dev/null")?;
    system::place_descriptor(nothing.as_fd(), 0).at(|| "place the input")?;
    let mut sources = sources.into_iter();
    let output = sources.next().ok_or_else(|| Failure::new("place the output", "there is none"))?;
    for number in [1, 2] {
        system::place_descriptor(output.as_fd(), number).at(|| "place the output")?;
    }
    let mut closed = FIRST_CLOSED;
    match sources.next() {
        Some(frames) => system::place_descriptor(frames.as_fd(), 3).at(|| "place the frames")?,
        None => closed = 3,
    }
    system::close_on_exec_from(closed).at(|| "close the rest at exec")
}

fn limit(spec: &Spec) -> Result<(), Failure> {
    let most = rustix::process::getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let files = u64::from(spec.limits.open_files).min(most);
    for (resource, value, name) in
        [(Resource::Nofile, files, "open files"), (Resource::Core, 0, "core dumps")]
    {
        rustix::process::setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })
            .at(|| format!("limit {name}"))?;
    }
    Ok(())
}

/// Ids and capabilities. With the `user` layer off the program keeps the broker's ids.
fn take_identity(seed: &Seed<'_>, layers: Layers) -> Result<(), Failure> {
    let change = || if seed.layers.user { system::become_user(USER, USER) } else { Ok(()) };
    if layers.capabilities {
        privileges::close_ways_back().at(|| "close ways back to capabilities")?;
        change().at(|| "take the program's ids")?;
        privileges::give_up_all().at(|| "give capabilities up")
    } else {
        privileges::keep_over_ids(change).at(|| "take the program's ids")?;
        privileges::keep_over_exec().at(|| "keep capabilities")
    }
}

fn install_filters(seed: &Seed<'_>, spec: &Spec, layers: Layers, control: &OwnedFd) -> Result<(), Failure> {
    if spec.listen == Listen::Notify {
        let listener = system::install_filter(&filter::listen_notification(), true)
            .at(|| "install the filter that reports listen()")?;
        if let Some(listener) = listener {
            say(control, &Word::Listens, &[listener.as_fd()]).at(|| "hand over the reports of listen()")?;
        }
    }
    if layers.seccomp {
        for program in seed.filters {
            system::install_filter(program, false).at(|| "install the system call filter")?;
        }
    }
    Ok(())
}
