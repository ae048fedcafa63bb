//! Names and units of version 1. One directory per controller.

use std::fs;
use std::io;
use std::path::Path;

use super::group::{Files, number};
use super::tree::Places;
use crate::failure::{At, Failure};
use crate::handle::Usage;
use crate::meter::Clock;
use crate::spec::Limits;

/// Microseconds over which CPU time is counted.
const PERIOD: u64 = 100_000;

pub(super) fn limit(places: &Places, limits: &Limits) -> Result<(), Failure> {
    let set = |path: std::path::PathBuf, value: &str| {
        fs::write(&path, value).at(|| format!("write {}", path.display()))
    };
    limit_memory(&places.memory, limits.memory_bytes)?;
    set(places.cpu.join("cpu.cfs_period_us"), &PERIOD.to_string())?;
    let quota = (u64::from(limits.cpu_millis) * PERIOD / 1000).max(1000);
    set(places.cpu.join("cpu.cfs_quota_us"), &quota.to_string())?;
    weigh(&places.cpu, limits.cpu_weight, 1).at(|| "write cpu.shares")?;
    set(places.pids.join("pids.max"), &(u64::from(limits.pids) + 1).to_string())
}

/// Memory, and memory with swap, which may never be the lower of the two: raising begins with that one.
fn limit_memory(group: &Path, bytes: u64) -> Result<(), Failure> {
    let bytes = bytes.to_string();
    let [memory, with_swap] = ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"];
    let set = |name: &str| match fs::write(group.join(name), &bytes) {
        // Absent where the kernel does not count swap.
        Err(error)
            if name == with_swap
                && matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) =>
        {
            Ok(())
        }
        done => done.at(|| format!("write {}", group.join(name).display())),
    };
    match set(memory) {
        Ok(()) => set(with_swap),
        Err(_) => set(with_swap).and_then(|()| set(memory)),
    }
}

/// A hundredth of the weight is the kernel's 1024.
pub(super) fn weigh(cpu: &Path, weight: u32, parts: u32) -> io::Result<()> {
    let shares = (u64::from(weight) * 1024 / 100 / u64::from(parts)).max(2);
    fs::write(cpu.join("cpu.shares"), shares.to_string())
}

pub(super) fn usage(places: &Places) -> Usage {
    Usage {
        cpu_micros: number(&places.accounting.join("cpuacct.usage")) / 1000,
        memory_bytes: number(&places.memory.join("memory.usage_in_bytes")),
        memory_peak_bytes: number(&places.memory.join("memory.max_usage_in_bytes")),
    }
}

pub(super) fn files(places: &Places) -> Files {
    Files {
        clock: Clock::Nanoseconds,
        cpu: places.accounting.join("cpuacct.usage"),
        memory: places.memory.join("memory.usage_in_bytes"),
        peak: places.memory.join("memory.max_usage_in_bytes"),
    }
}

pub(super) fn forget_peak(places: &Places) {
    let _ = fs::write(places.memory.join("memory.max_usage_in_bytes"), "0");
}
