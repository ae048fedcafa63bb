//! Where the control groups of this broker are: below its own, in every hierarchy that matters.
//!
//! On version 1 each controller has its own path (a container may be nested in one hierarchy and at
//! the root of another), so each is looked up on its own. All of a broker's groups are in
//! directories called `lambent-NAME`; whatever is left there belongs to a dead broker of that name.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::{Group, v1, v2};
use crate::failure::{At, Failure};

/// How long killed processes may take to disappear before a leftover group is left to the next sweep.
const SWEEP: Duration = Duration::from_secs(2);

/// CPU weight of all sandboxes together, where the usual one is 100.
const SANDBOXES: u32 = 25;

/// Version of the control group interface that the controllers use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// One hierarchy per controller (with an empty unified one beside them, usually).
    V1,
    /// One hierarchy.
    V2,
}

/// The directories of one group or of our tree, per controller.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) version: Version,
    pub(crate) memory: PathBuf,
    pub(crate) cpu: PathBuf,
    pub(crate) accounting: PathBuf,
    pub(crate) pids: PathBuf,
    pub(crate) unified: Option<PathBuf>,
}

/// All groups of one broker.
#[derive(Debug)]
pub(crate) struct Tree {
    places: Places,
}

// === impl Places ===

impl Places {
    /// Below our own groups.
    fn own() -> Result<Self, Failure> {
        let groups = fs::read_to_string("/proc/self/cgroup").at(|| "read /proc/self/cgroup")?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").at(|| "read /proc/self/mountinfo")?;
        Self::find(&groups, &mounts).ok_or_else(|| {
            Failure::new(
                "find control groups",
                "no memory, cpu and pids controller is mounted below /sys/fs/cgroup",
            )
        })
    }

    fn find(groups: &str, mounts: &str) -> Option<Self> {
        let unified = own_directory(groups, mounts, None);
        if let Some(memory) = own_directory(groups, mounts, Some("memory")) {
            return Some(Self {
                version: Version::V1,
                memory,
                cpu: own_directory(groups, mounts, Some("cpu"))?,
                accounting: own_directory(groups, mounts, Some("cpuacct"))?,
                pids: own_directory(groups, mounts, Some("pids"))?,
                unified,
            });
        }
        Some(Self::unified(&unified?))
    }

    /// One directory for everything.
    fn unified(directory: &Path) -> Self {
        let place = || directory.to_path_buf();
        Self {
            version: Version::V2,
            memory: place(),
            cpu: place(),
            accounting: place(),
            pids: place(),
            unified: Some(place()),
        }
    }

    /// Everywhere that a tree of ours may be: where the broker was, and on version 2 also around it.
    fn candidates(self) -> Vec<Self> {
        match self.version {
            Version::V1 => vec![self],
            Version::V2 => v2::candidates(&self.memory).iter().map(|group| Self::unified(group)).collect(),
        }
    }

    /// The same places, one level deeper.
    pub(crate) fn below(&self, name: &str) -> Self {
        Self {
            version: self.version,
            memory: self.memory.join(name),
            cpu: self.cpu.join(name),
            accounting: self.accounting.join(name),
            pids: self.pids.join(name),
            unified: self.unified.as_ref().map(|path| path.join(name)),
        }
    }

    /// Each directory once.
    pub(crate) fn distinct(&self) -> Vec<&Path> {
        let mut all: Vec<&Path> = vec![&self.memory, &self.cpu, &self.accounting, &self.pids];
        all.extend(self.unified.as_deref());
        all.sort_unstable();
        all.dedup();
        all
    }

    pub(crate) fn make(&self) -> io::Result<()> {
        for directory in self.distinct() {
            match fs::create_dir(directory) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes the directories. `WouldBlock`: something inside is still dying.
    pub(crate) fn remove(&self) -> io::Result<()> {
        let mut busy = false;
        for directory in self.distinct() {
            match fs::remove_dir(directory) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => busy = true,
                Err(error) => return Err(error),
            }
        }
        if busy { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    }
}

// === impl Tree ===

impl Tree {
    /// Sweeps what a dead broker of this name has left, and makes the tree anew.
    pub(crate) fn make(name: &str) -> Result<Self, Failure> {
        sweep(name, None);
        let above = match Places::own()? {
            own if own.version == Version::V2 => Places::unified(v2::delegate(&v2::candidates(&own.memory))?),
            own => own,
        };
        let tree = Self { places: above.below(&tree_name(name)) };
        tree.found().at(|| format!("make a control group below {}", above.memory.display()))?;
        Ok(tree)
    }

    /// Makes the tree itself. Everything in it has less weight together than a single group beside it: the server and
    /// the broker, which are outside, have most of a busy machine whenever they want it.
    fn found(&self) -> io::Result<()> {
        let Self { places } = self;
        places.make()?;
        let weighed = match places.version {
            Version::V1 => v1::weigh(&places.cpu, SANDBOXES, 1),
            Version::V2 => {
                v2::enable(&places.memory).map_err(io::Error::other)?;
                v2::weigh(&places.cpu, SANDBOXES, 1)
            }
        };
        // It is a matter of speed only.
        drop(weighed);
        Ok(())
    }

    /// The groups of one sandbox, still empty and without limits.
    pub(crate) fn group(&self, id: &str) -> io::Result<Group> {
        let places = self.places.below(id);
        // The sweeper of the broker before us may have found the tree empty and removed it.
        if places.make().is_err() {
            self.found()?;
            places.make()?;
        }
        Ok(Group::new(places))
    }

    /// The groups of one sandbox, made or not.
    pub(crate) fn known(&self, id: &str) -> Group {
        Group::new(self.places.below(id))
    }

    /// What limits here rest on, for people.
    pub(crate) fn describe(&self) -> String {
        match (self.places.version, &self.places.unified) {
            (Version::V2, _) => "cgroup v2".to_owned(),
            (Version::V1, Some(_)) => "cgroup v1, freeze and kill in the unified tree".to_owned(),
            (Version::V1, None) => "cgroup v1 without the unified tree: no freezing".to_owned(),
        }
    }
}

/// Kills and removes every group of brokers with this name, or only those of the one with this prefix. May wait for
/// the dying, at most two seconds. What cannot be removed stays for the next sweep.
pub(crate) fn sweep(name: &str, prefix: Option<u32>) {
    let Ok(own) = Places::own() else { return };
    for above in own.candidates() {
        sweep_tree(&above.below(&tree_name(name)), prefix);
    }
}

fn sweep_tree(base: &Places, prefix: Option<u32>) {
    let mut ids: Vec<String> = Vec::new();
    for directory in base.distinct() {
        let Ok(entries) = fs::read_dir(directory) else { continue };
        ids.extend(
            entries
                .flatten()
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|entry| entry.file_name().to_string_lossy().into_owned()),
        );
    }
    let prefix = prefix.map(|prefix| format!("{prefix:08x}")).unwrap_or_default();
    ids.retain(|id| id.starts_with(&prefix));
    ids.sort_unstable();
    ids.dedup();
    let groups: Vec<Group> = ids.iter().map(|id| Group::new(base.below(id))).collect();
    for group in &groups {
        group.kill();
    }
    let deadline = Instant::now() + SWEEP;
    for group in &groups {
        while group.remove().is_err() && Instant::now() < deadline {
            wait_for_change(group);
        }
    }
    let _ = base.remove();
}

/// Waits until the kernel says that a group's population has changed, or for 20 ms: version 1 says nothing.
fn wait_for_change(group: &Group) {
    let Some(events) = group.events() else { return };
    let limit = rustix::time::Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    let _ = rustix::event::poll(&mut [PollFd::new(&events, PollFlags::PRI)], Some(&limit));
}

fn tree_name(name: &str) -> String {
    format!("lambent-{name}")
}

/// Our own directory in the hierarchy of a version 1 controller, or with `None` in the unified one.
fn own_directory(groups: &str, mounts: &str, controller: Option<&str>) -> Option<PathBuf> {
    let own = groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let ours = match controller {
            Some(wanted) => controllers.split(',').any(|one| one == wanted),
            None => number == "0" && controllers.is_empty(),
        };
        ours.then_some(path)
    })?;
    mounts.lines().find_map(|line| {
        let (mount, system) = line.split_once(" - ")?;
        let mut system = system.split(' ');
        let kind = system.next()?;
        let options = system.nth(1)?;
        let matches = match controller {
            Some(wanted) => kind == "cgroup" && options.split(',').any(|one| one == wanted),
            None => kind == "cgroup2",
        };
        if !matches {
            return None;
        }
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let inside = if root == "/" { own } else { own.strip_prefix(root).unwrap_or("/") };
        Some(Path::new(point).join(inside.trim_start_matches('/')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID_MOUNTS: &str = "\
32 31 0:24 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
33 31 0:25 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw";

    #[test]
    fn each_controller_has_a_path_of_its_own_on_version_1() {
        let groups = "5:pids:/\n4:memory:/a/b\n2:cpuacct:/\n1:cpu:/c\n0::/";
        let places = Places::find(groups, HYBRID_MOUNTS).unwrap();
        assert_eq!(places.version, Version::V1);
        assert_eq!(places.memory, Path::new("/sys/fs/cgroup/memory/a/b"));
        assert_eq!(places.cpu, Path::new("/sys/fs/cgroup/cpu/c"));
        assert_eq!(places.unified.unwrap(), Path::new("/sys/fs/cgroup/unified"));
    }

    #[test]
    fn version_2_is_one_directory_and_a_container_sees_its_own_part() {
        let mounts = "30 23 0:26 /docker/x /sys/fs/cgroup rw - cgroup2 cgroup rw,nsdelegate";
        let places = Places::find("0::/docker/x/inner", mounts).unwrap();
        assert_eq!(places.version, Version::V2);
        assert_eq!(places.distinct(), [Path::new("/sys/fs/cgroup/inner")]);
    }
}
