//! Which language runtimes this machine has: interpreters found once, at start, before any thread.
//!
//! Only real programs count: a version manager's shim is a script that costs 200 ms per start, so each
//! candidate is followed to its end and has to be an ELF file. `/usr` comes first, then `PATH`, then the
//! places where version managers keep whole installations. Nothing here decides what a function gets.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use types::function::Runtime;

/// The oldest Python that our shim runs in.
pub const OLDEST_PYTHON: u8 = 9;
/// The oldest Node.js that our shim runs in.
pub const OLDEST_NODE: u8 = 18;

/// Directories that have one directory per installed version, each with a `bin`.
const INSTALLATIONS: &[&str] = &[
    ".pyenv/versions",
    ".local/share/uv/python",
    ".asdf/installs/python",
    ".asdf/installs/nodejs",
    ".nvm/versions/node",
    ".nodenv/versions",
];

/// One interpreter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreter {
    /// The program itself, no link and no script.
    pub program: PathBuf,
    /// The installation it belongs to: the parent of its `bin`.
    pub prefix: PathBuf,
}

/// Everything that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runtimes {
    /// Python interpreters by minor version.
    pub python: BTreeMap<u8, Interpreter>,
    /// Node.js by major version.
    pub node: BTreeMap<u8, Interpreter>,
}

/// An interpreter for a runtime, and what is to be said about the choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice<'a> {
    /// The interpreter.
    pub interpreter: &'a Interpreter,
    /// The major (Node.js) or minor (Python) version it has.
    pub version: u8,
    /// Whether it is exactly the version that was asked for.
    pub exact: bool,
}

/// Looks for interpreters. Runs `node --version`, so call it before there are threads.
#[must_use]
pub fn discover() -> Runtimes {
    Runtimes::find_in(&places())
}

// === impl Runtimes ===

impl Runtimes {
    /// Looks into the given directories; the first find of a version wins.
    #[must_use]
    pub fn find_in(places: &[PathBuf]) -> Self {
        let mut found = Self::default();
        for place in places {
            for (minor, interpreter) in pythons(place) {
                if minor >= OLDEST_PYTHON {
                    found.python.entry(minor).or_insert(interpreter);
                }
            }
            let Some(node) = program(&place.join("node")) else { continue };
            if found.node.values().any(|known| *known == node) {
                continue;
            }
            if let Some(major) = node_major(&node.program).filter(|major| *major >= OLDEST_NODE) {
                found.node.entry(major).or_insert(node);
            }
        }
        found
    }

    /// AWS's identifiers of the runtimes that can be used here.
    #[must_use]
    pub fn identifiers(&self) -> Vec<String> {
        let python = self.python.keys().map(|minor| Runtime::Python { minor: *minor });
        let newest = self.node.keys().next_back().copied();
        // AWS has even majors only; a newer Node.js runs what was written for an older one.
        let node = (OLDEST_NODE..=newest.unwrap_or(0))
            .filter(|major| major % 2 == 0 || self.node.contains_key(major))
            .map(|major| Runtime::Node { major });
        let provided = ["provided", "provided.al2", "provided.al2023"].map(str::to_owned);
        python.chain(node).map(|runtime| runtime.to_string()).chain(provided).collect()
    }

    /// The interpreter for a runtime: Python exactly, Node.js the nearest that is not older. `None`: there
    /// is none, or the runtime needs none.
    #[must_use]
    pub fn choose(&self, runtime: Runtime) -> Option<Choice<'_>> {
        match runtime {
            Runtime::Python { minor } => {
                self.python.get(&minor).map(|interpreter| Choice { interpreter, version: minor, exact: true })
            }
            Runtime::Node { major } => self.node.range(major..).next().map(|(found, interpreter)| Choice {
                interpreter,
                version: *found,
                exact: *found == major,
            }),
            Runtime::Provided => None,
        }
    }

    /// The Python for a program that asks for none in particular: the system's own, else the newest.
    #[must_use]
    pub fn any_python(&self) -> Option<Choice<'_>> {
        let system = self.python.iter().find(|(_, interpreter)| interpreter.prefix == Path::new("/usr"));
        let (version, interpreter) = system.or_else(|| self.python.iter().next_back())?;
        Some(Choice { interpreter, version: *version, exact: true })
    }

    /// The Node.js for a program that asks for none in particular: the newest.
    #[must_use]
    pub fn any_node(&self) -> Option<Choice<'_>> {
        let (version, interpreter) = self.node.iter().next_back()?;
        Some(Choice { interpreter, version: *version, exact: true })
    }
}

fn places() -> Vec<PathBuf> {
    let mut places = vec![PathBuf::from("/usr/bin"), PathBuf::from("/usr/local/bin")];
    if let Some(path) = env::var_os("PATH") {
        places.extend(env::split_paths(&path).filter(|place| place.is_absolute()));
    }
    if let Some(home) = env::var_os("HOME") {
        for installation in INSTALLATIONS {
            places.extend(subdirectories(&Path::new(&home).join(installation), "bin"));
        }
    }
    places.extend(subdirectories(Path::new("/opt"), "bin"));
    places
}

/// `DIRECTORY/*/below`, the newest names first.
fn subdirectories(directory: &Path, below: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut found: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path().join(below)).filter(|path| path.is_dir()).collect();
    found.sort();
    found.reverse();
    found
}

/// The programs called `python3.N` in a directory.
fn pythons(place: &Path) -> Vec<(u8, Interpreter)> {
    let Ok(entries) = fs::read_dir(place) else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let minor = python_minor(&entry.file_name())?;
            Some((minor, program(&entry.path())?))
        })
        .collect()
}

fn python_minor(name: &OsStr) -> Option<u8> {
    let digits = name.to_str()?.strip_prefix("python3.")?;
    digits.parse().ok()
}

/// The ELF program behind a path, through links; `None` for anything else.
fn program(path: &Path) -> Option<Interpreter> {
    let program = path.canonicalize().ok()?;
    let mut magic = [0; 4];
    File::open(&program).ok()?.read_exact(&mut magic).ok()?;
    if magic != *b"\x7fELF" {
        return None;
    }
    let prefix = program.parent()?.parent()?.to_owned();
    Some(Interpreter { program, prefix })
}

fn node_major(program: &Path) -> Option<u8> {
    let output = Command::new(program)
        .arg("--version")
        .env_clear()
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn takes_programs_and_leaves_scripts() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let bin = root.join("bin");
        fs::create_dir(&bin).unwrap();
        fs::write(bin.join("python3.12"), b"#!/bin/sh\nexec python3.12\n").unwrap();
        fs::write(bin.join("python3.11"), b"\x7fELF and so on").unwrap();
        fs::write(bin.join("python3.7"), b"\x7fELF too old").unwrap();
        symlink(bin.join("python3.11"), bin.join("python3.13")).unwrap();
        let found = Runtimes::find_in(std::slice::from_ref(&bin));
        assert_eq!(found.python.keys().copied().collect::<Vec<_>>(), [11, 13]);
        assert_eq!(found.python[&13].program, bin.join("python3.11"));
        assert_eq!(found.python[&13].prefix, root);
    }

    #[test]
    fn a_newer_node_stands_in_for_an_older_one() {
        let node = Interpreter { program: "/usr/bin/node".into(), prefix: "/usr".into() };
        let runtimes = Runtimes { node: BTreeMap::from([(20, node)]), ..Runtimes::default() };
        assert!(!runtimes.choose(Runtime::Node { major: 18 }).unwrap().exact);
        assert!(runtimes.choose(Runtime::Node { major: 20 }).unwrap().exact);
        assert_eq!(runtimes.choose(Runtime::Node { major: 22 }), None);
        let identifiers = runtimes.identifiers();
        assert!(
            identifiers.contains(&"nodejs18.x".to_owned()) && !identifiers.contains(&"nodejs22.x".to_owned())
        );
    }
}
