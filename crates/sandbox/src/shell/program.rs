//! From the fork of the program to its exec: descriptors, limits, ids, capabilities, filters, in an order in
//! which each step still has the right to be made.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use landlock::{ABI, Access, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreated, Scope};
use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Resource, Rlimit};

use super::life::Seed;
use crate::failure::{At, Failure};
use crate::filter;
use crate::privileges;
use crate::protocol::{Kindling, Word, say};
use crate::spec::{Layers, Listen, Spec};
use crate::system::{self, CloneOptions, Forked};

/// The id of a program inside.
pub(super) const USER: u32 = 1000;

/// What a program inherits.
#[derive(Debug)]
pub(super) struct Channels {
    pub(super) output: OwnedFd,
    pub(super) frames: Option<OwnedFd>,
    /// The socket on which an ember gets its orders.
    pub(super) control: Option<OwnedFd>,
}

/// What is started, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan<'a> {
    pub(super) spec: &'a Spec,
    pub(super) layers: Layers,
    pub(super) ember: Kindling,
}

/// A program that runs.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) pid: Pid,
    pub(super) process: OwnedFd,
}

/// Starts the program and waits until it is running, or says which step failed.
pub(super) fn start(seed: &Seed<'_>, plan: &Plan<'_>, channels: Channels) -> Result<Started, Failure> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).at(|| "make a pipe")?;
    // What the exec needs is made here, where there is time for it.
    let words = Words::of(plan.spec).at(|| "read the command line")?;
    // One root with an ember: whatever the init takes later is the ember's, too.
    let options = CloneOptions { share_root: plan.ember == Kindling::Ember, ..CloneOptions::default() };
    match system::clone_process(options).at(|| "fork the program")? {
        Forked::Child => {
            drop(read);
            let Err(failure) = become_program(seed, plan, &channels, &words);
            let _ = File::from(write).write_all(&serde_json::to_vec(&failure).unwrap_or_default());
            system::exit_now(127)
        }
        Forked::Parent { pid, pidfd: process } => {
            drop((write, channels));
            let mut report = Vec::new();
            File::from(read).read_to_end(&mut report).at(|| "wait for exec")?;
            if report.is_empty() {
                return Ok(Started { pid, process });
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
    plan: &Plan<'_>,
    channels: &Channels,
    words: &Words,
) -> Result<std::convert::Infallible, Failure> {
    let spec = plan.spec;
    rustix::process::setsid().at(|| "start a session")?;
    // Out of the way of the numbers that the program gets.
    let control = rustix::io::fcntl_dupfd_cloexec(&seed.control, 64).at(|| "keep the control socket")?;
    place(channels)?;
    limit(spec)?;
    take_identity(seed, plan.layers)?;
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .at(|| "ask to die with the init")?;
    rustix::process::chdir(&spec.process.directory)
        .at(|| format!("change to {}", spec.process.directory.display()))?;
    system::reset_signals();
    system::mask_signals(None).at(|| "unblock signals")?;
    if plan.ember == Kindling::Ember {
        close_domain()?;
    }
    install_filters(seed, plan, &control)?;
    let program =
        words.arguments.first().ok_or_else(|| Failure::new("start the program", "no program is named"))?;
    let error = system::execute(program, &words.arguments, &words.environment);
    Err(Failure::new(format!("execute {}", program.to_string_lossy()), error.to_string()))
}

/// 0 is empty, 1 and 2 are the output, 3 the frames, 4 the orders of an ember; the rest closes at exec.
fn place(channels: &Channels) -> Result<(), Failure> {
    // All copies first: a source may have one of the numbers.
    let keep = |channel: &OwnedFd| rustix::io::fcntl_dupfd_cloexec(channel, 64).at(|| "keep a channel");
    let output = keep(&channels.output)?;
    let frames = channels.frames.as_ref().map(keep).transpose()?;
    let control = channels.control.as_ref().map(keep).transpose()?;
    let nothing = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .at(|| "open /dev/null")?;
    let nothing = keep(&nothing)?;
    let mut closed = 3;
    for (source, number) in [(Some(&nothing), 0), (Some(&output), 1), (Some(&output), 2)]
        .into_iter()
        .chain([(frames.as_ref(), 3), (control.as_ref(), 4)])
    {
        if let Some(source) = source {
            system::place_descriptor(source.as_fd(), number).at(|| format!("place descriptor {number}"))?;
            closed = closed.max(number.unsigned_abs() + 1);
        }
    }
    system::close_on_exec_from(closed).at(|| "close the rest at exec")
}

/// A domain of Landlock around an ember and what comes of it: no signal and no abstract socket leads out, to the init
/// for one, and nobody in it traces who is not. Each newborn makes one more for itself; this one does not need its help.
fn close_domain() -> Result<(), Failure> {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .scope(Scope::from_all(ABI::V6))
        .and_then(Ruleset::create)
        .and_then(RulesetCreated::restrict_self)
        .map(drop)
        .map_err(|error| Failure::new("close a domain of landlock", error.to_string()))
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

fn install_filters(seed: &Seed<'_>, plan: &Plan<'_>, control: &OwnedFd) -> Result<(), Failure> {
    if plan.spec.listen == Listen::Notify {
        let listener = system::install_filter(&filter::listen_notification(), true)
            .at(|| "install the filter that reports listen()")?;
        if let Some(listener) = listener {
            say(control, &Word::Listens, &[listener.as_fd()]).at(|| "hand over the reports of listen()")?;
        }
    }
    if plan.layers.seccomp {
        let more = if plan.ember == Kindling::Ember { seed.ember_filters } else { &[] };
        for program in seed.filters.iter().chain(more) {
            system::install_filter(program, false).at(|| "install the system call filter")?;
        }
    }
    Ok(())
}
