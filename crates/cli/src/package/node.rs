//! Installs the packages of a Node.js project with `npm` into a cached copy of its manifests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::archive::Source;
use super::cache::{Cache, Key};
use super::error::Error;
use super::progress::Progress;
use super::tool;
use super::walk::{Walk, everything};
use crate::detect::Folder;
use crate::printer::Printer;

/// What decides the result of an installation, copied to where it is made.
const MANIFESTS: [&str; 4] = ["package.json", "package-lock.json", "npm-shrinkwrap.json", ".npmrc"];

/// Whether the project needs packages at run time.
pub fn has_dependencies(folder: &Folder) -> bool {
    let manifest: Value =
        folder.text("package.json").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    ["dependencies", "optionalDependencies"].iter().any(|members| {
        manifest.get(members).and_then(Value::as_object).is_some_and(|members| !members.is_empty())
    })
}

/// Installs the project's packages; the entries under `node_modules/`.
pub fn install(
    root: &Path,
    walk: &Walk,
    node_version: &str,
    cache: &Cache,
    again: bool,
    printer: Printer,
) -> Result<Vec<(String, Source)>, Error> {
    need_npm()?;
    let is_local = refers_to_files(&walk.folder);
    let mut key = Key::default();
    key.add("1").add(node_version).add(std::env::consts::ARCH);
    for manifest in MANIFESTS {
        key.add(fs::read(root.join(manifest)).unwrap_or_default());
    }
    let installed = cache.entry("node", &key, again || is_local, |directory| {
        if is_local {
            copy_all(walk, directory)?;
        }
        copy_manifests(root, directory)?;
        let locked =
            ["package-lock.json", "npm-shrinkwrap.json"].iter().any(|file| root.join(file).is_file());
        let verb = if locked { "ci" } else { "install" };
        let progress = Progress::start(printer, &format!("npm {verb} installs package.json"));
        let mut command = Command::new("npm");
        command.args([
            verb,
            "--omit=dev",
            "--no-audit",
            "--no-fund",
            "--no-update-notifier",
            "--loglevel=http",
        ]);
        tool::run("npm", command.current_dir(directory), &progress)
    })?;
    let modules = installed.join("node_modules");
    if !modules.is_dir() {
        return Ok(Vec::new());
    }
    let entries = everything(&modules)?;
    Ok(entries.into_iter().map(|(path, source)| (format!("node_modules/{path}"), source)).collect())
}

fn need_npm() -> Result<(), Error> {
    match tool::version("npm", &["--version"]) {
        Some(_) => Ok(()),
        None => Err(Error::ToolMissing {
            tool: "npm",
            what: "Node.js packages",
            hint: "install it with your system's package npm".to_owned(),
        }),
    }
}

/// Whether a dependency is a path in the folder, so that manifests alone do not decide the result.
fn refers_to_files(folder: &Folder) -> bool {
    let manifest = folder.text("package.json").unwrap_or_default();
    manifest.contains("\"file:") || manifest.contains("\"link:") || manifest.contains("\"workspaces\"")
}

fn copy_manifests(root: &Path, directory: &Path) -> Result<(), Error> {
    for manifest in MANIFESTS.iter().filter(|manifest| root.join(manifest).is_file()) {
        let target = directory.join(manifest);
        fs::copy(root.join(manifest), &target).map_err(Error::file("write", target))?;
    }
    Ok(())
}

fn copy_all(walk: &Walk, directory: &Path) -> Result<(), Error> {
    for (path, source) in &walk.sources {
        let target: PathBuf = directory.join(path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(Error::file("create", parent))?;
        }
        match source {
            Source::Link { target: to } => {
                std::os::unix::fs::symlink(to, &target).map_err(Error::file("write", &target))?;
            }
            Source::File { .. } | Source::Made { .. } => {
                fs::write(&target, source.read()?).map_err(Error::file("write", &target))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn development_packages_are_no_reason_to_install() {
        for (manifest, needed) in [
            (r#"{"dependencies":{"express":"4"}}"#, true),
            (r#"{"devDependencies":{"jest":"1"},"dependencies":{}}"#, false),
            ("{}", false),
            ("not json", false),
        ] {
            assert_eq!(has_dependencies(&Folder::of(&[("package.json", manifest)])), needed, "{manifest}");
        }
    }
}
