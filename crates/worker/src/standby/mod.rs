//! Interpreters that wait before it is known which function they are for: for what cannot be forked (Node.js), or must
//! not share its init (Python).
//!
//! The life of one: *making* (a sandbox without any code, the interpreter with our shim, which loads and calls handlers
//! of its own) → *waiting* → *taken* (its function's code is mounted, it gets environment and handler in its first
//! frame and runs the init) | *ended* (unused for long, drain, or by itself). [`pool`] keeps them, [`interpreter`] makes
//! one, [`take`] turns one into an instance.
//!
//! Invariants: nothing of a user's is in one that waits, and none is used twice; none is made before a function that
//! could use one is called or deployed; whatever goes wrong before the function's own code runs, the start goes on
//! without.

mod interpreter;
mod pool;
mod take;

pub(crate) use pool::Standby;
pub(crate) use take::take;

#[cfg(test)]
mod tests;
