//! Single processes by their id: are they there, end them. Never by name: other servers may run here.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Whether a process runs (a zombie does not).
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // The state follows the name, which is in parentheses and may hold anything.
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Sends a signal, named as `kill` names it (`KILL`, `TERM`).
///
/// # Errors
/// The process is not there, or is not ours.
pub fn kill(pid: u32, signal: &str) -> Result<()> {
    let status = Command::new("/bin/sh")
        .args(["-c", "kill -s \"$1\" \"$2\" 2>/dev/null", "kill", signal, &pid.to_string()])
        .status()
        .context("cannot run /bin/sh")?;
    ensure!(status.success(), "process {pid} cannot be sent {signal}: it has ended or is not ours");
    Ok(())
}
