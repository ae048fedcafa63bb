//! The user namespace of a sandbox. It is entered last, so it owns no other namespace: whatever a program
//! gains inside, it can neither mount nor configure a network with it.
//!
//! A short-lived child makes it, because only a process in the parent namespace (the shell, still with the
//! host's rights) may write its maps. Inside, 0 is the init and 1000 the program.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{DumpableBehavior, WaitOptions};

use super::life::Seed;
use super::program::USER;
use crate::failure::{At, Failure};
use crate::system::{self, CloneOptions, Forked};

/// How many ids a sandbox has.
const IDS: u32 = 65536;

/// Makes the namespace and returns it open.
pub(super) fn make(seed: &Seed<'_>) -> Result<OwnedFd, Failure> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).at(|| "make a pipe")?;
    let (wait, release) = pipe_with(PipeFlags::CLOEXEC).at(|| "make a pipe")?;
    match system::clone_process(CloneOptions::default()).at(|| "fork for a user namespace")? {
        Forked::Child => {
            drop((read, release));
            let code = hold(write, wait).map_or_else(|error| error.raw_os_error().unwrap_or(1), |()| 0);
            system::exit_now(code)
        }
        Forked::Parent { pid, .. } => {
            drop((write, wait));
            let mut name = String::new();
            let told = fs::File::from(read).read_to_string(&mut name).at(|| "wait for a user namespace");
            let namespace = told.and_then(|_| map(seed, &name));
            drop(release);
            let status = rustix::process::waitpid(Some(pid), WaitOptions::empty())
                .at(|| "reap the namespace's maker")?;
            match status.and_then(|(_, status)| status.exit_status()) {
                Some(0) => namespace,
                Some(code) => {
                    Err(Failure::new("make a user namespace", io::Error::from_raw_os_error(code).to_string()))
                }
                None => Err(Failure::new("make a user namespace", "its maker was killed")),
            }
        }
    }
}

/// The child: makes the namespace, says under which number the host's `/proc` shows it, and holds it
/// open until it is mapped.
fn hold(write: OwnedFd, wait: OwnedFd) -> io::Result<()> {
    // Else its files in `/proc` belong to the host's root, whom a rootless broker is not.
    rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable)?;
    system::unshare(libc::CLONE_NEWUSER)?;
    let number = fs::read_link("/proc/self")?;
    let mut write = fs::File::from(write);
    write.write_all(number.as_os_str().as_encoded_bytes())?;
    drop(write);
    fs::File::from(wait).read_to_end(&mut Vec::new())?;
    Ok(())
}

fn map(seed: &Seed<'_>, process: &str) -> Result<OwnedFd, Failure> {
    let line = if seed.rootless { format!("{USER} 0 1\n") } else { format!("0 {} {IDS}\n", seed.first_id) };
    for kind in ["uid_map", "gid_map"] {
        fs::write(format!("/proc/{process}/{kind}"), &line).at(|| format!("write {kind}"))?;
    }
    let path = format!("/proc/{process}/ns/user");
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).at(|| "open the user namespace")
}
