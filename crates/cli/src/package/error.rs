//! Why a folder cannot be packaged.

use std::io;
use std::path::PathBuf;

use crate::diagnostics::Hint;

/// Why there is no package.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder is not there, or is no folder.
    #[error("`{}` is not a folder", path.display())]
    NotAFolder {
        /// What was given.
        path: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// `read`, `write`, ...
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A path that a zip cannot carry.
    #[error("the name of {} is not UTF-8", path.display())]
    Name {
        /// The file.
        path: PathBuf,
    },
    /// A link that would lead nowhere once deployed.
    #[error("`{path}` links to {}, which is outside the folder", target.display())]
    Link {
        /// The link.
        path: String,
        /// Where it points.
        target: PathBuf,
    },
    /// The zip cannot be put together.
    #[error("cannot make the zip")]
    Zip(#[source] zip::result::ZipError),
    /// A manifest that cannot be understood.
    #[error("{file}: {reason}")]
    Manifest {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
        /// What would help.
        hint: String,
    },
    /// A tool that is needed is not installed.
    #[error("{tool} is needed to install {what} and is not installed")]
    ToolMissing {
        /// `pip or uv`, `npm`.
        tool: &'static str,
        /// `Python packages`, ...
        what: &'static str,
        /// How to get it.
        hint: String,
    },
    /// A tool failed.
    #[error("{tool} failed to install the dependencies ({status})\n{}", indented(last_lines))]
    ToolFailed {
        /// The tool.
        tool: String,
        /// Its exit status in words.
        status: String,
        /// The end of its output.
        last_lines: Vec<String>,
    },
    /// A binary for another interpreter or machine.
    #[error("{file} is built for {built_for}, but the function runs on {runs_on}")]
    ForeignBinary {
        /// The wheel, library or program.
        file: String,
        /// What it was built for.
        built_for: String,
        /// What the function runs on.
        runs_on: String,
    },
}

// === impl Error ===

impl Error {
    /// For `map_err`: an I/O error with what was tried on which file.
    pub fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}

impl Hint for Error {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NotAFolder { .. } => Some("name the folder that holds the program".to_owned()),
            Self::File { .. } | Self::Zip(_) => None,
            Self::Name { .. } => Some("rename it, or list it in .lambentignore".to_owned()),
            Self::Link { .. } => Some("copy the files in, or list the link in .lambentignore".to_owned()),
            Self::Manifest { hint, .. } | Self::ToolMissing { hint, .. } => Some(hint.clone()),
            Self::ToolFailed { last_lines, .. } => Some(advice(last_lines)),
            Self::ForeignBinary { .. } => Some(
                "remove it and list the package in requirements.txt, so that it is installed for this runtime, \
                 or choose its runtime with --runtime"
                    .to_owned(),
            ),
        }
    }
}

/// What the end of a tool's output says about the way out.
fn advice(lines: &[String]) -> String {
    let says = |text: &str| lines.iter().any(|line| line.contains(text));
    let unknown =
        ["No matching distribution", "no version of", "not found in the package registry", "E404", "ETARGET"];
    if unknown.iter().any(|text| says(text)) {
        return "check the spelling and the version of the package named above".to_owned();
    }
    if says("Temporary failure in name resolution") || says("ENOTFOUND") || says("Connection") {
        return "the package index was not reached: check the network, then repeat the deploy".to_owned();
    }
    if says("ResolutionImpossible") || says("ERESOLVE") {
        return "two requirements exclude each other: loosen one of the versions named above".to_owned();
    }
    if says("gcc") || says("error: command") || says("Failed building wheel") {
        return "a package has no wheel for this Python and its build failed: choose another version of it"
            .to_owned();
    }
    "fix what the tool reports above, then repeat the deploy".to_owned()
}

fn indented(lines: &[String]) -> String {
    lines.iter().map(|line| format!("  | {line}")).collect::<Vec<_>>().join("\n")
}
