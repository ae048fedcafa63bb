//! Replays traces of calls against keep-alive policies and adds up what each would have cost: delay of
//! callers against idle memory-time.
//!
//! A [`trace`] is made from what was recorded ([`azure`]) or from a generator ([`synthetic`]); [`replay`]
//! runs one policy over it: [`learned`] is the very code of [`crate::keep_alive`], the others are what it is
//! measured against ([`fixed`], [`concurrency`], [`hybrid`], [`greedy_dual`]). [`compare`] runs them all, [`plot`]
//! draws the frontier. [`load`] drives the scaling rules themselves with loads of four shapes. No clock and no I/O: traces come in as text, plots go out as text.
//!
//! What it leaves out is said where it is left out and in `docs/keep-alive.md`.

pub mod azure;
pub mod compare;
pub mod concurrency;
pub mod fixed;
pub mod greedy_dual;
pub mod hybrid;
pub mod learned;
pub mod load;
pub mod outcome;
pub mod plot;
mod random;
pub mod replay;
pub mod synthetic;
pub mod trace;

#[cfg(test)]
mod tests;
