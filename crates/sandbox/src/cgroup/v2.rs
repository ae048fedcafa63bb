//! Names and units of version 2, and its rule that a group with processes has no controlled children.

use std::fs;
use std::io;
use std::path::Path;

use super::group::{number, number_after};
use crate::failure::{At, Failure};
use crate::handle::Usage;
use crate::spec::Limits;

/// Microseconds over which CPU time is counted.
const PERIOD: u64 = 100_000;

/// Where the server and the broker go, so that their own group may have controlled children.
const LEAF: &str = "lambent-processes";

/// Makes the own group able to have children with limits: on hosts where it holds processes (ours and
/// nobody else's), they move to a leaf first.
pub(super) fn delegate(own: &Path) -> Result<(), Failure> {
    match enable(own) {
        Ok(()) => return Ok(()),
        Err(failure) if !own.join("cgroup.type").exists() => return Err(failure),
        Err(_) => {}
    }
    let leaf = own.join(LEAF);
    match fs::create_dir(&leaf) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(error).at(|| format!("make {}", leaf.display()));
        }
        _ => {}
    }
    let server = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    for pid in [server.to_string(), "0".to_owned()] {
        fs::write(leaf.join("cgroup.procs"), pid).at(|| format!("move to {}", leaf.display()))?;
    }
    enable(own)
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
    set("cpu.weight", limits.cpu_weight.to_string())?;
    set("pids.max", (u64::from(limits.pids) + 1).to_string())
}

pub(super) fn usage(group: &Path) -> Usage {
    Usage {
        cpu_micros: number_after(&group.join("cpu.stat"), "usage_usec"),
        memory_bytes: number(&group.join("memory.current")),
        memory_peak_bytes: number(&group.join("memory.peak")),
    }
}
