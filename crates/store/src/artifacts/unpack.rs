//! Writing a plan out as a tree, and making the tree durable.
//!
//! The tree is written aside, into a directory nobody knows. Bytes are counted as they are inflated, so
//! what a zip declares is never believed. Files become 0644 or 0755, directories 0755, whatever the umask;
//! links come last, so nothing is ever written through one.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Cursor, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;
use std::thread;

use bytes::Bytes;
use zip::ZipReadOptions;
use zip::read::ZipFileEntry;

use super::Error;
use super::plan::{self, File, Plan};
use crate::durable::Durability;

const BUFFER: usize = 64 * 1024;
/// Syncs that go on at once: the file system makes one journal commit of those that meet.
const SYNCING: usize = 8;

/// How many bytes may still be written.
struct Budget {
    limit: u64,
    left: u64,
}

// === impl Budget ===

impl Budget {
    fn spend(&mut self, count: u64) -> Result<(), Error> {
        self.left = self.left.checked_sub(count).ok_or(Error::TooLarge { limit: self.limit })?;
        Ok(())
    }
}

/// Writes the tree below `root`, which must not exist.
pub(crate) fn unpack(bytes: &Bytes, plan: &Plan, root: &Path) -> Result<(), Error> {
    fs::DirBuilder::new().mode(0o700).create(root)?;
    for directory in &plan.directories {
        let path = root.join(directory);
        fs::create_dir(&path)?;
        open_to_all(&path)?;
    }
    write_files(bytes, plan, root)?;
    for (path, target) in &plan.links {
        symlink(target, root.join(path))?;
    }
    Ok(open_to_all(root)?)
}

/// By descriptor: the server may not change permissions by path, which could be anybody's.
fn open_to_all(directory: &Path) -> io::Result<()> {
    fs::File::open(directory)?.set_permissions(Permissions::from_mode(0o755))
}

/// Makes a written tree durable: files, then the directories that name them.
pub(crate) fn sync(plan: &Plan, root: &Path, durability: Durability) -> Result<(), Error> {
    if durability == Durability::Unsynced {
        return Ok(());
    }
    let files: Vec<&str> = plan.files.iter().map(|file| file.path.as_str()).collect();
    let share = files.len().div_ceil(SYNCING).max(1);
    thread::scope(|scope| {
        let started: Vec<_> = files
            .chunks(share)
            .map(|files| {
                scope.spawn(move || files.iter().try_for_each(|path| durability.sync_file(&root.join(path))))
            })
            .collect();
        started.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|_| Err(io::Error::other("a syncing thread panicked")))
        })
    })?;
    for directory in plan.directories.iter().rev() {
        durability.sync_directory(&root.join(directory))?;
    }
    Ok(durability.sync_directory(root)?)
}

fn write_files(bytes: &Bytes, plan: &Plan, root: &Path) -> Result<(), Error> {
    let mut zip = plan::open(bytes)?;
    let mut entries = zip.files().map_err(plan::not_a_zip)?.enumerate();
    let mut buffer = vec![0; BUFFER];
    let mut budget = Budget { limit: plan.limit, left: plan.limit };
    for file in &plan.files {
        // Both passes see the same bytes, so the planned entry is always found.
        let Some((_, entry)) = entries.find(|(position, _)| *position == file.position) else { break };
        let entry = entry.map_err(plan::not_a_zip)?;
        write_file(bytes, entry, file, root, &mut buffer, &mut budget)?;
    }
    Ok(())
}

fn write_file(
    bytes: &Bytes,
    entry: ZipFileEntry<'static>,
    file: &File,
    root: &Path,
    buffer: &mut [u8],
    budget: &mut Budget,
) -> Result<(), Error> {
    let mut content = Cursor::new(bytes.clone());
    let mut reader = entry.with_reader(&mut content, ZipReadOptions::new()).map_err(plan::not_a_zip)?;
    let mode = if file.executable { 0o755 } else { 0o644 };
    let mut writer =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(root.join(&file.path))?;
    writer.set_permissions(Permissions::from_mode(mode))?;
    loop {
        let count = reader.read(buffer).map_err(|error| broken(&file.path, &error))?;
        let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else { return Ok(()) };
        budget.spend(count as u64)?;
        writer.write_all(read)?;
    }
}

fn broken(path: &str, error: &io::Error) -> Error {
    Error::NotAZip { reason: format!("entry `{path}`: {error}").to_lowercase() }
}
