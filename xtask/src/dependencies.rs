//! `deny.toml`, enforced without anything installed: licences, bans, duplicate versions, sources.
//! The grammar is cargo-deny's, so that people who have it can run it on the same file.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::error;
use crate::finding::Finding;
use crate::manifests::{Dependency, Metadata, Package};

#[derive(Debug, Deserialize)]
struct Policy {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Debug, Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Bans {
    deny: Vec<Ban>,
    skip: Vec<Skip>,
}

#[derive(Debug, Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
    #[serde(default)]
    wrappers: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Skip {
    #[serde(rename = "crate")]
    name: String,
    #[expect(dead_code, reason = "read so that an entry without a reason does not parse")]
    reason: String,
}

/// Checks the resolved graph against `deny.toml`.
pub(crate) fn check(root: &Path, metadata: &Metadata) -> Result<Vec<Finding>> {
    let text = std::fs::read_to_string(root.join("deny.toml")).context("deny.toml")?;
    let policy: Policy = toml::from_str(&text).context("deny.toml")?;
    let outside: Vec<&Package> =
        metadata.packages.iter().filter(|package| package.source.is_some()).collect();
    let mut findings = Vec::new();
    for package in &outside {
        findings.extend(check_license(package, &policy.licenses));
        findings.extend(check_source(package));
    }
    for ban in &policy.bans.deny {
        findings.extend(check_ban(ban, metadata));
    }
    findings.extend(check_duplicates(&outside, &policy.bans));
    Ok(findings)
}

fn check_license(package: &Package, licenses: &Licenses) -> Option<Finding> {
    let expression = package.license.as_deref().unwrap_or("none declared");
    // `OR` and the older `/` offer a choice; within one choice every `AND` has to be allowed.
    let allowed = expression.replace('/', " OR ").split(" OR ").any(|choice| {
        choice
            .trim_matches(|c: char| c == '(' || c == ')' || c.is_whitespace())
            .split(" AND ")
            .all(|one| licenses.allow.iter().any(|allow| allow == one.trim_matches(['(', ')', ' '])))
    });
    (!allowed)
        .then(|| error(&package.name, format!("licence `{expression}` is not on the list in deny.toml")))
}

fn check_source(package: &Package) -> Option<Finding> {
    let source = package.source.as_deref()?;
    (!source.starts_with("registry+")).then(|| error(&package.name, "does not come from the crate registry"))
}

fn check_ban(ban: &Ban, metadata: &Metadata) -> Option<Finding> {
    if !metadata.packages.iter().any(|package| package.name == ban.name) {
        return None;
    }
    let asked_by: Vec<&str> = metadata
        .packages
        .iter()
        .filter(|package| asks_for(package, &ban.name))
        .map(|package| package.name.as_str())
        .filter(|name| !ban.wrappers.iter().any(|wrapper| wrapper == name))
        .collect();
    (!asked_by.is_empty()).then(|| {
        error(&ban.name, format!("is banned ({}), asked for by {}", ban.reason, asked_by.join(", ")))
    })
}

/// Whether a package needs `name` to be built or run; its own tests do not count.
fn asks_for(package: &Package, name: &str) -> bool {
    let needed = |dependency: &&Dependency| dependency.kind.as_deref() != Some("dev");
    package.dependencies.iter().filter(needed).any(|dependency| dependency.name == name)
}

fn check_duplicates(outside: &[&Package], bans: &Bans) -> Vec<Finding> {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in outside {
        versions.entry(&package.name).or_default().push(&package.version);
    }
    versions
        .into_iter()
        .filter(|(name, versions)| versions.len() > 1 && !bans.skip.iter().any(|skip| skip.name == *name))
        .map(|(name, versions)| {
            error(
                name,
                format!("is in the tree as {}: unify, or give a reason in deny.toml", versions.join(" and ")),
            )
        })
        .collect()
}
