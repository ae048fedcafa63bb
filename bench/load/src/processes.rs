//! CPU time of process trees, read from `/proc`: measured from outside, in nanoseconds, by thread.

use std::collections::{BTreeMap, HashMap};
use std::fs;

/// What each thread has spent, by process and thread.
pub(crate) type Times = HashMap<(u32, String), Thread>;

/// One thread.
#[derive(Debug, Clone)]
pub(crate) struct Thread {
    name: String,
    nanoseconds: u64,
}

/// The CPU time of every thread of the trees below `roots`, the roots included.
pub(crate) fn cpu_times(roots: &[u32]) -> Times {
    let mut times = Times::new();
    for process in tree(roots) {
        let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { continue };
        for thread in threads.flatten() {
            // A thread that has just ended is not in it.
            let Ok(text) = fs::read_to_string(thread.path().join("schedstat")) else { continue };
            let nanoseconds = text.split(' ').next().and_then(|spent| spent.parse().ok()).unwrap_or(0);
            let name = fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
            let name = name.trim().to_owned();
            let id = thread.file_name().to_string_lossy().into_owned();
            times.insert((process, id), Thread { name, nanoseconds });
        }
    }
    times
}

/// Nanoseconds between two readings, by the threads' names.
pub(crate) fn spent(before: &Times, after: &Times) -> BTreeMap<String, u64> {
    let mut spent = BTreeMap::new();
    for (id, thread) in after {
        let earlier = before.get(id).map_or(0, |thread| thread.nanoseconds);
        *spent.entry(thread.name.clone()).or_default() += thread.nanoseconds.saturating_sub(earlier);
    }
    spent
}

fn tree(roots: &[u32]) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    if !roots.is_empty() {
        for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(id) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            if let Some(parent) = parent(id) {
                children.entry(parent).or_default().push(id);
            }
        }
    }
    let mut found = Vec::new();
    let mut next = roots.to_vec();
    while let Some(process) = next.pop() {
        if !found.contains(&process) {
            found.push(process);
            next.extend(children.get(&process).into_iter().flatten());
        }
    }
    found
}

fn parent(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in parentheses may hold anything; the parent comes second after it.
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_its_own_work() {
        let own = std::process::id();
        let before = cpu_times(&[own]);
        assert!(!before.is_empty());
        let busy = std::time::Instant::now();
        while busy.elapsed().as_millis() < 20 {
            std::hint::black_box(0);
        }
        assert!(spent(&before, &cpu_times(&[own])).values().sum::<u64>() > 0);
    }
}
