//! Keeps what must outlive the server, on disk and durably: small [`records`] (who exists, with
//! revisions), [`artifacts`] (zips and the code unpacked from them) and [`logs`].
//!
//! [`Store::open`] takes the data directory for itself and hands out the three parts. What a part has
//! acknowledged survives `kill -9` and, but for logs, a power cut. All file access goes through `std` and
//! SQLite, that is through libc, so that the tests can put a layer below it that forgets unsynced writes.
//!
//! Nothing here knows what a function is: the meaning of records is their callers'.
#![forbid(unsafe_code)]

pub mod artifacts;
mod directory;
mod durable;
pub mod logs;
mod open;
pub mod records;
mod sqlite;

pub use artifacts::{Artifact, Artifacts};
pub use logs::Logs;
pub use open::{Claim, OpenError, Options, Store};
pub use records::Records;
