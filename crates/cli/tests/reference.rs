//! The command line's reference page, made from what the binary itself says. The test fails when the page
//! in `docs/reference/cli.md` is stale; `make reference` writes it anew.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

const HEAD: &str =
    "# Command line\n\nWhat `lambent COMMAND --help` prints; written by `make reference`, do not edit.\n";

#[test]
fn the_page_says_what_the_binary_says() {
    let mut page = HEAD.to_owned();
    let overview = help(&[]);
    write!(page, "\n```text\n{overview}```\n").unwrap();
    for command in commands(&overview) {
        write!(page, "\n## lambent {command}\n\n```text\n{}```\n", help(&[command])).unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/cli.md");
    if std::env::var_os("LAMBENT_WRITE_REFERENCE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/reference/cli.md is stale: run `make reference`");
}

/// The commands that the overview lists.
fn commands(overview: &str) -> Vec<&str> {
    let listed = overview.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = listed
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names: Vec<&str> =
        lines.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect();
    assert!(names.contains(&"serve") && names.contains(&"deploy"), "no commands in:\n{overview}");
    names
}

#[expect(clippy::unwrap_used, reason = "a test's panic is its verdict")]
fn help(command: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_lambent"))
        .args(command)
        .arg("--help")
        .env_clear()
        .env("COLUMNS", "100")
        .output()
        .unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    // Trailing spaces are the layout's, not the text's.
    text.lines().fold(String::new(), |page, line| page + line.trim_end() + "\n")
}
