//! The control groups of one sandbox. Made before its shell, removed after its last process.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::process::Pid;

use super::tree::{Places, Version};
use super::{v1, v2};
use crate::failure::Failure;
use crate::handle::Usage;
use crate::meter::{Clock, Dials, Peak};
use crate::spec::Limits;

/// Where the figures of one sandbox are.
pub(super) struct Files {
    pub(super) clock: Clock,
    pub(super) cpu: PathBuf,
    pub(super) memory: PathBuf,
    pub(super) peak: PathBuf,
}

/// One sandbox's groups.
#[derive(Debug)]
pub(crate) struct Group {
    places: Places,
}

// === impl Group ===

impl Group {
    pub(crate) fn new(places: Places) -> Self {
        Self { places }
    }

    /// The directory in the unified tree, open, for `CLONE_INTO_CGROUP`.
    pub(crate) fn unified(&self) -> Option<OwnedFd> {
        File::open(self.places.unified.as_ref()?).ok().map(Into::into)
    }

    /// The files through which a process joins the remaining groups by writing 0.
    ///
    /// `tasks` moves one thread, where `cgroup.procs` moves a process. A thread that moves itself is the one case in
    /// which the kernel does not stop all forks of the machine, which takes it ten milliseconds. So the writer must
    /// have one thread, and then all of it is moved.
    pub(crate) fn joins(&self) -> Vec<PathBuf> {
        let unified = self.places.unified.as_deref();
        self.places
            .distinct()
            .into_iter()
            .filter(|&place| Some(place) != unified)
            .map(|place| place.join("tasks"))
            .collect()
    }

    /// Moves a process here. It stops every fork of the machine for up to ten milliseconds.
    pub(crate) fn admit(&self, pid: Pid) -> io::Result<()> {
        let pid = pid.as_raw_nonzero().to_string();
        self.places.distinct().into_iter().try_for_each(|place| fs::write(place.join("cgroup.procs"), &pid))
    }

    /// Every process here.
    pub(crate) fn members(&self) -> Vec<Pid> {
        let Ok(list) = fs::read_to_string(self.places.pids.join("cgroup.procs")) else { return Vec::new() };
        list.lines().filter_map(|line| line.parse().ok().and_then(Pid::from_raw)).collect()
    }

    /// Sets every limit. The init counts as one process more.
    pub(crate) fn limit(&self, limits: &Limits) -> Result<(), Failure> {
        match self.places.version {
            Version::V1 => v1::limit(&self.places, limits),
            Version::V2 => v2::limit(&self.places.memory, limits),
        }
    }

    /// Sets a part of a CPU weight. What cannot be set stays as it is: it is about fairness only.
    pub(crate) fn weigh(&self, weight: u32, parts: u32) {
        let _ = match self.places.version {
            Version::V1 => v1::weigh(&self.places.cpu, weight, parts),
            Version::V2 => v2::weigh(&self.places.cpu, weight, parts),
        };
    }

    /// What everything inside has used since the group was made.
    pub(crate) fn usage(&self) -> Usage {
        match self.places.version {
            Version::V1 => v1::usage(&self.places),
            Version::V2 => v2::usage(&self.places.memory),
        }
    }

    /// The files that tell what is used, open, for the server to read: CPU time, memory, its peak. What was used
    /// `before` the program is left out.
    pub(crate) fn meter(&self, before: &Usage) -> (Dials, Vec<OwnedFd>) {
        let Files { clock, cpu, memory, peak } = match self.places.version {
            Version::V1 => v1::files(&self.places),
            Version::V2 => v2::files(&self.places.memory),
        };
        let (cpu, memory) = (File::open(cpu).ok(), File::open(memory).ok());
        let writable = File::options().read(true).write(true).open(&peak).ok();
        let (peak, kind) = match writable {
            Some(file) => (Some(file), Peak::Resettable),
            None => (File::open(peak).ok(), Peak::Rising),
        };
        let dials = Dials {
            cpu: cpu.is_some().then_some(clock),
            offset: i64::try_from(before.cpu_micros).unwrap_or_default(),
            memory: memory.is_some(),
            peak: peak.is_some().then_some(kind),
            shared: 0,
        };
        (dials, [cpu, memory, peak].into_iter().flatten().map(OwnedFd::from).collect())
    }

    /// Forgets the peak of memory so far, where the kernel allows it.
    pub(crate) fn forget_peak(&self) {
        if self.places.version == Version::V1 {
            v1::forget_peak(&self.places);
        }
    }

    /// Whether the kernel has killed something inside for want of memory.
    pub(crate) fn out_of_memory(&self) -> bool {
        let kills = match self.places.version {
            Version::V1 => number_after(&self.places.memory.join("memory.oom_control"), "oom_kill"),
            Version::V2 => number_after(&self.places.memory.join("memory.events"), "oom_kill"),
        };
        kills > 0
    }

    /// Stops everything inside, or lets it run.
    pub(crate) fn freeze(&self, frozen: bool) {
        if let Some(unified) = &self.places.unified {
            let _ = fs::write(unified.join("cgroup.freeze"), if frozen { "1" } else { "0" });
        }
    }

    /// Kills everything inside, at once and completely (Linux 5.14); else one by one.
    pub(crate) fn kill(&self) {
        let killed = self.places.unified.as_ref().map(|unified| fs::write(unified.join("cgroup.kill"), "1"));
        if !matches!(killed, Some(Ok(()))) {
            self.kill_each();
        }
    }

    /// Removes the groups. `WouldBlock`: something inside is still dying.
    pub(crate) fn remove(&self) -> io::Result<()> {
        self.places.remove()
    }

    /// The file whose priority event says that the population has changed.
    pub(crate) fn events(&self) -> Option<OwnedFd> {
        File::open(self.places.unified.as_ref()?.join("cgroup.events")).ok().map(Into::into)
    }

    fn kill_each(&self) {
        for pid in self.members() {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

/// A file that holds one number; zero where it cannot be read.
pub(super) fn number(path: &Path) -> u64 {
    fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or_default()
}

/// The number after a key in a file of `key number` lines.
pub(super) fn number_after(path: &Path, key: &str) -> u64 {
    let Ok(text) = fs::read_to_string(path) else { return 0 };
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
        .unwrap_or_default()
}
