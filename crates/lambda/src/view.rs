//! Records as the API shows them.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use types::arn::{DEFAULT_REGION, LATEST, function_arn};

use crate::digest;
use crate::entry::Entry;
use crate::names::{Target, qualified_arn};
use crate::records::{Alias, Configuration, Url};
use crate::snap_start;
use crate::unsupported::host_architecture;

/// One version of a function under the name a request used for it.
#[derive(Debug)]
pub struct Shown<'a> {
    entry: &'a Entry,
    configuration: &'a Configuration,
    /// `$LATEST` or a number.
    version: String,
    /// As the request named it: unqualified, with a version or with an alias.
    arn: String,
}

// === impl Shown ===

impl<'a> Shown<'a> {
    /// What a qualifier leads to; `None` where it leads nowhere.
    #[must_use]
    pub fn of(entry: &'a Entry, qualifier: Option<&str>) -> Option<Self> {
        let name = &entry.function.name;
        let Some(qualifier) = qualifier else {
            let (version, arn) = (LATEST.to_owned(), function_arn(name));
            return Some(Self { entry, configuration: &entry.function.latest, version, arn });
        };
        let alias = entry.function.aliases.get(qualifier);
        let version = alias.map_or(qualifier, |alias| alias.version.as_str()).to_owned();
        let configuration = match version.as_str() {
            LATEST => &entry.function.latest,
            number => &entry.versions.get(&number.parse().ok()?)?.configuration,
        };
        Some(Self { entry, configuration, version, arn: qualified_arn(name, qualifier) })
    }

    /// AWS's `FunctionConfiguration` as lists show it: without its state.
    #[must_use]
    pub fn listed(&self) -> Map<String, Value> {
        let Self { entry, configuration, version, arn } = self;
        let name = &entry.function.name;
        let mut shown = Map::new();
        let mut put = |member: &str, value: Value| _ = shown.insert(member.to_owned(), value);
        put("FunctionName", json!(name));
        put("FunctionArn", json!(arn));
        put("Version", json!(version));
        put("Runtime", json!(configuration.runtime));
        put("Role", json!(configuration.role));
        put("Handler", json!(configuration.handler));
        put("Description", json!(configuration.description));
        put("Timeout", json!(configuration.timeout_seconds));
        put("MemorySize", json!(configuration.memory_mib));
        put("CodeSize", json!(configuration.code.size));
        put("CodeSha256", json!(configuration.code.sha256));
        put("LastModified", json!(last_modified(configuration.last_modified)));
        put("RevisionId", json!(configuration.revision_id));
        put("TracingConfig", json!({"Mode": "PassThrough"}));
        put("PackageType", json!("Zip"));
        put("Architectures", json!([host_architecture()]));
        put("EphemeralStorage", json!({"Size": configuration.tmp_mib}));
        put("SnapStart", snap_start::shown(configuration, version));
        put("LoggingConfig", json!({"LogFormat": "Text", "LogGroup": format!("/aws/lambda/{name}")}));
        if let Some(variables) = &configuration.environment {
            put("Environment", json!({"Variables": variables}));
        }
        shown
    }

    /// The same with its state: a function can be called as soon as it is there.
    #[must_use]
    pub fn complete(&self) -> Map<String, Value> {
        let mut shown = self.listed();
        shown.insert("State".to_owned(), json!("Active"));
        shown.insert("LastUpdateStatus".to_owned(), json!("Successful"));
        shown.insert(
            "RuntimeVersionConfig".to_owned(),
            json!({"RuntimeVersionArn": runtime_version(&self.configuration.runtime)}),
        );
        shown
    }

    /// The configuration shown.
    #[must_use]
    pub fn configuration(&self) -> &Configuration {
        self.configuration
    }
}

/// AWS's `AliasConfiguration`.
#[must_use]
pub fn alias(function: &str, name: &str, alias: &Alias) -> Value {
    json!({
        "AliasArn": qualified_arn(function, name),
        "Name": name,
        "FunctionVersion": alias.version,
        "Description": alias.description,
        "RevisionId": alias.revision_id,
    })
}

/// AWS's `FunctionUrlConfig`. `authority` is where the gateway is reached, for instance `localhost:8080`.
#[must_use]
pub fn url(target: &Target, url: &Url, authority: &str) -> Map<String, Value> {
    let mut shown = Map::new();
    let mut put = |member: &str, value: Value| _ = shown.insert(member.to_owned(), value);
    put("FunctionUrl", json!(format!("http://{}.lambda-url.{DEFAULT_REGION}.{authority}/", url.id)));
    put("FunctionArn", json!(target.arn()));
    put("AuthType", json!("NONE"));
    put("CreationTime", json!(precise(url.created)));
    put("LastModifiedTime", json!(precise(url.last_modified)));
    if let Some(mode) = &url.invoke_mode {
        put("InvokeMode", json!(mode));
    }
    shown
}

fn last_modified(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.3f+0000").to_string()
}

fn precise(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// AWS names the exact build of a runtime by a digest; here it is one of the identifier.
fn runtime_version(runtime: &str) -> String {
    format!("arn:aws:lambda:{DEFAULT_REGION}::runtime:{}", digest::hex(&json!(runtime)))
}
