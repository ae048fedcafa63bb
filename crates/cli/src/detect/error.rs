//! Why a folder cannot be deployed as it is.

use crate::diagnostics::Hint;

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No rule applies.
    #[error("nothing to start was found in this folder; looked for\n{}{}", listed(looked), seen(near_misses))]
    Nothing {
        /// What was looked for.
        looked: Vec<String>,
        /// What came close, and why it did not count.
        near_misses: Vec<String>,
        /// Whether there is a Dockerfile.
        dockerfile: bool,
    },
    /// Only files for a browser.
    #[error("this folder is a static site (index.html and no program), which lambent does not serve yet")]
    StaticSite,
    /// The Procfile has no `web` line.
    #[error("Procfile has no `web:` line")]
    NoWebProcess,
    /// An explicit handler that leads nowhere.
    #[error("--handler {handler}: {reason}")]
    Handler {
        /// What was given.
        handler: String,
        /// What is missing.
        reason: String,
    },
    /// The wanted way of serving does not fit what was found.
    #[error("--server {wanted} does not fit: {reason}")]
    Server {
        /// `own` or `shim`.
        wanted: &'static str,
        /// Why not.
        reason: String,
    },
}

impl Hint for Error {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Nothing { dockerfile: true, .. } => "a Dockerfile is not read yet: say what to start with \
                --handler FILE.NAME or --start \"COMMAND\""
                .to_owned(),
            Self::Nothing { .. } => {
                "say what to start with --handler FILE.NAME (a function or application) or --start \"COMMAND\" \
                 (a program that listens on $PORT)"
                    .to_owned()
            }
            Self::StaticSite => {
                "add a program that serves it, for instance --start \"python3 -m http.server $PORT\"".to_owned()
            }
            Self::NoWebProcess => "add `web: COMMAND`, or say it with --start \"COMMAND\"".to_owned(),
            Self::Handler { .. } => "name it as FILE.NAME without the file's extension, relative to the folder, \
                or name a file to start"
                .to_owned(),
            Self::Server { wanted: "own", .. } => "leave --server out, or name the program with --start".to_owned(),
            Self::Server { .. } => "leave --server out".to_owned(),
        })
    }
}

fn listed(items: &[String]) -> String {
    items.iter().map(|item| format!("  - {item}")).collect::<Vec<_>>().join("\n")
}

fn seen(near_misses: &[String]) -> String {
    if near_misses.is_empty() { String::new() } else { format!("\nand saw\n{}", listed(near_misses)) }
}
