//! The sandbox crate against the real kernel. One module per promise; attacks are in a test binary of their own.

#![allow(clippy::print_stdout, reason = "a test says by name what it did not run")]

#[path = "../common/mod.rs"]
mod common;
mod embers;
mod freezing;
mod hostile;
mod leftovers;
mod life;
mod limits;
mod metering;
mod network;
mod placement;
mod reduced;
mod share;
mod sharing;
mod siblings;
mod standby;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything else, as in every program that uses the crate.
    if let Some(code) = sandbox::run_if_broker()
        .or_else(leftovers::run_if_server)
        .or_else(reduced::run_if_nobody)
        .or_else(life::run_if_server)
    {
        return code;
    }
    let embers = [embers::CASES, sharing::CASES, hostile::CASES, siblings::CASES].concat();
    let found = sandbox::probe();
    if let (Ok(()), Err(reason)) = (&found.namespaces, &found.embers) {
        embers.iter().for_each(|(name, _)| println!("test {name} ... not run: {reason}"));
    }
    let cases = [
        life::CASES,
        if found.embers.is_ok() || found.namespaces.is_err() { &embers } else { &[] },
        freezing::CASES,
        limits::CASES,
        metering::CASES,
        network::CASES,
        placement::CASES,
        share::CASES,
        standby::CASES,
        leftovers::CASES,
        reduced::CASES,
    ]
    .concat();
    common::main(&cases, reduced::ANYWHERE)
}
