//! What is called: one version of a function, as everything that runs it needs to know it.
//!
//! A [`Version`] is immutable. Any change (code, environment, memory, a tag) makes a new one with a new
//! [`Version::revision`]; instances of the old revision finish what they have and retire.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::settings::Settings;

/// The language runtime a version asks for, by AWS's identifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Runtime {
    /// `python3.N`: our shim in the host's interpreter of that minor version.
    Python {
        /// The `N` of `python3.N`.
        minor: u8,
    },
    /// `nodejsN.x`: our shim in the host's Node.js.
    Node {
        /// The `N` of `nodejsN.x`.
        major: u8,
    },
    /// `provided.al2023` and its predecessors: an executable `bootstrap` that speaks the Runtime API.
    Provided,
}

/// A runtime identifier that nothing here can run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("runtime `{0}` is not supported: use python3.N, nodejsN.x or provided.al2023")]
pub struct UnknownRuntime(pub String);

/// One immutable version of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The function's bare name.
    pub name: String,
    /// `$LATEST` or a number.
    pub version: String,
    /// The ARN qualified with the version (unqualified for `$LATEST`), as a function sees it.
    pub arn: String,
    /// Digest of everything that makes a running instance stale when it changes.
    pub revision: String,
    /// The language runtime.
    pub runtime: Runtime,
    /// What to call inside the code: AWS's `Handler`.
    pub handler: String,
    /// Memory limit in MiB.
    pub memory_mib: u32,
    /// Size of `/tmp` in MiB.
    pub tmp_mib: u32,
    /// How long one invocation may run.
    pub timeout: Duration,
    /// The user's environment variables.
    pub environment: BTreeMap<String, String>,
    /// Where the unpacked, read-only code lies on this machine.
    pub code: PathBuf,
    /// SHA-256 of the zip in base64, AWS's `CodeSha256`.
    pub code_sha256: String,
    /// Lambent's settings of the function.
    pub settings: Settings,
    /// AWS's reserved concurrency: the most requests in progress, beyond which 429 at once.
    pub reserved_concurrency: Option<u32>,
    /// AWS's provisioned concurrency: places for requests that are kept ready.
    pub provisioned: u32,
    /// AWS's `SnapStart`, in force for this version: it is a published one, and its init is to be shared.
    pub snap_start: bool,
}

// === impl Runtime ===

impl FromStr for Runtime {
    type Err = UnknownRuntime;

    fn from_str(text: &str) -> Result<Self, UnknownRuntime> {
        let unknown = || UnknownRuntime(text.to_owned());
        if let Some(minor) = text.strip_prefix("python3.") {
            return minor.parse().map(|minor| Self::Python { minor }).map_err(|_| unknown());
        }
        if let Some(major) = text.strip_prefix("nodejs").and_then(|rest| rest.strip_suffix(".x")) {
            return major.parse().map(|major| Self::Node { major }).map_err(|_| unknown());
        }
        match text {
            "provided" | "provided.al2" | "provided.al2023" => Ok(Self::Provided),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Python { minor } => write!(out, "python3.{minor}"),
            Self::Node { major } => write!(out, "nodejs{major}.x"),
            Self::Provided => out.write_str("provided.al2023"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_aws_runtime_identifiers() {
        assert_eq!("python3.11".parse(), Ok(Runtime::Python { minor: 11 }));
        assert_eq!("nodejs20.x".parse(), Ok(Runtime::Node { major: 20 }));
        assert_eq!("provided.al2".parse(), Ok(Runtime::Provided));
        for text in ["python2.7", "python3", "nodejs", "nodejs20", "go1.x", ""] {
            assert!(text.parse::<Runtime>().is_err(), "{text}");
        }
    }
}
