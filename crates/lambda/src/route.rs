//! A function's records as the routing snapshot shows them: what can be called, and as what.
//!
//! A version whose code could not be unpacked is left out: it exists, but cannot be called.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use store::Artifacts;
use types::arn::{FunctionReference, LATEST, function_arn};
use types::function::{self, Runtime};
use types::routing;
use types::settings::{Init, Settings};

use crate::digest;
use crate::entry::Draft;
use crate::names::qualified_arn;
use crate::records::{Configuration, Function};
use crate::snap_start;

/// Unpacked code by digest.
#[derive(Debug, Clone, Default)]
pub struct Trees(HashMap<String, PathBuf>);

// === impl Trees ===

impl Trees {
    /// Makes sure that a configuration's code is unpacked and remembers where.
    pub async fn add(&mut self, artifacts: &Artifacts, configuration: &Configuration) {
        let digest = &configuration.code.digest;
        if self.0.contains_key(digest) {
            return;
        }
        match artifacts.path(digest).await {
            Ok(path) => _ = self.0.insert(digest.clone(), path),
            Err(error) => {
                tracing::error!(digest, %error, "code cannot be unpacked; its versions are not callable");
            }
        }
    }
}

/// The names of a function and the versions they lead to.
#[must_use]
pub fn function(draft: &Draft, trees: &Trees) -> routing::Function {
    let Draft { function, versions } = draft;
    let mut routed = BTreeMap::new();
    let latest = std::iter::once((LATEST.to_owned(), &function.latest));
    let published = versions.iter().map(|(number, version)| (number.to_string(), &version.configuration));
    for (name, configuration) in latest.chain(published) {
        if let Some(version) = version(function, &name, configuration, trees) {
            routed.insert(name, Arc::new(version));
        }
    }
    let aliases =
        function.aliases.iter().map(|(name, alias)| (name.clone(), alias.version.clone())).collect();
    let urls = function.urls.iter().map(|(qualifier, url)| (named(qualifier), url.id.clone())).collect();
    routing::Function { versions: routed, aliases, urls }
}

/// Where a URL leads.
#[must_use]
pub fn url(name: &str, qualifier: &str) -> routing::Url {
    routing::Url { target: FunctionReference { name: name.to_owned(), qualifier: named(qualifier) } }
}

fn named(qualifier: &str) -> Option<String> {
    (!qualifier.is_empty()).then(|| qualifier.to_owned())
}

fn version(
    function: &Function,
    name: &str,
    configuration: &Configuration,
    trees: &Trees,
) -> Option<function::Version> {
    let code = trees.0.get(&configuration.code.digest)?.clone();
    let runtime: Runtime = configuration.runtime.parse().ok()?;
    // Both were checked before they were stored: what does not parse was made by another version.
    let mut settings = Settings::from_tags(&function.tags).ok()?;
    let snap_start = snap_start::is_on(configuration, name);
    if snap_start && settings.init == Init::Auto {
        settings.init = Init::Shared;
    }
    let arn = match name {
        LATEST => function_arn(&function.name),
        number => qualified_arn(&function.name, number),
    };
    Some(function::Version {
        name: function.name.clone(),
        version: name.to_owned(),
        revision: revision(&arn, configuration, &settings),
        arn,
        runtime,
        handler: configuration.handler.clone(),
        memory_mib: configuration.memory_mib,
        tmp_mib: configuration.tmp_mib,
        timeout: Duration::from_secs(configuration.timeout_seconds.into()),
        environment: configuration.environment.clone().unwrap_or_default(),
        code,
        code_sha256: configuration.code.sha256.clone(),
        settings,
        reserved_concurrency: function.reserved_concurrency,
        provisioned: provisioned(function, name),
        snap_start,
    })
}

/// Instances that are kept ready of a version, by its number or an alias that leads to it.
fn provisioned(function: &Function, version: &str) -> u32 {
    let leads = |qualifier: &str| match function.aliases.get(qualifier) {
        Some(alias) => alias.version == version,
        None => qualifier == version,
    };
    let wanted = function.provisioned.iter().filter(|(qualifier, _)| version != LATEST && leads(qualifier));
    wanted.map(|(_, provisioned)| provisioned.executions).fold(0, u32::saturating_add)
}

/// Digest of everything that makes a running instance stale: not the description, not the idle time.
fn revision(arn: &str, configuration: &Configuration, settings: &Settings) -> String {
    digest::hex(&serde_json::json!([
        arn,
        configuration.code.sha256,
        configuration.runtime,
        configuration.handler,
        configuration.memory_mib,
        configuration.tmp_mib,
        configuration.timeout_seconds,
        configuration.environment,
        settings.server,
        configuration.role,
        configuration.snap_start,
    ]))
}
