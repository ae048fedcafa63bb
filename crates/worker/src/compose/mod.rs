//! From a version to a [`sandbox::spec::Spec`]: what is visible inside, what is started, with which
//! environment and limits. Pure but for looking at the files of the host and of the code.
//!
//! [`program`] decides what is started, [`environment`] what it finds in its environment, [`root`] what
//! its file system is composed of; [`composer`] puts them together.

mod composer;
mod environment;
mod program;
mod root;

pub use composer::Isolation;
pub(crate) use composer::{Composer, Composition, Identity, Purpose};
pub(crate) use program::Protocol;

use composer::{DEFAULT_PORT, Error, Layout};

#[cfg(test)]
mod tests;
