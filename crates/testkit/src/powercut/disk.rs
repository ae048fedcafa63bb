//! A directory whose power can be cut.
//!
//! Life: [`Disk::new`] takes what is there to be on disk; processes started with [`Disk::environment`] work
//! in it, one after another if need be; when all of them have ended, [`Disk::cut_power`] rebuilds it from
//! what they synced and as much of the rest as luck had it. What is there then is on disk.

use std::collections::HashMap;
use std::fs::{self, File, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::entries::{Entry, SHADOW, key, listed, parse};
use super::layer::Layer;

/// What of the unsynced made it to the disk all the same. All of it may happen: a kernel writes back when
/// it likes and in any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Luck {
    /// Nothing.
    Nothing,
    /// Directories as they were; of files only what was synced. The common case of a journal.
    Names,
    /// Everything: as after the kill of a process.
    Everything,
    /// Each directory and each file by chance, from this seed; files in part, too.
    Chance(u64),
}

/// What became of one file's or directory's unsynced state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Lost,
    Torn,
    Kept,
}

/// A directory on a layer.
#[derive(Debug)]
pub struct Disk {
    layer: Layer,
    root: PathBuf,
    shadow: PathBuf,
}

/// One rebuilding.
struct Rebuild<'a> {
    shadow: &'a Path,
    luck: Luck,
    /// Where each inode is now.
    live: HashMap<String, PathBuf>,
}

// === impl Disk ===

impl Disk {
    /// A disk with its files in `root`, which is made if need be, and its memory in a directory below that
    /// only the layer sees.
    ///
    /// # Errors
    /// It cannot be made or read.
    pub fn new(layer: &Layer, root: &Path) -> Result<Self> {
        fs::create_dir_all(root)?;
        let root = fs::canonicalize(root)?;
        let disk = Self { layer: layer.clone(), shadow: root.join(SHADOW), root };
        disk.settle()?;
        Ok(disk)
    }

    /// The directory; absolute and without links.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What puts a process on the layer.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, &Path); 3] {
        [
            ("LD_PRELOAD", self.layer.library()),
            ("POWERCUT_ROOT", &self.root),
            ("POWERCUT_SHADOW", &self.shadow),
        ]
    }

    /// Puts the directory into a state that a power cut could have left. Nobody may be working in it.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn cut_power(&self, luck: Luck) -> Result<()> {
        let rebuilt = self.root.with_extension("rebuilt");
        fs::create_dir(&rebuilt)?;
        fs::set_permissions(&rebuilt, fs::metadata(&self.root)?.permissions())?;
        let mut live = HashMap::new();
        index(&self.root, &mut live)?;
        let rebuild = Rebuild { shadow: &self.shadow, luck, live };
        rebuild.directory(&key(&self.root)?, &rebuilt)?;
        fs::remove_dir_all(&self.root)?;
        fs::rename(&rebuilt, &self.root)?;
        self.settle()
    }

    /// Takes everything that is there to be on disk: after work of a process that was not on the layer.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn settle(&self) -> Result<()> {
        for kind in ["files", "directories"] {
            let kind = self.shadow.join(kind);
            if kind.exists() {
                fs::remove_dir_all(&kind)?;
            }
            fs::create_dir_all(&kind)?;
        }
        remember(&self.root, &self.shadow)
    }
}

// === impl Rebuild ===

impl Rebuild<'_> {
    fn directory(&self, of: &str, out: &Path) -> Result<()> {
        for entry in self.entries(of)? {
            let path = out.join(&entry.name);
            if entry.is_link() {
                symlink(&entry.target, &path)?;
                continue;
            }
            if entry.is_directory() {
                fs::create_dir(&path)?;
                self.directory(&entry.key, &path)?;
            } else {
                self.file(&entry.key, &path)?;
            }
            fs::set_permissions(&path, Permissions::from_mode(entry.mode & 0o7777))?;
        }
        Ok(())
    }

    fn entries(&self, of: &str) -> Result<Vec<Entry>> {
        let kept = matches!(self.luck, Luck::Names) || self.fate(of) != Fate::Lost;
        if let Some(live) = self.live.get(of).filter(|_| kept) {
            return listed(live);
        }
        let synced = self.shadow.join("directories").join(of);
        match synced.exists() {
            true => parse(&fs::read_to_string(synced)?),
            false => Ok(Vec::new()),
        }
    }

    fn file(&self, of: &str, out: &Path) -> Result<()> {
        let synced = self.shadow.join("files").join(of);
        // A file that has no name any more cannot be read any more: then it was not lucky.
        let live = self.live.get(of);
        match (self.fate(of), live) {
            (Fate::Kept, Some(live)) => drop(fs::copy(live, out)?),
            (Fate::Torn, Some(live)) => fs::write(out, torn(&fs::read(live)?, &synced)?)?,
            _ if synced.exists() => drop(fs::copy(&synced, out)?),
            _ => drop(File::create(out)?),
        }
        Ok(())
    }

    fn fate(&self, of: &str) -> Fate {
        match self.luck {
            Luck::Nothing | Luck::Names => Fate::Lost,
            Luck::Everything => Fate::Kept,
            Luck::Chance(seed) => {
                let mut hasher = DefaultHasher::new();
                (seed, of).hash(&mut hasher);
                match hasher.finish() % 4 {
                    0 | 1 => Fate::Lost,
                    2 => Fate::Torn,
                    _ => Fate::Kept,
                }
            }
        }
    }
}

/// The first half of what was written, over what was synced.
fn torn(live: &[u8], synced: &Path) -> Result<Vec<u8>> {
    let half = live.len() / 2;
    let mut content = live.get(..half).unwrap_or_default().to_vec();
    if synced.exists() {
        content.extend(fs::read(synced)?.into_iter().skip(half));
    }
    Ok(content)
}

/// Takes a tree into the shadow, as if all of it had been synced.
fn remember(directory: &Path, shadow: &Path) -> Result<()> {
    let mut lines = String::new();
    for entry in listed(directory)? {
        let path = directory.join(&entry.name);
        if entry.is_directory() {
            remember(&path, shadow)?;
        } else if !entry.is_link() {
            fs::copy(&path, shadow.join("files").join(&entry.key)).context("a file that cannot be kept")?;
        }
        lines.push_str(&entry.line());
    }
    Ok(fs::write(shadow.join("directories").join(key(directory)?), lines)?)
}

/// Where each inode of a tree is.
fn index(directory: &Path, found: &mut HashMap<String, PathBuf>) -> Result<()> {
    found.insert(key(directory)?, directory.to_owned());
    for entry in listed(directory)? {
        let path = directory.join(&entry.name);
        if entry.is_directory() {
            index(&path, found)?;
        } else {
            found.insert(entry.key, path);
        }
    }
    Ok(())
}
