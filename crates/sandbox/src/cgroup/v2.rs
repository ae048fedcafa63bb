//! Names and units of version 2, and its rule that a group with processes has no controlled children.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::group::{Files, number, number_after};
use crate::failure::{At, Failure};
use crate::handle::Usage;
use crate::meter::Clock;
use crate::spec::Limits;

/// Microseconds over which CPU time is counted.
const PERIOD: u64 = 100_000;

/// What limits need.
const CONTROLLERS: [&str; 3] = ["memory", "cpu", "pids"];

/// Where the server and the broker go, so that their own group may have controlled children.
const LEAF: &str = "lambent-processes";

/// The groups below which ours may be, the best first: our own, then those around it as far as they are shown.
/// A process that [`delegate`] has moved to the leaf belongs to the group around that.
pub(super) fn candidates(own: &Path) -> Vec<PathBuf> {
    let own = own.parent().filter(|_| own.file_name().is_some_and(|name| name == LEAF)).unwrap_or(own);
    let around = own.ancestors().skip(1).take_while(|group| group.join("cgroup.controllers").exists());
    std::iter::once(own).chain(around).map(Path::to_path_buf).collect()
}

/// Finds the first candidate that may have children with limits, and makes it able to.
///
/// 1. Our own group, if it holds no process but the server and the broker; they move to a leaf (a service with a
///    delegated group).
/// 2. A group around it: `lambent serve` typed into a shell shares the shell's group. Takes root.
/// 3. Our own with everybody in it, if nothing is shown around it: it is a container's, and so are they.
pub(super) fn delegate(candidates: &[PathBuf]) -> Result<&Path, Failure> {
    let [own, around @ ..] = candidates else {
        return Err(Failure::new("find control groups", "cgroup v2 is not mounted where its groups are"));
    };
    let refused = match enable_alone(own) {
        Ok(()) => return Ok(own),
        Err(failure) => failure,
    };
    if let Some(group) = around.iter().find(|group| enable(group).is_ok()) {
        return Ok(group);
    }
    if around.is_empty() && enable_with_all(own).is_ok() {
        return Ok(own);
    }
    Err(refused)
}

fn enable_alone(own: &Path) -> Result<(), Failure> {
    let Err(failure) = enable(own) else { return Ok(()) };
    let server = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    let ours = [server, rustix::process::getpid().as_raw_nonzero().get()];
    let inside = processes(own);
    if !inside.iter().all(|pid| ours.contains(pid)) {
        return Err(Failure::new(
            format!("enable limits in {}", own.display()),
            "other processes are in this control group, too; start the server in one of its own \
             (systemd-run --scope -p Delegate=yes, with --user if not as root)",
        ));
    }
    if !provides_all(own) {
        return Err(failure);
    }
    move_to_leaf(own, &inside)?;
    enable(own)
}

/// Moves everybody, and who was born meanwhile.
fn enable_with_all(own: &Path) -> Result<(), Failure> {
    const ROUNDS: usize = 10;
    if provides_all(own) {
        for _ in 0..ROUNDS {
            move_to_leaf(own, &processes(own))?;
            if enable(own).is_ok() {
                return Ok(());
            }
        }
    }
    enable(own)
}

fn move_to_leaf(own: &Path, processes: &[i32]) -> Result<(), Failure> {
    let leaf = own.join(LEAF);
    match fs::create_dir(&leaf) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(error).at(|| format!("make {}", leaf.display()));
        }
        _ => {}
    }
    for pid in processes {
        match fs::write(leaf.join("cgroup.procs"), pid.to_string()) {
            // It has ended meanwhile.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
            done => done.at(|| format!("move process {pid} to {}", leaf.display()))?,
        }
    }
    Ok(())
}

fn processes(group: &Path) -> Vec<i32> {
    let list = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    list.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Whether the group itself was given every controller that limits need.
fn provides_all(group: &Path) -> bool {
    let given = fs::read_to_string(group.join("cgroup.controllers")).unwrap_or_default();
    CONTROLLERS.iter().all(|wanted| given.split_whitespace().any(|one| one == *wanted))
}

/// Gives a group's children the controllers that limits need.
pub(super) fn enable(group: &Path) -> Result<(), Failure> {
    let path = group.join("cgroup.subtree_control");
    fs::write(&path, "+memory +cpu +pids").at(|| format!("enable memory, cpu and pids in {}", path.display()))
}

pub(super) fn limit(group: &Path, limits: &Limits) -> Result<(), Failure> {
    let set = |name: &str, value: String| fs::write(group.join(name), value).at(|| format!("write {name}"));
    set("memory.max", limits.memory_bytes.to_string())?;
    match fs::write(group.join("memory.swap.max"), "0") {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).at(|| "write memory.swap.max");
        }
        _ => {}
    }
    let quota = (u64::from(limits.cpu_millis) * PERIOD / 1000).max(1000);
    set("cpu.max", format!("{quota} {PERIOD}"))?;
    weigh(group, limits.cpu_weight, 1).at(|| "write cpu.weight")?;
    set("pids.max", (u64::from(limits.pids) + 1).to_string())
}

pub(super) fn weigh(group: &Path, weight: u32, parts: u32) -> io::Result<()> {
    fs::write(group.join("cpu.weight"), (weight / parts).max(1).to_string())
}

pub(super) fn usage(group: &Path) -> Usage {
    Usage {
        cpu_micros: number_after(&group.join("cpu.stat"), "usage_usec"),
        memory_bytes: number(&group.join("memory.current")),
        memory_peak_bytes: number(&group.join("memory.peak")),
    }
}

pub(super) fn files(group: &Path) -> Files {
    Files {
        clock: Clock::Statistics,
        cpu: group.join("cpu.stat"),
        memory: group.join("memory.current"),
        peak: group.join("memory.peak"),
    }
}
