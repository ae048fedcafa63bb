//! What every source file owes its reader: a module doc, a size one can proofread, no hidden gaps.
//! Reads text only; what needs a compiler is clippy's business.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::finding::Finding;
use crate::{error, warning};

/// Lines from which a file is too long to land.
const MAX_LINES: usize = 1_000;
/// Lines from which a file should be split.
const LONG_LINES: usize = 600;
/// Lines a table of contents (`lib.rs`, `mod.rs`) may have.
const MAX_CONTENTS: usize = 150;
/// Texts that hide a gap. Put together so that this file does not hold them.
const GAPS: [&str; 3] = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("#[", "ignore")];

/// Checks every Rust file of the workspace.
pub(crate) fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut files = Vec::new();
    for folder in ["crates", "bench/load", "xtask"] {
        collect(&root.join(folder), &mut files)?;
    }
    files.sort();
    let mut findings = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let name = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        findings.extend(check_file(&name, &text));
    }
    Ok(findings)
}

fn check_file(name: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = text.lines().count();
    if !text.starts_with("//!") {
        findings.push(error(name, "does not begin with `//!`: say what it is and what it is not"));
    }
    if lines > MAX_LINES {
        findings.push(error(name, format!("{lines} lines, the cap is {MAX_LINES}: split it")));
    } else if lines > LONG_LINES {
        findings.push(warning(name, format!("{lines} lines: split it before it reaches {MAX_LINES}")));
    }
    let contents = name.ends_with("/lib.rs") || name.ends_with("/mod.rs");
    if contents && !name.contains("/tests/") && lines > MAX_CONTENTS {
        findings
            .push(error(name, format!("{lines} lines in a table of contents, the cap is {MAX_CONTENTS}")));
    }
    for gap in GAPS.iter().filter(|gap| text.contains(**gap)) {
        findings.push(error(name, format!("holds `{gap}`: finish it, or leave it out and say so")));
    }
    let is_root = ["/src/lib.rs", "/src/main.rs"].iter().any(|root| name.ends_with(root));
    if is_root && !name.starts_with("crates/sandbox/") && !text.contains("#![forbid(unsafe_code)]") {
        findings.push(error(name, "does not `#![forbid(unsafe_code)]`: only `sandbox` may hold unsafe code"));
    }
    findings
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_it_promises_to_find() {
        let long = format!("//! Doc.\n{}", "x\n".repeat(MAX_LINES));
        for (name, text, expected) in [
            ("crates/a/src/b.rs", "fn main() {}", "does not begin"),
            ("crates/a/src/b.rs", long.as_str(), "the cap is 1000"),
            ("crates/a/src/lib.rs", "//! Doc.\n", "forbid"),
            ("crates/a/src/b.rs", concat!("//! Doc.\ntodo", "!()"), "holds"),
        ] {
            let findings = check_file(name, text);
            assert!(findings.iter().any(|finding| finding.text.contains(expected)), "{name}: {findings:?}");
        }
        assert_eq!(check_file("crates/sandbox/src/lib.rs", "//! Doc.\n"), []);
    }
}
