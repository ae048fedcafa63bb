//! The shapes of the Lambda and CloudWatch Logs APIs that commands read: the members used here, no more.
//! Names and spelling are AWS's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A function, or one version of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct FunctionConfiguration {
    /// The bare name.
    pub function_name: String,
    /// The ARN, qualified where a version was asked for.
    pub function_arn: String,
    /// AWS's runtime identifier.
    pub runtime: String,
    /// What is called.
    pub handler: String,
    /// MiB.
    pub memory_size: u32,
    /// Seconds.
    pub timeout: u32,
    /// ISO 8601 with milliseconds and `+0000`.
    pub last_modified: String,
    /// SHA-256 of the zip in base64.
    pub code_sha256: String,
    /// Bytes of the zip.
    pub code_size: u64,
    /// `$LATEST` or a number.
    pub version: String,
    /// Environment variables.
    pub environment: Environment,
    /// Size of `/tmp`.
    pub ephemeral_storage: EphemeralStorage,
}

/// The environment of a function.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Environment {
    /// Name to value.
    pub variables: BTreeMap<String, String>,
}

/// The `/tmp` of a function.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EphemeralStorage {
    /// MiB.
    pub size: u32,
}

/// The answer of `ListFunctions`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct FunctionPage {
    pub functions: Vec<FunctionConfiguration>,
    pub next_marker: Option<String>,
}

/// The answer of `ListVersionsByFunction`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct VersionPage {
    pub versions: Vec<FunctionConfiguration>,
    pub next_marker: Option<String>,
}

/// An alias.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AliasConfiguration {
    /// The alias's own name.
    pub name: String,
    /// The version it points at.
    pub function_version: String,
}

/// The answer of `ListAliases`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct AliasPage {
    pub aliases: Vec<AliasConfiguration>,
}

/// A function URL.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct UrlConfiguration {
    pub function_url: String,
}

/// The answer of `ListFunctionUrlConfigs`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct UrlPage {
    pub function_url_configs: Vec<UrlConfiguration>,
}

/// The answer of `ListTags`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct TagList {
    pub tags: BTreeMap<String, String>,
}

/// One line a function wrote.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LogEvent {
    /// Its place in the group, unique.
    pub event_id: String,
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    /// The line.
    pub message: String,
    /// `YYYY/MM/DD/[VERSION]INSTANCE`.
    pub log_stream_name: String,
}

/// The answer of `FilterLogEvents`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct LogPage {
    pub events: Vec<LogEvent>,
    pub next_token: Option<String>,
}
