//! A step of the set-up that failed, with its name and the kernel's reason. Values only.

use std::io;

use serde::{Deserialize, Serialize};

use crate::handle::StartError;

/// The step and why it failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{step}: {reason}")]
pub(crate) struct Failure {
    /// What was tried, for instance `mount /proc`.
    pub(crate) step: String,
    /// Why it failed.
    pub(crate) reason: String,
}

/// Names the step that an I/O error belongs to.
pub(crate) trait At<T> {
    /// Names the step; the text is only made on failure.
    fn at<S: Into<String>>(self, step: impl FnOnce() -> S) -> Result<T, Failure>;
}

// === impl Failure ===

impl Failure {
    pub(crate) fn new(step: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { step: step.into(), reason: reason.into() }
    }
}

impl From<Failure> for StartError {
    fn from(failure: Failure) -> Self {
        Self::Step { step: failure.step, reason: failure.reason }
    }
}

// === impl At ===

impl<T, E: Into<io::Error>> At<T> for Result<T, E> {
    fn at<S: Into<String>>(self, step: impl FnOnce() -> S) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(step(), error.into().to_string()))
    }
}
