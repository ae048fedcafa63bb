//! The init of a sandbox: what is left of a shell once its program runs. It reaps, forwards SIGTERM, reports how
//! the program ended, and ends. With its own pid namespace its end is the end of everything inside;
//! without (the reduced mode) it ends its descendants itself first.
//!
//! The init of an ember takes a new root when it is told, by which the ember has it, too; and it stays when the ember
//! has ended, for its instances, until the broker ends it. As it shares root and working directory with the ember, it
//! resolves no path.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};

use super::program::Started;
use crate::failure::{At, Failure};
use crate::handle::Status;
use crate::packet;
use crate::privileges;
use crate::protocol::{Kindling, Order, Word, say};
use crate::root::roots;
use crate::spec::Layers;
use crate::system;

/// Longest order that an init takes.
const ORDER: usize = 4096;

/// Serves until the program or the broker is gone.
pub(super) fn supervise(
    control: &OwnedFd,
    program: Started,
    layers: Layers,
    ember: Kindling,
) -> Result<(), Failure> {
    let Started { pid: program, process } = program;
    if !layers.pid {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).at(|| "adopt orphans")?;
    }
    rustix::thread::set_name(c"lambent-init").at(|| "take a name")?;
    let roots = ember == Kindling::Ember;
    privileges::keep_for_init(roots).at(|| "give capabilities up")?;
    system::mask_signals(Some(&[libc::SIGCHLD])).at(|| "block SIGCHLD")?;
    let children = system::signal_descriptor(&[libc::SIGCHLD]).at(|| "watch children")?;
    let told: Vec<BorrowedFd<'_>> = if roots { vec![process.as_fd()] } else { Vec::new() };
    say(control, &Word::Started, &told).at(|| "answer the broker")?;
    drop(process);
    let ended = serve(control, Some(program), &children);
    if !layers.pid {
        end_descendants();
    }
    if let Some(status) = ended? {
        say(control, &Word::Exited { status }, &[]).at(|| "report the end")?;
        if roots {
            serve(control, None, &children)?;
        }
    }
    Ok(())
}

/// Until the program has ended, or `None`: the broker has. Without a program: until the broker has.
fn serve(control: &OwnedFd, program: Option<Pid>, children: &OwnedFd) -> Result<Option<Status>, Failure> {
    loop {
        // First, as the program may have ended before its end was watched.
        if let Some(status) = reap(program) {
            return Ok(Some(status));
        }
        let mut ready = [PollFd::new(control, PollFlags::IN), PollFd::new(children, PollFlags::IN)];
        match rustix::event::poll(&mut ready, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).at(|| "wait"),
        }
        let [ordered, _] = ready.map(|one| !one.revents().is_empty());
        system::drain_signals(children.as_fd());
        if ordered && !obey(control, program) {
            return Ok(None);
        }
    }
}

/// Obeys one order. False: the broker is gone or says what it never says.
fn obey(control: &OwnedFd, program: Option<Pid>) -> bool {
    let mut buffer = [0; ORDER];
    let Ok(received) = packet::receive(control, &mut buffer) else { return false };
    let bytes = buffer.get(..received.length).unwrap_or_default();
    match serde_json::from_slice(bytes) {
        Ok(Order::Terminate) => {
            if let Some(program) = program {
                let _ = rustix::process::kill_process(program, Signal::TERM);
            }
            true
        }
        Ok(Order::Root) => {
            let taken = received.descriptors.first().is_some_and(|root| roots::take(root.as_fd()).is_ok());
            say(control, &Word::Rooted { taken }, &[]).is_ok()
        }
        Ok(Order::Start { .. }) | Err(_) => false,
    }
}

/// Reaps whatever has ended; the status of the program if it is among them.
fn reap(program: Option<Pid>) -> Option<Status> {
    let mut ended = None;
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        if Some(pid) == program {
            ended = Some(described(status));
        }
    }
    ended
}

fn described(status: WaitStatus) -> Status {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Status::Exited(code),
        (None, signal) => Status::Signaled(signal.unwrap_or(libc::SIGKILL)),
    }
}

/// Kills and reaps until there is no descendant left: orphans become our children.
fn end_descendants() {
    let children = Path::new("/proc/thread-self/children");
    loop {
        let list = std::fs::read_to_string(children).unwrap_or_default();
        for pid in list.split_whitespace().filter_map(|word| word.parse().ok().and_then(Pid::from_raw)) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        if rustix::process::wait(WaitOptions::empty()).is_err() {
            return;
        }
    }
}
