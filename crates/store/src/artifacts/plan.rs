//! What a zip will become, decided before anything is written.
//!
//! A [`Plan`] lists directories, files and links by paths that are relative, normal and each other's only
//! owner. A zip that cannot be planned is refused as a whole. Sizes are the declared ones: [`super::unpack`]
//! counts again while it inflates.

use std::collections::{BTreeSet, HashSet};
use std::io::{Cursor, Read};

use bytes::Bytes;
use types::limits::Limits;
use zip::read::{Config, ZipFileEntry};
use zip::result::ZipError;
use zip::unstable::read::ZipIterable;
use zip::{CompressionMethod, ZipReadOptions};

use super::Error;
use super::links::{self, Links};

/// The longest path and the longest name in it that we take; the kernel's own limits are 4096 and 255.
const MAX_PATH: usize = 2048;
const MAX_NAME: usize = 255;
/// The longest target of a link.
const MAX_TARGET: u64 = 1024;

const MODE_FORMAT: u32 = 0o170_000;
const MODE_DIRECTORY: u32 = 0o040_000;
const MODE_FILE: u32 = 0o100_000;
const MODE_LINK: u32 = 0o120_000;
const MODE_EXECUTE: u32 = 0o111;

/// What a zip will become.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Directories, parents first.
    pub(crate) directories: BTreeSet<String>,
    /// Files, in the zip's order.
    pub(crate) files: Vec<File>,
    /// Links and their targets.
    pub(crate) links: Links,
    /// Most bytes all files may have together.
    pub(crate) limit: u64,
    unpacked_size: u64,
}

/// One file of a plan.
#[derive(Debug)]
pub(crate) struct File {
    /// Its position in the zip's directory.
    pub(crate) position: usize,
    /// Its path.
    pub(crate) path: String,
    /// Whether it may be executed.
    pub(crate) executable: bool,
}

enum Kind {
    Directory,
    File { executable: bool },
    Link,
}

struct Planner<'a> {
    plan: Plan,
    limits: &'a Limits,
    /// Paths of files and links.
    leaves: HashSet<String>,
}

// === impl Plan ===

impl Plan {
    /// Reads a zip's directory.
    pub(crate) fn read(bytes: &Bytes, limits: &Limits) -> Result<Self, Error> {
        let mut zip = open(bytes)?;
        if zip.is_empty() {
            return Err(Error::Empty);
        }
        if zip.len() as u64 > limits.code_entries {
            return Err(Error::TooManyEntries { limit: limits.code_entries });
        }
        let mut planner = Planner {
            plan: Self {
                directories: BTreeSet::new(),
                files: Vec::with_capacity(zip.len()),
                links: Links::new(),
                limit: limits.code_unzipped,
                unpacked_size: 0,
            },
            limits,
            leaves: HashSet::with_capacity(zip.len()),
        };
        for (position, entry) in zip.files().map_err(not_a_zip)?.enumerate() {
            planner.add(position, entry.map_err(not_a_zip)?, bytes)?;
        }
        planner.finish()
    }

    /// Bytes of all files.
    pub(crate) fn unpacked_size(&self) -> u64 {
        self.unpacked_size
    }
}

// === impl Planner ===

impl Planner<'_> {
    fn add(&mut self, position: usize, entry: ZipFileEntry<'static>, bytes: &Bytes) -> Result<(), Error> {
        let name = entry.name().map_err(not_a_zip)?.into_owned();
        let Some(path) = normalise(&name)? else { return Ok(()) };
        if entry.encrypted() {
            return Err(unreadable(&name, "it is encrypted: make the zip without a password"));
        }
        let compression = entry.compression();
        if !matches!(compression, CompressionMethod::Stored | CompressionMethod::Deflated) {
            let reason = format!("its compression is {compression:?}: make the zip with deflate");
            return Err(unreadable(&name, &reason));
        }
        match kind(&entry, &name)? {
            Kind::Directory => self.add_directory(&path, &name)?,
            Kind::File { executable } => {
                self.add_size(entry.size())?;
                self.add_leaf(&path, &name)?;
                self.plan.files.push(File { position, path, executable });
            }
            Kind::Link => {
                let target = link_target(entry, &name, bytes)?;
                self.add_leaf(&path, &name)?;
                self.plan.links.insert(path, target);
            }
        }
        let limit = self.limits.code_entries;
        // Directories count too: a path of a thousand levels is one entry and a thousand inodes.
        if (self.leaves.len() + self.plan.directories.len()) as u64 > limit {
            return Err(Error::TooManyEntries { limit });
        }
        Ok(())
    }

    fn add_size(&mut self, size: u64) -> Result<(), Error> {
        self.plan.unpacked_size = self.plan.unpacked_size.saturating_add(size);
        if self.plan.unpacked_size > self.plan.limit {
            return Err(Error::TooLarge { limit: self.plan.limit });
        }
        Ok(())
    }

    fn add_leaf(&mut self, path: &str, entry: &str) -> Result<(), Error> {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.add_directory(parent, entry)?;
        }
        if self.plan.directories.contains(path) || !self.leaves.insert(path.to_owned()) {
            return Err(Error::Duplicate { entry: entry.to_owned() });
        }
        Ok(())
    }

    /// Adds a directory and those above it. A directory may be listed twice; it may not be a file or a
    /// link as well, which would lead what is below it somewhere else.
    fn add_directory(&mut self, path: &str, entry: &str) -> Result<(), Error> {
        let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
        for directory in ends.filter_map(|end| path.get(..end)) {
            if self.leaves.contains(directory) {
                return Err(Error::Duplicate { entry: entry.to_owned() });
            }
            if !self.plan.directories.contains(directory) {
                self.plan.directories.insert(directory.to_owned());
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Plan, Error> {
        match self.plan.links.keys().find(|path| !links::stays_inside(path, &self.plan.links)) {
            Some(path) => Err(Error::Escapes { entry: path.clone() }),
            None => Ok(self.plan),
        }
    }
}

/// Opens a zip for a pass over its directory, entry by entry: nothing is held in memory for each.
pub(crate) fn open(bytes: &Bytes) -> Result<ZipIterable<Cursor<Bytes>>, Error> {
    ZipIterable::try_new(Cursor::new(bytes.clone()), Config::default()).map_err(not_a_zip)
}

/// A zip's path without `.` and doubled slashes; `None` for the top level itself.
fn normalise(name: &str) -> Result<Option<String>, Error> {
    if name.starts_with('/') {
        return Err(Error::Escapes { entry: name.to_owned() });
    }
    if name.contains(['\0', '\\']) {
        let reason = "its name has a backslash or a zero byte: make the zip with forward slashes";
        return Err(unreadable(name, reason));
    }
    let mut path = String::with_capacity(name.len());
    for component in name.split('/') {
        match component {
            "" | "." => continue,
            ".." => return Err(Error::Escapes { entry: name.to_owned() }),
            _ if component.len() > MAX_NAME => return Err(too_long(name)),
            _ => {}
        }
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(component);
    }
    if path.len() > MAX_PATH {
        return Err(too_long(name));
    }
    Ok(if path.is_empty() { None } else { Some(path) })
}

fn kind(entry: &ZipFileEntry<'_>, name: &str) -> Result<Kind, Error> {
    let mode = entry.unix_mode().unwrap_or(0);
    match mode & MODE_FORMAT {
        MODE_DIRECTORY => Ok(Kind::Directory),
        MODE_LINK => Ok(Kind::Link),
        0 | MODE_FILE if name.ends_with('/') => Ok(Kind::Directory),
        0 | MODE_FILE => Ok(Kind::File { executable: mode & MODE_EXECUTE != 0 }),
        _ => Err(Error::Special { entry: name.to_owned() }),
    }
}

fn link_target(entry: ZipFileEntry<'static>, name: &str, bytes: &Bytes) -> Result<String, Error> {
    let mut content = Cursor::new(bytes.clone());
    let file = entry.with_reader(&mut content, ZipReadOptions::new()).map_err(not_a_zip)?;
    let mut target = String::new();
    let read = file.take(MAX_TARGET + 1).read_to_string(&mut target);
    if read.is_err() || target.is_empty() || target.len() as u64 > MAX_TARGET || target.contains('\0') {
        return Err(unreadable(name, "its link's target is not a path: make the zip with zip -y"));
    }
    Ok(target)
}

fn unreadable(entry: &str, reason: &str) -> Error {
    Error::Unreadable { entry: entry.to_owned(), reason: reason.to_owned() }
}

fn too_long(entry: &str) -> Error {
    // The whole name would drown the message.
    let start: String = entry.chars().take(40).collect();
    unreadable(&format!("{start}..."), "its name is too long: shorten it")
}

pub(crate) fn not_a_zip(error: ZipError) -> Error {
    let reason = match error {
        // The reader is memory: what goes wrong there is the data's doing.
        ZipError::Io(error) => error.to_string(),
        ZipError::InvalidArchive(reason) => reason.into_owned(),
        error => error.to_string(),
    };
    Error::NotAZip { reason: reason.to_lowercase() }
}
