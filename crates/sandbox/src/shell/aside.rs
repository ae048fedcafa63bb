//! Copies of the broker that do one thing for it beside its loop and become no sandbox: they mount, or move processes,
//! with the broker's rights. They have one thread, never return to its code, and die with it.

use std::ffi::CStr;
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::process::Signal;

use crate::failure::{At, Failure};
use crate::system;

/// Does it, and returns the exit code. A panic must not unwind into the broker's code, of which this is a copy.
pub(crate) fn aside(act: impl FnOnce() -> i32) -> i32 {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or(101)
}

/// First thing: keeps nothing of the broker but these descriptors, and its end is this one's.
pub(crate) fn begin_aside(name: &CStr, kept: impl IntoIterator<Item = RawFd>) -> Result<(), Failure> {
    rustix::thread::set_name(name).at(|| "take a name")?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .at(|| "ask to die with the broker")?;
    close_others([0, 1, 2].into_iter().chain(kept).collect())
}

/// Closes every descriptor but these.
pub(super) fn close_others(mut kept: Vec<RawFd>) -> Result<(), Failure> {
    kept.sort_unstable();
    let mut next = 0;
    for descriptor in kept {
        system::close_descriptors(next, descriptor - 1).at(|| "close the broker's descriptors")?;
        next = descriptor + 1;
    }
    system::close_descriptors(next, RawFd::MAX).at(|| "close the broker's descriptors")
}
