//! What the server gives up besides its capabilities: every file outside its data directory, starting
//! programs, reaching into other processes, and system calls that it never makes.
//!
//! A server that was started as root stays user 0, and user 0 without capabilities still owns root's files and
//! `/proc/sys`. So the kernel is told by path (Landlock) and by call (seccomp) what is left. Both hold for
//! every thread made later and can never be lifted; the broker, started before, has neither. Where the kernel
//! lacks one of them the server runs without it and says so.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, Scope, make_bitflags,
};

use crate::{filter, probe, system};

/// The newest rights that are asked for; an older kernel gets those it knows.
const RIGHTS: ABI = ABI::V6;

/// From this version on a file may be moved to another directory where that is granted; before it could never
/// be, and the store does.
const MOVES: u32 = 2;

/// Where `SQLite` gets its random numbers.
const RANDOM: &str = "/dev/urandom";

/// What is left to the server.
#[derive(Debug, Clone, Copy)]
pub struct Confinement<'a> {
    /// The data directory: everything below may be read, written, made and removed. Nothing else may.
    pub directory: &'a Path,
    /// The data directory is removed at the end: then empty directories may be removed beside it.
    pub removed: bool,
    /// Internet sockets may still be made. The reduced mode looks for free ports with them.
    pub sockets: bool,
}

/// Confines this process, for good. Call it after [`crate::launch()`] and [`crate::drop_privileges`], when every file
/// outside the data directory is open, and before any thread.
///
/// What this kernel does not give comes back, a sentence each: none is a reason not to run.
#[must_use]
pub fn confine(confinement: &Confinement<'_>) -> Vec<String> {
    let files = restrict_files(confinement)
        .map_err(|reason| format!("the server itself may use files outside its data directory ({reason})"));
    let calls = restrict_calls(confinement)
        .map_err(|reason| format!("the server itself may make any system call ({reason})"));
    [files, calls].into_iter().filter_map(Result::err).collect()
}

fn restrict_files(confinement: &Confinement<'_>) -> Result<(), String> {
    let version = probe::landlock()?;
    if version < MOVES {
        return Err(format!("landlock: version {version} cannot be used, {MOVES} is needed"));
    }
    try_restrict_files(confinement).map_err(|error| format!("landlock: {error}"))
}

fn try_restrict_files(confinement: &Confinement<'_>) -> Result<(), RulesetError> {
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(RIGHTS))?
        .scope(Scope::from_all(RIGHTS))?
        .create()?;
    let used = make_bitflags!(AccessFs::{
        ReadFile | ReadDir | WriteFile | Truncate | MakeReg | MakeDir | MakeSym | RemoveFile | RemoveDir | Refer
    });
    for (path, rights) in allowed(confinement, used) {
        // What is not there needs no right.
        if let Ok(place) = PathFd::new(&path) {
            rules = rules.add_rule(PathBeneath::new(place, rights))?;
        }
    }
    rules.restrict_self().map(drop)
}

/// Places and what may be done there.
fn allowed(confinement: &Confinement<'_>, used: BitFlags<AccessFs>) -> Vec<(PathBuf, BitFlags<AccessFs>)> {
    let mut allowed = vec![
        (confinement.directory.to_owned(), used),
        (RANDOM.into(), AccessFs::ReadFile.into()),
        // A panic names functions and lines from these.
        ("/proc/self".into(), make_bitflags!(AccessFs::{ReadFile | ReadDir})),
        ("/proc/self/exe".into(), AccessFs::ReadFile.into()),
    ];
    if let (true, Some(parent)) = (confinement.removed, confinement.directory.parent()) {
        allowed.push((parent.to_owned(), AccessFs::RemoveDir.into()));
    }
    allowed
}

fn restrict_calls(confinement: &Confinement<'_>) -> Result<(), String> {
    for program in filter::compile_for_server(confinement.sockets)? {
        system::install_filter(&program, false).map_err(|error| format!("seccomp: {error}"))?;
    }
    Ok(())
}
