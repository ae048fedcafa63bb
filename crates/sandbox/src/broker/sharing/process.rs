//! Threads, children, shared memory, locks and timers of a program, and what its init has left where each instance has
//! a place of its own.

use std::fs;
use std::path::Path;

use rustix::process::Pid;

use super::rule::{Findings, Subject, shown};
use crate::process::{self, Stat};

/// Names that are told of what is left in a directory.
const NAMED: usize = 3;

/// Looks at all of it. `strangers` run in the program's control groups and are neither it nor its init.
pub(super) fn look(subject: &Subject, strangers: &[Pid], findings: &mut Findings) {
    threads(subject, findings);
    relatives(subject, strangers, findings);
    mappings(&read(subject.pid, "maps"), findings);
    locks(subject.pid, findings);
    if !read(subject.pid, "timers").is_empty() {
        findings.veto("it has set a timer (timer_create), which a fork does not inherit".to_owned());
    }
    for directory in ["tmp", "dev/shm"] {
        left_in(subject, directory, findings);
    }
    network(&read(subject.pid, "net/snmp"), findings);
}

fn read(pid: Pid, file: &str) -> String {
    let bytes = fs::read(format!("/proc/{}/{file}", pid.as_raw_nonzero())).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn name_of(directory: &Path) -> String {
    let name = fs::read(directory.join("comm")).unwrap_or_default();
    shown(String::from_utf8_lossy(&name).trim_end())
}

fn threads(subject: &Subject, findings: &mut Findings) {
    let pid = subject.pid.as_raw_nonzero().to_string();
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else { return };
    let others: Vec<_> = entries.flatten().filter(|entry| entry.file_name() != pid.as_str()).collect();
    if let Some(first) = others.first() {
        let name = name_of(&first.path());
        findings.veto(format!("it has {} threads ({name}): a fork keeps one", others.len() + 1));
    }
}

fn relatives(subject: &Subject, strangers: &[Pid], findings: &mut Findings) {
    let name = |pid: Pid| name_of(Path::new(&format!("/proc/{}", pid.as_raw_nonzero())));
    let alive = |pid: &Pid| Stat::of(*pid).is_ok_and(|stat| stat.state != b'Z');
    let children: Vec<Pid> = process::children_of(subject.pid).into_iter().filter(alive).collect();
    for &child in &children {
        findings.veto(format!("it has started the program {}, which still runs", name(child)));
    }
    for &stranger in strangers.iter().filter(|pid| !children.contains(pid) && alive(pid)) {
        findings.veto(format!("it has left the program {} running", name(stranger)));
    }
}

fn mappings(maps: &str, findings: &mut Findings) {
    for line in maps.lines() {
        let mut fields = line.splitn(6, ' ');
        let permissions = fields.nth(1).unwrap_or_default().as_bytes();
        if permissions.get(1) == Some(&b'w') && permissions.get(3) == Some(&b's') {
            let what = fields.nth(3).unwrap_or_default().trim_start();
            findings.veto(format!("it has memory that forks would share ({})", shown(what)));
        }
    }
}

/// Every lock is held through an open descriptor. Not `/proc/locks`: to read it the kernel stops all that lock a file on
/// this machine, which takes it six to ten milliseconds.
fn locks(pid: Pid, findings: &mut Findings) {
    let directory = format!("/proc/{}/fdinfo", pid.as_raw_nonzero());
    let Ok(entries) = fs::read_dir(directory) else { return };
    let locked = |entry: fs::DirEntry| is_locked(&fs::read(entry.path()).unwrap_or_default());
    if entries.flatten().any(locked) {
        findings.veto("it holds a lock on a file".to_owned());
    }
}

/// `lock:  1: POSIX  ADVISORY  WRITE 1234 08:01:12 0 EOF`, one for each that is held through the descriptor.
fn is_locked(information: &[u8]) -> bool {
    information.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"lock:"))
}

fn left_in(subject: &Subject, directory: &str, findings: &mut Findings) {
    let path = format!("/proc/{}/root/{directory}", subject.pid.as_raw_nonzero());
    let Ok(entries) = fs::read_dir(path) else {
        return findings.veto(format!("/{directory} cannot be read"));
    };
    let names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    if !names.is_empty() {
        let shown: Vec<String> = names.iter().take(NAMED).map(|name| shown(name)).collect();
        let more = if names.len() > NAMED { ", ..." } else { "" };
        findings.veto(format!("its init has left {}{more} in /{directory}", shown.join(", ")));
    }
}

/// What is over is worth a note only.
fn network(statistics: &str, findings: &mut Findings) {
    let counter = |protocol: &str, name: &str| -> u64 {
        let mut lines = statistics.lines().filter_map(|line| line.strip_prefix(protocol));
        let (Some(names), Some(values)) = (lines.next(), lines.next()) else { return 0 };
        let found = names.split_whitespace().zip(values.split_whitespace()).find(|(one, _)| *one == name);
        found.and_then(|(_, value)| value.parse().ok()).unwrap_or_default()
    };
    let opened = counter("Tcp:", "ActiveOpens");
    if opened > 0 {
        findings.note(format!(
            "its init has opened connections ({opened}): what it read there, all instances have"
        ));
    }
    let sent = counter("Udp:", "OutDatagrams");
    if sent > 0 {
        findings.note(format!("its init has sent datagrams ({sent})"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writable_shared_mapping_is_told_from_the_others() {
        let maps = "55aa-55ab r-xp 00000000 08:01 12 /usr/bin/python3\n\
                    55ab-55ac rw-p 00000000 00:00 0 [heap]\n\
                    7fff-8000 r--s 00000000 08:01 99 /usr/lib/gconv-modules.cache\n\
                    8000-9000 rw-s 00000000 00:01 4 /dev/zero (deleted)\n";
        let mut findings = Findings::default();
        mappings(maps, &mut findings);
        let expected = ["it has memory that forks would share (/dev/zero (deleted))"];
        assert_eq!(findings.vetoes(), expected);
    }

    #[test]
    fn a_lock_is_seen_at_the_descriptor_through_which_it_is_held() {
        let file = tempfile::tempfile().unwrap();
        let own = Pid::from_raw(std::process::id().try_into().unwrap()).unwrap();
        let found = || {
            let mut findings = Findings::default();
            locks(own, &mut findings);
            findings.vetoes().len()
        };
        assert_eq!(found(), 0);
        file.lock().unwrap();
        assert_eq!(found(), 1);
        file.unlock().unwrap();
        assert_eq!(found(), 0);
        assert!(is_locked(b"pos:\t0\nlock:\t1: POSIX  ADVISORY  WRITE 7 08:01:12 0 EOF\n"));
    }

    #[test]
    fn counters_are_found_by_their_names() {
        let mut findings = Findings::default();
        network(
            "Tcp: RtoMin ActiveOpens\nTcp: 200 3\nUdp: InDatagrams OutDatagrams\nUdp: 4 0\n",
            &mut findings,
        );
        let notes = findings.notes();
        assert_eq!(notes.len(), 1);
        assert!(notes[0].contains("(3)"), "{notes:?}");
    }
}
