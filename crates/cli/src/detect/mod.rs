//! Finds out what a folder is: pure functions from a listing and file texts to a [`Plan`] that says what
//! would be started and why. Touches no file system, installs nothing, asks no server.
//!
//! The rules, in order: explicit flags, `Procfile`, a Lambda handler by AWS's file names, a Python web
//! application, a Python function that looks like a handler, a Node.js project. One file per rule.

mod command;
mod error;
mod explicit;
mod folder;
mod node;
mod packages;
mod plan;
mod python;
mod rules;

#[cfg(test)]
mod tests;

pub use error::Error;
pub use folder::{File, Folder};
pub use plan::{Language, Plan, Request};
pub use rules::detect;
