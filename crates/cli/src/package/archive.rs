//! The zip: entries in the order of their names, fixed times, modes reduced to "executable or not", so
//! that equal content gives equal bytes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Cursor, Write as _};
use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::error::Error;

/// Where an entry's content is.
#[derive(Debug, Clone)]
pub enum Source {
    /// A file on disk.
    File {
        /// Where.
        path: PathBuf,
        /// Whether it may be executed.
        executable: bool,
    },
    /// Made by the deploy.
    Made {
        /// Its content.
        content: Vec<u8>,
        /// Whether it may be executed.
        executable: bool,
    },
    /// A symbolic link that stays inside.
    Link {
        /// Relative to the link.
        target: String,
    },
}

/// Everything that goes into a zip, by path.
#[derive(Debug, Clone, Default)]
pub struct Package {
    /// The entries.
    pub entries: BTreeMap<String, Source>,
}

/// A finished zip.
#[derive(Debug)]
pub struct Zip {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// How many files are in it.
    pub files: usize,
    /// SHA-256 in base64: AWS's `CodeSha256`.
    pub sha256: String,
}

// === impl Source ===

impl Source {
    /// The whole content; a link has none.
    pub fn read(&self) -> Result<Vec<u8>, Error> {
        match self {
            Self::File { path, .. } => fs::read(path).map_err(Error::file("read", path)),
            Self::Made { content, .. } => Ok(content.clone()),
            Self::Link { .. } => Ok(Vec::new()),
        }
    }
}

// === impl Package ===

impl Package {
    /// Adds what is not there yet: the folder's own files come before installed ones.
    pub fn add_missing(&mut self, entries: impl IntoIterator<Item = (String, Source)>) {
        for (path, source) in entries {
            self.entries.entry(path).or_insert(source);
        }
    }

    /// Compresses everything.
    pub fn zip(&self) -> Result<Zip, Error> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(DateTime::default());
        for (path, source) in &self.entries {
            let written = match source {
                Source::Link { target } => writer.add_symlink(path, target, options),
                Source::File { executable, .. } | Source::Made { executable, .. } => {
                    let mode = if *executable { 0o755 } else { 0o644 };
                    let content = source.read()?;
                    writer
                        .start_file(path, options.unix_permissions(mode))
                        .and_then(|()| writer.write_all(&content).map_err(io::Error::into))
                }
            };
            written.map_err(Error::Zip)?;
        }
        let bytes = writer.finish().map_err(Error::Zip)?.into_inner();
        let sha256 = BASE64_STANDARD.encode(Sha256::digest(&bytes));
        Ok(Zip { bytes, files: self.entries.len(), sha256 })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn made(text: &str, executable: bool) -> Source {
        Source::Made { content: text.as_bytes().to_vec(), executable }
    }

    #[test]
    fn equal_content_gives_equal_bytes_and_modes_survive() {
        let entries = [
            ("b.py", made("b", false)),
            ("a.sh", made("a", true)),
            ("l", Source::Link { target: "b.py".into() }),
        ];
        let package = Package { entries: entries.map(|(path, source)| (path.to_owned(), source)).into() };
        let zip = package.zip().unwrap();
        assert_eq!(zip.sha256, package.clone().zip().unwrap().sha256);
        let mut archive = zip::ZipArchive::new(Cursor::new(zip.bytes)).unwrap();
        assert_eq!(archive.file_names().map(Result::unwrap).collect::<Vec<_>>(), ["a.sh", "b.py", "l"]);
        assert_eq!(archive.by_name("a.sh").unwrap().unix_mode().unwrap() & 0o777, 0o755);
        assert!(archive.by_name("l").unwrap().is_symlink());
        let mut text = String::new();
        archive.by_name("b.py").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "b");
    }

    #[test]
    fn the_folders_own_files_win_over_installed_ones() {
        let mut package = Package { entries: BTreeMap::from([("six.py".to_owned(), made("mine", false))]) };
        package.add_missing([
            ("six.py".to_owned(), made("theirs", false)),
            ("new.py".to_owned(), made("n", false)),
        ]);
        assert_eq!(package.entries["six.py"].read().unwrap(), b"mine");
        assert_eq!(package.entries.len(), 2);
    }
}
