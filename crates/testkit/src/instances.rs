//! Counts instances from outside while a test runs: every few milliseconds the cgroups of a world are
//! read. A sandbox counts once something runs in it beside its init: prepared sandboxes that wait for
//! their first program are not instances.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::cgroups;

/// How often is looked.
const EVERY: Duration = Duration::from_millis(5);

/// A thread that looks until it is asked what it saw.
#[derive(Debug)]
pub struct Instances {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

/// What was seen.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The names of all sandboxes that had a program.
    pub distinct: BTreeSet<String>,
    /// The most at one moment.
    pub most: usize,
    /// How often was looked.
    pub looks: u64,
}

// === impl Instances ===

impl Instances {
    /// Starts looking at the world with this cgroup name.
    pub(crate) fn watch(name: &str) -> Self {
        let (stop, name) = (Arc::new(AtomicBool::new(false)), name.to_owned());
        let thread = thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                let mut seen = Seen::default();
                while !stop.load(Ordering::Relaxed) {
                    let now = running(&name);
                    seen.most = seen.most.max(now.len());
                    seen.distinct.extend(now);
                    seen.looks += 1;
                    thread::sleep(EVERY);
                }
                seen
            }
        });
        Self { stop, thread }
    }

    /// Stops looking.
    #[must_use]
    pub fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

/// The sandboxes of a world in which a program runs at this moment.
pub(crate) fn running(name: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if let Some(group) = root(name) {
        for sandbox in cgroups::children(&group) {
            if cgroups::processes(&sandbox).iter().filter(|pid| !is_init(**pid)).count() > 0 {
                found.extend(sandbox.file_name().map(|own| own.to_string_lossy().into_owned()));
            }
        }
    }
    found
}

/// The world's group in one hierarchy: the first that has it. All hierarchies hold the same sandboxes.
fn root(name: &str) -> Option<PathBuf> {
    cgroups::named(name).into_iter().find(|path| path.starts_with("/sys/fs/cgroup/unified") || !is_hybrid())
}

fn is_hybrid() -> bool {
    Path::new("/sys/fs/cgroup/unified").is_dir()
}

/// Whether a process is the first of a pid namespace of its own: the sandbox's init.
fn is_init(pid: u32) -> bool {
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { return true };
    let inner = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    inner.is_none_or(|ids| ids.split_whitespace().count() > 1 && ids.split_whitespace().last() == Some("1"))
}
