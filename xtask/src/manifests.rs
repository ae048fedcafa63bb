//! The directions between our crates (`docs/architecture.md`, "The house") and what every manifest
//! inherits. Which outside crates are allowed is in `dependencies`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::error;
use crate::finding::Finding;

/// What a crate of ours may depend on, among ours. A crate that is not listed needs an ADR and a line.
const DIRECTIONS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("sandbox", &[]),
    ("autoscaler", &["types"]),
    ("store", &["types"]),
    ("aws", &["types"]),
    ("gateway", &["types"]),
    ("worker", &["types", "autoscaler", "sandbox"]),
    ("lambda", &["types", "aws", "store"]),
    ("services", &["types", "aws", "store"]),
    ("server", &["types", "aws", "store", "gateway", "worker", "lambda", "services", "sandbox"]),
    ("cli", &["types", "server", "sandbox", "worker", "autoscaler"]),
    ("testkit", &[]),
    // Load for benchmarks; nothing of the product depends on it, nor it on the product.
    ("load", &[]),
];
/// Our packages are called `lambent-CRATE`.
const PREFIX: &str = "lambent-";

/// The part of `cargo metadata` that the checks read.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) workspace_members: Vec<String>,
}

/// One package of the graph.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) manifest_path: String,
    pub(crate) dependencies: Vec<Dependency>,
}

/// One dependency as its manifest declares it.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Option<String>,
}

/// Asks cargo for the resolved graph of this platform, without touching the network.
pub(crate) fn metadata(root: &Path) -> Result<Metadata> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--format-version=1", "--locked", "--filter-platform=x86_64-unknown-linux-gnu"])
        .current_dir(root)
        .output()
        .context("cargo metadata did not start")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).context("cargo metadata is not what was expected")
}

/// Checks directions and inheritance of every member.
pub(crate) fn check(root: &Path, metadata: &Metadata) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let members = metadata.packages.iter().filter(|package| metadata.workspace_members.contains(&package.id));
    for package in members {
        let manifest = std::fs::read_to_string(&package.manifest_path)?;
        let place = package.manifest_path.trim_start_matches(&root.display().to_string()).to_owned();
        if !manifest.contains("[lints]\nworkspace = true") {
            findings.push(error(&place, "does not inherit the workspace's lints"));
        }
        let Some(name) = package.name.strip_prefix(PREFIX) else { continue };
        let Some((_, allowed)) = DIRECTIONS.iter().find(|(known, _)| *known == name) else {
            findings.push(error(
                &place,
                format!("`{name}` is a new crate: it needs an ADR and a direction here"),
            ));
            continue;
        };
        let ours = package.dependencies.iter().filter(|dependency| dependency.kind.as_deref() != Some("dev"));
        for target in ours.filter_map(|dependency| dependency.name.strip_prefix(PREFIX)) {
            if !allowed.contains(&target) {
                findings.push(error(&place, format!("`{name}` must not depend on `{target}`")));
            }
        }
    }
    Ok(findings)
}
