//! A shell: the process that becomes one sandbox. Copied from the broker, still with its rights, before anybody needs
//! it; it prepares what every sandbox has, waits for its spec, composes the rest, gives its rights up
//! and stays as the init of the sandbox.
//!
//! ```text
//! broker ── clone3 ──► prepare ──► wait for an order ──► compose ──► lose the host's ids ──► init ──► exit
//!                                                                       └── fork ──► program
//! ```
//!
//! It has one thread and never returns to the broker's code. Its control socket bounds its life: at its end
//! (the broker is gone) it ends, and the whole pid namespace with it.
//!
//! * `life`: the sequence above;
//! * `prepare`: what can be done before the spec is known;
//! * `user_namespace`: the ids, made beforehand too;
//! * `program`: the last steps of the child, up to exec;
//! * `init`: reaping, forwarding, reporting;
//! * `aside`: other copies of the broker, that do one thing for it and become no sandbox.

mod aside;
mod init;
mod life;
mod prepare;
mod program;
mod user_namespace;

pub(crate) use aside::{aside, begin_aside};
pub(crate) use life::{Scratch, Seed, run};
pub(crate) use prepare::make_place;
