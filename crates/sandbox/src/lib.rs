//! Runs one process tree in isolation, and knows nothing about functions.
//!
//! [`spec`] is the policy as a value; [`handle`] is the server's side; [`launch()`] starts the broker.
//! Behind them stand three kinds of process, each with a folder of its own:
//!
//! * `broker`: single-threaded and privileged; makes cgroups and shells, never waits for one;
//! * `shell`: one per sandbox, prepared before it is needed; composes the root, then becomes the init;
//! * the program, which the shell starts last, without any privilege.
//!
//! A program may be forked into instances (an *ember*, `Spec::ember`): each is a sandbox of its own in the namespaces of one.
//! The broker checks each newborn (`process`, `peer`: what the kernel says of others) and has copies of itself aside for
//! what takes long: one moves newborns into their control groups, short-lived ones make their roots.
//!
//! A `sweeper` beside the broker waits for its end and removes what a killed one has left.
//!
//! What each layer of isolation is made of: `root` (mounts), `cgroup`, `privileges`, `filter` (system calls).
//! `confinement` takes from the server what it does not need once the broker is there.
//! The only crate with `unsafe`.

mod broker;
mod cgroup;
mod check;
mod confinement;
mod failure;
mod filter;
mod link;
mod packet;
mod peer;
mod privileges;
mod process;
mod protocol;
mod root;
mod shell;
mod sweeper;
mod system;

pub mod handle;
pub mod launch;
pub mod meter;
pub mod pressure;
pub mod probe;
pub mod spec;

pub use confinement::{Confinement, confine};
pub use launch::{Isolation, LaunchError, Launched, Options, launch, run_if_broker};
pub use privileges::drop_privileges;
pub use probe::{Probe, probe};
