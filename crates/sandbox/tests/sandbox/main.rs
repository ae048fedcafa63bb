//! The sandbox crate against the real kernel: life and end of process trees, limits, sockets, listeners.

#[path = "../common/mod.rs"]
mod common;
mod life;

use std::process::ExitCode;

fn main() -> ExitCode {
    common::main(life::CASES)
}
