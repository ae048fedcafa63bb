//! What is wrong with how a deploy was asked for.

use crate::diagnostics::Hint;

/// Why a deploy cannot be what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `--env` without a name and a value.
    #[error("--env {given}: {reason}")]
    Variable {
        /// What was given; of a named variable only the name, as the value may be a secret.
        given: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A line of an environment file.
    #[error("{file} line {line}: {reason}")]
    EnvironmentFile {
        /// The file.
        file: String,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// The folder's name makes no function name.
    #[error("the folder's name `{folder}` makes no function name")]
    Name {
        /// The folder.
        folder: String,
    },
    /// The runtime is not installed.
    #[error("{wanted} is not installed here: there is {}", .available.join(", "))]
    Runtime {
        /// The runtime or the constraint.
        wanted: String,
        /// What is installed.
        available: Vec<String>,
    },
}

impl Hint for Error {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Variable { .. } => "write --env NAME=VALUE; the value may be empty".to_owned(),
            Self::EnvironmentFile { .. } => {
                "write one NAME=VALUE per line, with quotes around spaces".to_owned()
            }
            Self::Name { .. } => "give one with --name, of letters, digits and hyphens".to_owned(),
            Self::Runtime { .. } => {
                "install it, or choose an installed one with --runtime; `lambent doctor` lists them"
                    .to_owned()
            }
        })
    }
}
