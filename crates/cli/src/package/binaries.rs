//! Finds binaries that cannot run where the function will: wheels and extension modules of another
//! Python, libraries and programs of another machine. Found now, they are a named error at deploy; found
//! later, an import error in a log.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;

use super::archive::{Package, Source};
use super::error::Error;
use super::wheel::{Tag, of_extension_module};

/// How much of a file is read to know its machine.
const HEAD: usize = 20;

/// What the function runs on.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The `N` of `python3.N`, where Python is used.
    pub python: Option<u8>,
    /// `x86_64` or `aarch64`.
    pub machine: &'static str,
}

// === impl Target ===

impl Target {
    /// This machine, with this Python.
    pub fn here(python: Option<u8>) -> Self {
        Self { python, machine: std::env::consts::ARCH }
    }

    fn describe(&self) -> String {
        match self.python {
            Some(minor) => format!("python3.{minor} on Linux {}", self.machine),
            None => format!("Linux {}", self.machine),
        }
    }
}

/// Checks every entry of a package.
///
/// # Errors
/// [`Error::ForeignBinary`] for the first that cannot run.
pub fn check(package: &Package, target: &Target) -> Result<(), Error> {
    let mut wheels: BTreeMap<String, Vec<(String, Tag)>> = BTreeMap::new();
    for (path, source) in &package.entries {
        let file = path.rsplit('/').next().unwrap_or(path);
        if path.ends_with(".dist-info/WHEEL") {
            check_installed(path, source, target)?;
        } else if let Some((name, tag)) = Tag::of_wheel(file) {
            wheels.entry(name).or_default().push((path.clone(), tag));
        } else if is_library(file) || path == "bootstrap" {
            check_library(path, file, source, target)?;
        }
    }
    // A folder may carry one wheel per machine: it is enough that one of them fits.
    for candidates in wheels.into_values() {
        if candidates.iter().any(|(_, tag)| tag.fits(target)) {
            continue;
        }
        if let Some((path, tag)) = candidates.first() {
            return Err(foreign(path, tag.describe(), target));
        }
    }
    Ok(())
}

fn is_library(file: &str) -> bool {
    file.ends_with(".so") || file.ends_with(".node") || file.ends_with(".pyd") || file.contains(".so.")
}

/// The metadata of an installed wheel: any of its tags has to fit.
fn check_installed(path: &str, source: &Source, target: &Target) -> Result<(), Error> {
    let text = String::from_utf8_lossy(&source.read()?).into_owned();
    let tags: Vec<Tag> = text.lines().filter_map(|line| Tag::parse(line.strip_prefix("Tag:")?)).collect();
    match tags.first() {
        Some(first) if !tags.iter().any(|tag| tag.fits(target)) => {
            let name = path.trim_end_matches(".dist-info/WHEEL");
            Err(foreign(name, first.describe(), target))
        }
        _ => Ok(()),
    }
}

fn check_library(path: &str, file: &str, source: &Source, target: &Target) -> Result<(), Error> {
    if let Some(tag) = of_extension_module(file).filter(|tag| !tag.fits(target)) {
        return Err(foreign(path, tag.describe(), target));
    }
    match machine(&head(source)?) {
        Some(machine) if machine != target.machine => Err(foreign(path, machine.to_owned(), target)),
        _ => Ok(()),
    }
}

fn foreign(file: &str, built_for: String, target: &Target) -> Error {
    Error::ForeignBinary { file: file.to_owned(), built_for, runs_on: target.describe() }
}

fn head(source: &Source) -> Result<Vec<u8>, Error> {
    let Source::File { path, .. } = source else { return source.read() };
    let file = File::open(path).map_err(Error::file("read", path))?;
    let mut head = Vec::with_capacity(HEAD);
    file.take(HEAD as u64).read_to_end(&mut head).map_err(Error::file("read", path))?;
    Ok(head)
}

/// The machine in the header of an executable; `None` for anything that is none (a script, a text).
fn machine(head: &[u8]) -> Option<&'static str> {
    match head {
        [0xfe, 0xed, 0xfa, ..] | [0xcf | 0xce, 0xfa, 0xed, 0xfe, ..] => Some("macOS"),
        [b'M', b'Z', ..] => Some("Windows"),
        [0x7f, b'E', b'L', b'F', _, order, ..] => {
            let field = [*head.get(18)?, *head.get(19)?];
            let machine = if *order == 2 { u16::from_be_bytes(field) } else { u16::from_le_bytes(field) };
            Some(match machine {
                3 => "x86",
                40 => "arm",
                62 => "x86_64",
                183 => "aarch64",
                243 => "riscv64",
                _ => "another machine",
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Target = Target { python: Some(11), machine: "x86_64" };

    fn elf(machine: u8) -> Vec<u8> {
        let mut head = vec![0x7f, b'E', b'L', b'F', 2, 1, 1];
        head.resize(18, 0);
        head.extend([machine, 0]);
        head
    }

    fn checked(entries: &[(&str, Vec<u8>)]) -> Result<(), Error> {
        let made = |content: &Vec<u8>| Source::Made { content: content.clone(), executable: false };
        let entries = entries.iter().map(|(path, content)| ((*path).to_owned(), made(content))).collect();
        check(&Package { entries }, &TARGET)
    }

    #[test]
    fn names_what_cannot_run_here() {
        for (path, content, word) in [
            ("numpy/core/_x.cpython-37m-x86_64-linux-gnu.so", elf(62), "CPython 3.7"),
            ("x/_y.abi3.so", elf(183), "aarch64"),
            ("bootstrap", elf(183), "aarch64"),
            ("n/build.node", vec![0xcf, 0xfa, 0xed, 0xfe], "macOS"),
            (
                "numpy-1.2.dist-info/WHEEL",
                b"Wheel-Version: 1.0\nTag: cp37-cp37m-linux_x86_64\n".to_vec(),
                "CPython 3.7",
            ),
            ("wheels/a-1.0-cp37-cp37m-manylinux1_x86_64.whl", Vec::new(), "CPython 3.7"),
        ] {
            let error = checked(&[(path, content)]).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains("python3.11"), "{path}: {error}");
        }
    }

    #[test]
    fn takes_what_can_run_here() {
        checked(&[
            ("x/_y.cpython-311-x86_64-linux-gnu.so", elf(62)),
            ("x/_y.abi3.so", elf(62)),
            ("bootstrap", b"#!/bin/sh\n".to_vec()),
            ("a-1.dist-info/WHEEL", b"Tag: cp37-abi3-manylinux1_x86_64\nTag: cp37-abi3-x\n".to_vec()),
            ("w/a-1.0-cp37-cp37m-linux_x86_64.whl", Vec::new()),
            ("w/a-1.0-cp311-cp311-linux_x86_64.whl", Vec::new()),
        ])
        .unwrap();
    }
}
