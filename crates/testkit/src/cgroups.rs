//! The cgroup trees of this host, as directories. Reads only.

use std::fs;
use std::path::{Path, PathBuf};

const MOUNT: &str = "/sys/fs/cgroup";
/// How deep a tree is looked into.
const DEPTH: usize = 12;

/// Every cgroup directory whose own name contains `name`, in every hierarchy.
pub(crate) fn named(name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(Path::new(MOUNT), name, DEPTH, &mut found);
    found
}

/// The cgroups directly below `cgroup`.
pub(crate) fn children(cgroup: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(cgroup) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// The processes directly in `cgroup`.
pub(crate) fn processes(cgroup: &Path) -> Vec<u32> {
    let Ok(text) = fs::read_to_string(cgroup.join("cgroup.procs")) else { return Vec::new() };
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

fn walk(directory: &Path, name: &str, depth: usize, found: &mut Vec<PathBuf>) {
    if depth == 0 {
        return;
    }
    for child in children(directory) {
        let matches = child.file_name().is_some_and(|own| own.to_string_lossy().contains(name));
        if matches {
            found.push(child.clone());
        }
        walk(&child, name, depth - 1, found);
    }
}
