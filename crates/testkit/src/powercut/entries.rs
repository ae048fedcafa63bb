//! A directory's entries, from the live file system and as the layer writes them down.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result, bail};

/// What the layer's own directory below the root is called. It is nobody's entry.
pub(super) const SHADOW: &str = ".powercut-shadow";

/// One entry: which inode it names, how.
#[derive(Debug)]
pub(super) struct Entry {
    /// The layer's name for the inode.
    pub(super) key: String,
    /// Type and permissions.
    pub(super) mode: u32,
    pub(super) name: String,
    /// Where a symbolic link leads; empty for others.
    pub(super) target: String,
}

// === impl Entry ===

impl Entry {
    pub(super) fn is_directory(&self) -> bool {
        self.mode & 0o170_000 == 0o040_000
    }

    pub(super) fn is_link(&self) -> bool {
        self.mode & 0o170_000 == 0o120_000
    }

    /// As the layer writes it down.
    pub(super) fn line(&self) -> String {
        let Self { key, mode, name, target } = self;
        format!("{key}\0{mode:o}\0{name}\0{target}\0")
    }
}

/// The layer's name for an inode: its number and the time of its birth.
pub(super) fn key(path: &Path) -> Result<String> {
    let metadata = fs::symlink_metadata(path).with_context(|| path.display().to_string())?;
    let birth = metadata.created()?.duration_since(UNIX_EPOCH)?;
    Ok(format!("{}-{}-{}", metadata.ino(), birth.as_secs(), birth.subsec_nanos()))
}

/// The entries a directory has now.
pub(super) fn listed(directory: &Path) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        if path.ends_with(SHADOW) {
            continue;
        }
        let mode = fs::symlink_metadata(&path)?.mode();
        let target = match fs::read_link(&path) {
            Ok(target) => target.to_str().context("a link that is not text")?.to_owned(),
            Err(_) => String::new(),
        };
        let name = path.file_name().and_then(|name| name.to_str()).context("a name that is not text")?;
        entries.push(Entry { key: key(&path)?, mode, name: name.to_owned(), target });
    }
    Ok(entries)
}

/// Reads what the layer, or [`Entry::line`], wrote down.
pub(super) fn parse(text: &str) -> Result<Vec<Entry>> {
    let fields: Vec<&str> = text.split_terminator('\0').collect();
    fields
        .chunks(4)
        .map(|fields| {
            let [key, mode, name, target] = fields else { bail!("a broken entry: {fields:?}") };
            Ok(Entry {
                key: (*key).to_owned(),
                mode: u32::from_str_radix(mode, 8)?,
                name: (*name).to_owned(),
                target: (*target).to_owned(),
            })
        })
        .collect()
}
