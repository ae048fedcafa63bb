//! The commands, one file each: its arguments and one function that runs it and says how it went.

use std::process::ExitCode;

pub mod delete;
pub mod deploy;
pub mod describe;
pub mod doctor;
pub mod explain;
pub mod invoke;
pub mod list;
pub mod logs;
pub mod rollback;
pub mod serve;
pub mod simulate;
pub mod status;
pub mod trace;

/// How a command that ran to its end came out. A command that could not run is an error instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// As wanted.
    Success,
    /// It ran, and what it looked at is not well: a function failed, a check failed.
    Failure,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        match status {
            ExitStatus::Success => Self::SUCCESS,
            ExitStatus::Failure => Self::FAILURE,
        }
    }
}
