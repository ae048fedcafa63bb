//! What a world has left on the host: processes, mounts, cgroups and loop devices that carry its name.
//!
//! Looks from outside: a process belongs to a world if its cgroup, its working directory, its arguments,
//! its environment or its mounts name it. Reads only; cleaning up is the product's work.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::cgroups;
use crate::process::is_alive;

/// Everything found that belongs to one world.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Processes with the first words of their command line.
    pub processes: Vec<(u32, String)>,
    /// Lines of this namespace's mount table.
    pub mounts: Vec<String>,
    /// Directories in any cgroup hierarchy.
    pub cgroups: Vec<PathBuf>,
    /// Loop devices with their backing files.
    pub loops: Vec<(String, String)>,
}

// === impl Leftovers ===

impl Leftovers {
    /// Looks for everything that names one of `names`.
    pub(crate) fn of(names: &[&str]) -> Self {
        let names_one = |text: &str| names.iter().any(|name| text.contains(name));
        Self {
            processes: processes(&names_one),
            mounts: lines("/proc/self/mountinfo").into_iter().filter(|line| names_one(line)).collect(),
            cgroups: names.iter().flat_map(|name| cgroups::named(name)).collect(),
            loops: loops().into_iter().filter(|(_, backing)| names_one(backing)).collect(),
        }
    }

    /// The processes among these that run something else than Lambent itself: what functions started.
    pub(crate) fn programs(self, binary: &Path) -> Vec<(u32, String)> {
        let ours = |pid: u32| {
            let executable = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
            // The broker, its sweeper and every init run a sealed copy in memory.
            executable == binary || executable.to_string_lossy().starts_with("/memfd:lambent-broker")
        };
        self.processes.into_iter().filter(|(pid, _)| !ours(*pid) && is_alive(*pid)).collect()
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Leftovers {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (pid, command) in &self.processes {
            writeln!(out, "process {pid}: {command}")?;
        }
        for mount in &self.mounts {
            writeln!(out, "mount {mount}")?;
        }
        for cgroup in &self.cgroups {
            writeln!(out, "cgroup {}", cgroup.display())?;
        }
        for (device, backing) in &self.loops {
            writeln!(out, "loop device {device}: {backing}")?;
        }
        Ok(())
    }
}

fn processes(names_one: &dyn Fn(&str) -> bool) -> Vec<(u32, String)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != std::process::id() && is_alive(*pid) && belongs(*pid, names_one))
        .map(|pid| (pid, text(format!("/proc/{pid}/cmdline")).replace('\0', " ")))
        .collect()
}

fn belongs(pid: u32, names_one: &dyn Fn(&str) -> bool) -> bool {
    let directory = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
    names_one(&directory.to_string_lossy())
        || ["cgroup", "cmdline", "environ"].iter().any(|file| names_one(&text(format!("/proc/{pid}/{file}"))))
        || mounts_of_its_own(pid).iter().any(|line| names_one(line))
}

/// The mount table of a process in another mount namespace than ours.
fn mounts_of_its_own(pid: u32) -> Vec<String> {
    let namespace = |of: &str| fs::read_link(format!("/proc/{of}/ns/mnt")).ok();
    if namespace("self") == namespace(&pid.to_string()) {
        return Vec::new();
    }
    lines(&format!("/proc/{pid}/mountinfo"))
}

fn loops() -> Vec<(String, String)> {
    let Ok(entries) = fs::read_dir("/sys/block") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let backing = fs::read_to_string(entry.path().join("loop/backing_file")).ok()?;
            Some((entry.file_name().to_string_lossy().into_owned(), backing.trim().to_owned()))
        })
        .collect()
}

fn text(path: impl AsRef<Path>) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn lines(path: &str) -> Vec<String> {
    text(path).lines().map(str::to_owned).collect()
}
