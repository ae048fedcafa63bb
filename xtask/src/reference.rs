//! Reference pages generated from the code that they describe. `check` fails when a page is stale.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;

use crate::error;
use crate::finding::Finding;

/// A page: where it is, and what it says.
type Page = (&'static str, fn() -> String);

/// All pages.
const PAGES: &[Page] = &[("docs/reference/settings.md", settings)];

/// Writes every page.
pub(crate) fn write(root: &Path) -> Result<()> {
    for (path, page) in PAGES {
        let path = root.join(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, page())?;
    }
    Ok(())
}

/// Compares every page with what would be written.
pub(crate) fn check(root: &Path) -> Result<Vec<Finding>> {
    let stale = PAGES.iter().filter(|(path, page)| {
        std::fs::read_to_string(root.join(path)).ok().as_deref() != Some(page().as_str())
    });
    Ok(stale.map(|(path, _)| error(*path, "is stale: run `make reference`")).collect())
}

fn settings() -> String {
    let mut page = String::from(
        "# Settings of a function\n\n\
         Generated from `crates/types/src/settings.rs` by `make reference`; do not edit.\n\n\
         Lambent's own settings are function tags, so that every AWS client and template can set them.\n\
         An unknown `lambent:` tag is an error.\n\n\
         | tag | takes |\n|---|---|\n",
    );
    for (tag, takes) in types::settings::KNOWN {
        // Writing to a String cannot fail.
        let _ = writeln!(page, "| `{tag}` | {takes} |");
    }
    page
}
