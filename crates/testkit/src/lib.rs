//! A real Lambent server in a temporary world, for tests: the compiled binary, real ports, a real data
//! directory, and eyes that look from outside ([`Leftovers`], [`Instances`]: `/proc` and cgroups, never
//! the server's own word). Its power can be cut ([`powercut`]).
//!
//! Start at [`World::builder`]. Nothing here knows an AWS operation or an application: tests say what
//! is deployed, usually with [`World::lambent`].
#![forbid(unsafe_code)]

mod builder;
mod cgroups;
mod client;
mod instances;
mod leftovers;
mod load;
pub mod powercut;
mod process;
mod ready;
mod wait;
mod world;

pub use builder::Builder;
pub use client::{Client, Response};
pub use instances::{Instances, Seen};
pub use leftovers::Leftovers;
pub use load::{Counts, Load, burst};
pub use process::{is_alive, kill};
pub use ready::Ready;
pub use wait::wait_until;
pub use world::{Output, World};
