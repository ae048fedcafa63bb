//! Reads a folder: which of its files are packaged, and the texts that detection needs. Follows no
//! directory link and reads no content but those texts.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use super::archive::Source;
use super::error::Error;
use super::ignore::{Ignore, is_never_packaged};
use crate::detect::{File, Folder};

/// Longest text that detection reads: no entry module is larger.
const MAX_TEXT: u64 = 1024 * 1024;
/// How deep Python sources are read: `src/package/module.py`.
const MAX_TEXT_DEPTH: usize = 3;

/// What a folder holds.
#[derive(Debug, Default)]
pub struct Walk {
    /// What is packaged, by relative path.
    pub sources: BTreeMap<String, Source>,
    /// The same for detection.
    pub folder: Folder,
    /// What a pattern left out, for the user to know; directories end with `/`.
    pub left_out: Vec<String>,
    /// The file with those patterns.
    pub patterns_from: Option<&'static str>,
    /// Whether there is a `.env`, which is never packaged.
    pub has_env_file: bool,
}

/// One walk in progress.
struct Walker<'a> {
    root: &'a Path,
    ignore: Ignore,
    walk: Walk,
}

/// Walks a folder.
pub fn walk(root: &Path) -> Result<Walk, Error> {
    if !root.is_dir() {
        return Err(Error::NotAFolder { path: root.to_owned() });
    }
    let mut walk = Walk { has_env_file: root.join(".env").is_file(), ..Walk::default() };
    let mut ignore = Ignore::default();
    for file in [".lambentignore", ".gitignore"] {
        if let Ok(text) = fs::read_to_string(root.join(file)) {
            ignore = Ignore::parse(&text);
            walk.patterns_from = Some(file);
            break;
        }
    }
    let mut walker = Walker { root, ignore, walk };
    walker.directory(root, "")?;
    Ok(walker.walk)
}

// === impl Walker ===

impl Walker<'_> {
    fn directory(&mut self, directory: &Path, prefix: &str) -> Result<(), Error> {
        let failed = || Error::file("read", directory);
        for entry in fs::read_dir(directory).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            let path = entry.path();
            let name = entry.file_name().into_string().map_err(|_| Error::Name { path: path.clone() })?;
            let kind = entry.file_type().map_err(Error::file("read", &path))?;
            let relative = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
            if is_never_packaged(&name, kind.is_dir()) || is_virtual_environment(&path) {
                continue;
            }
            if self.ignore.leaves_out(&relative, kind.is_dir()) {
                self.walk.left_out.push(if kind.is_dir() { format!("{relative}/") } else { relative });
                continue;
            }
            if kind.is_dir() {
                self.directory(&path, &relative)?;
            } else if kind.is_symlink() {
                self.link(path, relative)?;
            } else if kind.is_file() {
                self.file(path, relative)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: PathBuf, relative: String) -> Result<(), Error> {
        let metadata = fs::metadata(&path).map_err(Error::file("read", &path))?;
        let executable = metadata.permissions().mode() & 0o100 != 0;
        let wanted = metadata.len() <= MAX_TEXT && is_text_of_interest(&relative);
        let text =
            if wanted { fs::read(&path).ok().and_then(|bytes| String::from_utf8(bytes).ok()) } else { None };
        self.walk.folder.insert(relative.clone(), File { executable, text });
        self.walk.sources.insert(relative, Source::File { path, executable });
        Ok(())
    }

    /// A link that stays inside is kept; one that leaves is replaced by the file it leads to.
    fn link(&mut self, path: PathBuf, relative: String) -> Result<(), Error> {
        let target = fs::read_link(&path).map_err(Error::file("read", &path))?;
        if let Some(text) = target.to_str().filter(|_| stays_inside(&relative, &target)) {
            let text = text.to_owned();
            if fs::metadata(&path).is_ok_and(|metadata| metadata.is_file()) {
                self.file(path, relative.clone())?;
            }
            self.walk.sources.insert(relative, Source::Link { target: text });
            return Ok(());
        }
        if fs::metadata(&path).is_ok_and(|metadata| metadata.is_file()) && self.root.is_dir() {
            return self.file(path, relative);
        }
        Err(Error::Link { path: relative, target })
    }
}

/// Every file and link of a directory of installed packages, whatever it is called.
pub fn everything(root: &Path) -> Result<Vec<(String, Source)>, Error> {
    let mut entries = Vec::new();
    let mut directories = vec![(root.to_owned(), String::new())];
    while let Some((directory, prefix)) = directories.pop() {
        for entry in fs::read_dir(&directory).map_err(Error::file("read", &directory))? {
            let path = entry.map_err(Error::file("read", &directory))?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let name = name.ok_or_else(|| Error::Name { path: path.clone() })?;
            let relative = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
            let metadata = fs::symlink_metadata(&path).map_err(Error::file("read", &path))?;
            if metadata.is_dir() {
                directories.push((path, relative));
            } else if metadata.is_symlink() {
                let target = fs::read_link(&path).map_err(Error::file("read", &path))?;
                match target.to_str().filter(|_| stays_inside(&relative, &target)) {
                    Some(target) => entries.push((relative, Source::Link { target: target.to_owned() })),
                    None => return Err(Error::Link { path: relative, target }),
                }
            } else {
                let executable = metadata.permissions().mode() & 0o100 != 0;
                entries.push((relative, Source::File { path, executable }));
            }
        }
    }
    Ok(entries)
}

fn is_text_of_interest(relative: &str) -> bool {
    let depth = relative.matches('/').count();
    let extension = relative.rsplit_once('.').map_or("", |(_, extension)| extension);
    match extension {
        "py" => depth < MAX_TEXT_DEPTH,
        "js" | "mjs" | "cjs" | "json" | "toml" | "txt" => depth < 2,
        _ => matches!(relative, "Procfile" | ".python-version" | "Dockerfile"),
    }
}

fn is_virtual_environment(path: &Path) -> bool {
    path.join("pyvenv.cfg").is_file()
}

/// Whether a relative target, seen from the link's place, never leaves the folder.
fn stays_inside(link: &str, target: &Path) -> bool {
    let mut depth = link.matches('/').count();
    for component in target.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return false,
            },
            Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_the_program_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for file in [
            "app.py",
            ".env",
            "pkg/a.py",
            "pkg/__pycache__/a.pyc",
            ".git/config",
            "env3/pyvenv.cfg",
            "env3/x.py",
            "n.log",
        ] {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        fs::write(root.join(".gitignore"), "*.log\n").unwrap();
        std::os::unix::fs::symlink("pkg/a.py", root.join("inside.py")).unwrap();
        let walk = walk(root).unwrap();
        assert_eq!(walk.sources.keys().collect::<Vec<_>>(), ["app.py", "inside.py", "pkg/a.py"]);
        assert!(matches!(walk.sources["inside.py"], Source::Link { .. }));
        assert_eq!(walk.left_out, ["n.log"]);
        assert!(walk.has_env_file);
    }

    #[test]
    fn a_link_out_of_the_folder_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/usr/lib", directory.path().join("lib")).unwrap();
        let error = walk(directory.path()).unwrap_err().to_string();
        assert!(error.contains("`lib` links to /usr/lib"), "{error}");
    }
}
