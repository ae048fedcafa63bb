//! What the Lambda service remembers, as it is written to the store.
//!
//! A function is one record ([`Function`]: its `$LATEST`, aliases, URLs, permissions, tags, concurrency);
//! each published version is one more ([`Version`]), never changed but for its revision id. Additions to
//! these shapes need a serde default, so that records of older servers can still be read.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The kind of the records of functions, by name.
pub const FUNCTIONS: &str = "lambda-function";
/// The kind of the records of versions, by `NAME/NUMBER`.
pub const VERSIONS: &str = "lambda-version";

/// The key of a qualifier in the maps below; the unqualified function's is empty.
pub type Qualifier = String;

/// A function and everything that hangs on its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// The bare name.
    pub name: String,
    /// `$LATEST`.
    pub latest: Configuration,
    /// The number the next version gets. Numbers are not used again.
    pub next_version: u64,
    /// Aliases by name.
    pub aliases: BTreeMap<String, Alias>,
    /// URLs by qualifier.
    pub urls: BTreeMap<Qualifier, Url>,
    /// Resource policies by qualifier.
    pub policies: BTreeMap<Qualifier, Vec<Statement>>,
    /// Tags, the `lambent:*` ones among them.
    pub tags: BTreeMap<String, String>,
    /// Reserved concurrency.
    pub reserved_concurrency: Option<u32>,
    /// Provisioned concurrency by version or alias.
    #[serde(default)]
    pub provisioned: BTreeMap<Qualifier, Provisioned>,
}

/// What can be configured of `$LATEST` and is frozen in a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// AWS's runtime identifier, as it was given.
    pub runtime: String,
    /// The handler.
    pub handler: String,
    /// The execution role's ARN.
    pub role: String,
    /// For people.
    pub description: String,
    /// Seconds an invocation may run.
    pub timeout_seconds: u32,
    /// Memory limit in MiB.
    pub memory_mib: u32,
    /// Size of `/tmp` in MiB.
    pub tmp_mib: u32,
    /// Environment variables; `None` where none were ever given.
    pub environment: Option<BTreeMap<String, String>>,
    /// Whether `SnapStart` applies to its published versions.
    #[serde(default)]
    pub snap_start: bool,
    /// The code.
    pub code: Code,
    /// When it was last changed.
    pub last_modified: Timestamp,
    /// AWS's `RevisionId`: a new one with each change.
    pub revision_id: String,
}

/// A version's code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// The artifact's digest.
    pub digest: String,
    /// AWS's `CodeSha256`.
    pub sha256: String,
    /// Bytes of the zip.
    pub size: u64,
}

/// A published version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Its number.
    pub number: u64,
    /// What it froze; the description is the version's own.
    pub configuration: Configuration,
    /// [`Configuration::fingerprint`] of the `$LATEST` it was published from.
    pub published_from: String,
}

/// An alias.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// The version it points at: a number or `$LATEST`.
    pub version: String,
    /// For people.
    pub description: String,
    /// AWS's `RevisionId`.
    pub revision_id: String,
}

/// A function URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Url {
    /// The first label of its host.
    pub id: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub last_modified: Timestamp,
    /// `BUFFERED` where it was asked for by name; AWS then answers with it.
    pub invoke_mode: Option<String>,
}

/// Provisioned concurrency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provisioned {
    /// Instances that are kept ready.
    pub executions: u32,
    /// When it was asked for.
    pub last_modified: Timestamp,
}

/// One statement of a resource policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Its id.
    pub id: String,
    /// The statement as AWS shows it.
    pub document: serde_json::Value,
}

// === impl Configuration ===

impl Configuration {
    /// Digest of what makes one publication differ from the next: everything but times and revisions.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut parts = vec![serde_json::json!([
            self.runtime,
            self.handler,
            self.role,
            self.description,
            self.timeout_seconds,
            self.memory_mib,
            self.tmp_mib,
            self.environment,
            self.code.sha256,
        ])];
        // Records from before there was such a thing keep their fingerprints.
        parts.extend(self.snap_start.then(|| "snap-start".into()));
        match parts.as_slice() {
            [one] => crate::digest::hex(one),
            parts => crate::digest::hex(&parts.into()),
        }
    }

    /// Marks a change.
    pub fn touch(&mut self) {
        self.last_modified = Timestamp::now();
        self.revision_id = revision_id();
    }
}

// === impl Version ===

impl Version {
    /// The key of a version's record.
    #[must_use]
    pub fn key(function: &str, number: u64) -> String {
        format!("{function}/{number}")
    }
}

/// A fresh `RevisionId`.
#[must_use]
pub fn revision_id() -> String {
    uuid::Uuid::new_v4().hyphenated().to_string()
}
