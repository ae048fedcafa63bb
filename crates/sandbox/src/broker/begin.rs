//! The broker from its first instruction to its first packet: it makes itself independent of the server's session,
//! mounts and descriptors, finds out by doing what this host allows, and says so.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{Mode, OFlags};
use rustix::mount::MountPropagationFlags;
use rustix::process::DumpableBehavior;

use super::errand::Errands;
use super::images::Images;
use super::instance::State;
use super::pool::Appetite;
use super::pressure::Gauge;
use super::serve::Broker;
use super::watch::{Kind, Watch};
use crate::cgroup::Tree;
use crate::failure::{At, Failure};
use crate::filter;
use crate::launch::Isolation;
use crate::packet;
use crate::probe::{self, Probe};
use crate::protocol::{Configuration, Event, say};
use crate::root::scratch::Template;
use crate::shell;
use crate::system;

/// How long the first shell may take: it is the proof that sandboxes work here.
const FIRST_SHELL: Duration = Duration::from_secs(10);

/// Signals that are for the server; the broker ends with its socket.
const NOT_OURS: [i32; 5] = [libc::SIGCHLD, libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

/// The life of a broker, on the socket that is its standard input.
pub(crate) fn run() -> ExitCode {
    let server = system::take_descriptor(0);
    match begin(server) {
        Ok(mut broker) => {
            let served = broker.serve();
            broker.end_all();
            if served.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(()) => ExitCode::FAILURE,
    }
}

/// What a broker with this configuration would find here.
pub(crate) fn probe_here(configuration: Configuration) -> Probe {
    let Ok((server, _other)) = packet::pair() else { return Probe::refused("make a socket pair") };
    match set_up(server, configuration) {
        Ok((mut broker, probe)) => {
            broker.end_all();
            probe
        }
        Err((failure, _)) => Probe::refused(&failure.to_string()),
    }
}

fn begin(server: OwnedFd) -> Result<Broker, ()> {
    let configuration = receive_configuration(&server).map_err(|failure| tell_refusal(&server, failure))?;
    match set_up(server, configuration) {
        Ok((mut broker, probe)) => {
            broker.tell(&Event::Ready { probe }, Vec::new());
            Ok(broker)
        }
        Err((failure, server)) => {
            if let Some(server) = server {
                tell_refusal(&server, failure);
            }
            Err(())
        }
    }
}

fn tell_refusal(server: &OwnedFd, failure: Failure) {
    let Failure { step, reason } = failure;
    let _ = say(server, &Event::Refused { step, reason }, &[]);
}

fn receive_configuration(server: &OwnedFd) -> Result<Configuration, Failure> {
    rustix::event::poll(&mut [PollFd::new(server, PollFlags::IN)], None)
        .at(|| "wait for the configuration")?;
    let mut buffer = vec![0; packet::LIMIT];
    let received = packet::receive(server, &mut buffer).at(|| "receive the configuration")?;
    serde_json::from_slice(buffer.get(..received.length).unwrap_or_default()).at(|| "read the configuration")
}

type SetUpFailure = (Failure, Option<OwnedFd>);

fn set_up(server: OwnedFd, configuration: Configuration) -> Result<(Broker, Probe), SetUpFailure> {
    let told = server.try_clone().ok();
    match try_set_up(server, configuration) {
        Ok(ready) => Ok(ready),
        Err(failure) => Err((failure, told)),
    }
}

fn try_set_up(server: OwnedFd, configuration: Configuration) -> Result<(Broker, Probe), Failure> {
    separate()?;
    let rootless = match configuration.isolation {
        Isolation::Namespaces => own_mounts()?,
        Isolation::Process => false,
    };
    let filters =
        filter::compile().map_err(|reason| Failure::new("compile the system call filter", reason))?;
    let ember_filters = filter::compile_for_embers()
        .map_err(|reason| Failure::new("compile the system call filter of embers", reason))?;
    shell::make_place(&configuration.directory)
        .at(|| format!("make a directory in {}", configuration.directory.display()))?;
    let tree = Tree::make(&configuration.name).map_err(|failure| failure.to_string());
    let template = match configuration.isolation {
        Isolation::Namespaces => {
            Template::make(&configuration.directory).map_err(|failure| failure.to_string())
        }
        Isolation::Process => Err("not used without namespaces".to_owned()),
    };
    let mut found = Probe {
        namespaces: Ok(()),
        rootless,
        limits: tree.as_ref().map(Tree::describe).map_err(Clone::clone),
        scratch: template.as_ref().map(drop).map_err(Clone::clone),
        listen_notify: probe::listen_notify(),
        landlock: probe::landlock(),
        embers: probe::embers(configuration.isolation, rootless),
    };
    let embers = found.embers.clone();
    let resources = Resources { rootless, filters, ember_filters, embers, tree, template: template.ok() };
    let mut broker = assemble(server, configuration, resources)?;
    prove(&mut broker, &mut found)?;
    broker.refills = true;
    Ok((broker, found))
}

/// What was found out and made before there is a broker.
struct Resources {
    rootless: bool,
    filters: Vec<filter::Program>,
    ember_filters: Vec<filter::Program>,
    embers: Result<(), String>,
    tree: Result<Tree, String>,
    template: Option<Template>,
}

fn assemble(server: OwnedFd, configuration: Configuration, resources: Resources) -> Result<Broker, Failure> {
    let Resources { rootless, filters, ember_filters, embers, tree, template } = resources;
    let watch = Watch::new().at(|| "make an epoll set")?;
    let children = system::signal_descriptor(&[libc::SIGCHLD]).at(|| "watch children")?;
    let gauge = Gauge::open(&watch);
    let appetite = Appetite::new(configuration.pool, Instant::now());
    Ok(Broker {
        server: watch.add(server, 0, Kind::Server).at(|| "watch the server")?,
        children: watch.add(children, 0, Kind::Children).at(|| "watch children")?,
        watch,
        configuration,
        home: open_home().at(|| "open the network namespace")?,
        rootless,
        tree,
        template,
        filters,
        ember_filters,
        embers,
        mover: None,
        mover_failures: 0,
        instances: std::collections::BTreeMap::new(),
        idle: std::collections::VecDeque::new(),
        dying: Vec::new(),
        outbox: std::collections::VecDeque::new(),
        blocked: false,
        next: 1,
        // The first shell is the proof; the pool is filled when it is given.
        refills: false,
        appetite,
        gauge,
        images: Images::default(),
        errands: Errands::default(),
        failures: 0,
        last_failure: None,
    })
}

/// Makes one shell and waits for it: whether sandboxes work here is found by doing. Without loop devices it tries
/// again with `/tmp` in memory.
fn prove(broker: &mut Broker, probe: &mut Probe) -> Result<(), Failure> {
    let Err(failure) = first_shell(broker) else { return Ok(()) };
    if broker.template.take().is_some() {
        probe.scratch = Err(failure.to_string());
        broker.failures = 0;
        return first_shell(broker);
    }
    Err(failure)
}

fn first_shell(broker: &mut Broker) -> Result<(), Failure> {
    broker.spawn_pooled()?;
    let deadline = Instant::now() + FIRST_SHELL;
    let mut buffer = vec![0; packet::LIMIT];
    while broker.idle.is_empty() {
        if let Some(failure) = broker.last_failure.take() {
            return Err(failure);
        }
        if Instant::now() > deadline {
            return Err(Failure::new("make a first sandbox", "it was not ready within 10 s"));
        }
        if !broker.step(&mut buffer).at(|| "make a first sandbox")? {
            return Err(Failure::new("make a first sandbox", "the server is gone"));
        }
    }
    if broker.configuration.pool == 0 {
        for instance in broker.instances.values_mut() {
            instance.state = State::Ending;
            instance.kill();
        }
        broker.idle.clear();
    }
    Ok(())
}

/// Leaves the server's session, and inherits nothing by accident.
fn separate() -> Result<(), Failure> {
    let _ = rustix::process::setsid();
    rustix::thread::set_name(c"lambent-broker").at(|| "take a name")?;
    system::close_on_exec_from(0).at(|| "close descriptors at exec")?;
    system::mask_signals(Some(&NOT_OURS)).at(|| "block signals")?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .at(|| "hide the broker's memory")?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).at(|| "adopt orphans")?;
    rustix::process::chdir("/").at(|| "change to /")?;
    system::raise_open_files().at(|| "raise the limit of open files")
}

/// Own mounts: nothing that happens here is seen by the host, and all of it goes with the broker. Without the
/// right to that, in a user namespace of one id. True: rootless.
fn own_mounts() -> Result<bool, Failure> {
    let rootless = match system::unshare(libc::CLONE_NEWNS) {
        Ok(()) => false,
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            own_ids()?;
            true
        }
        Err(error) => return Err(error).at(|| "make a mount namespace"),
    };
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .at(|| "make mounts private")?;
    Ok(rootless)
}

fn own_ids() -> Result<(), Failure> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    // The files that follow belong to the host's root while the process is not dumpable.
    rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable).at(|| "show the broker's files")?;
    // With a network namespace of its own the broker may come back from a sandbox's.
    system::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWNET)
        .at(|| "make a user namespace")?;
    for (file, text) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("0 {uid} 1")),
        ("gid_map", format!("0 {gid} 1")),
    ] {
        fs::write(Path::new("/proc/self").join(file), text).at(|| format!("write {file}"))?;
    }
    Ok(())
}

fn open_home() -> io::Result<OwnedFd> {
    Ok(rustix::fs::open("/proc/self/ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}
