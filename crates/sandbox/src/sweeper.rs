//! Cleans up after a broker that was killed: a small privileged process that waits for the broker's end and
//! then removes the control groups it has left.
//!
//! The server cannot do it: it has no privilege, and the directory of the topmost group is the host's. Started
//! with the broker, in a session of its own; it ends right after the broker, whoever else lives or dies, and
//! touches only sandboxes of that broker: the next one of the same name may already be at work. After an
//! orderly end there is nothing to do.

use std::os::fd::AsRawFd;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitCode, Stdio};
use std::{env, io};

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, PidfdFlags};
use serde::{Deserialize, Serialize};

use crate::cgroup;
use crate::system;

/// The argument that makes this executable a sweeper.
pub(crate) const ARGUMENT: &str = "__sweeper";

/// Environment variable with the [`Orders`], so that it can be seen from outside whose sweeper this is.
const ORDERS: &str = "LAMBENT_SWEEPER";

/// What a sweeper has to know.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Orders {
    /// Name of the broker.
    pub(crate) name: String,
    /// In the id of every sandbox of the broker.
    pub(crate) prefix: u32,
    /// Process id of the broker, which is not reaped before the sweeper ends or its parent does.
    pub(crate) broker: u32,
}

/// Starts a sweeper from a copy of this executable.
pub(crate) fn start(executable: &OwnedFd, orders: &Orders) -> io::Result<Child> {
    Command::new(format!("/proc/self/fd/{}", executable.as_raw_fd()))
        .arg(ARGUMENT)
        .env_clear()
        .env(ORDERS, serde_json::to_string(orders)?)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
}

/// The life of a sweeper.
pub(crate) fn run() -> ExitCode {
    let orders = env::var(ORDERS).ok().and_then(|text| serde_json::from_str::<Orders>(&text).ok());
    let Some(orders) = orders else { return ExitCode::FAILURE };
    // Signals of the server's terminal are not for it.
    let _ = rustix::process::setsid();
    let _ = system::close_on_exec_from(0);
    wait_for_end(orders.broker);
    cgroup::sweep(&orders.name, Some(orders.prefix));
    ExitCode::SUCCESS
}

/// Returns when the process has ended; at once when there is none.
fn wait_for_end(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let Some(process) = pid.and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok()) else {
        return;
    };
    while rustix::event::poll(&mut [PollFd::new(&process, PollFlags::IN)], None).is_err() {}
}
