//! Runs one process tree in isolation, and knows nothing about functions.
//!
//! [`spec`] is the policy as a value; [`handle`] is the server's side. Behind them stand the broker (a
//! single-threaded privileged process), the init (pid 1 of every sandbox) and one file per layer.
//! The only crate with `unsafe`.

pub mod handle;
pub mod spec;
