//! A folder as detection sees it: relative paths, whether they are executable, and the texts that matter.

use std::collections::BTreeMap;

/// One file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct File {
    /// Whether its owner may execute it.
    pub executable: bool,
    /// Its text, where it was read and is UTF-8.
    pub text: Option<String>,
}

/// The files of a folder by relative path with `/` between segments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folder {
    files: BTreeMap<String, File>,
}

// === impl Folder ===

impl Folder {
    /// Adds a file.
    pub fn insert(&mut self, path: impl Into<String>, file: File) {
        self.files.insert(path.into(), file);
    }

    /// Whether the file is there.
    pub fn has(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// Whether the file is there and executable.
    pub fn is_executable(&self, path: &str) -> bool {
        self.files.get(path).is_some_and(|file| file.executable)
    }

    /// The text of a file, if it was read.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.text.as_deref()
    }

    /// All paths, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Whether there is a Python module or package of this name at the top.
    pub fn has_python_module(&self, name: &str) -> bool {
        let package = format!("{name}/");
        self.has(&format!("{name}.py")) || self.files.keys().any(|path| path.starts_with(&package))
    }

    /// Whether anything at the top ends like this.
    pub fn has_at_top(&self, suffix: &str) -> bool {
        self.files.keys().any(|path| !path.contains('/') && path.ends_with(suffix))
    }
}

#[cfg(test)]
impl Folder {
    /// A folder for a test; a path that ends with `*` is executable.
    pub fn of(files: &[(&str, &str)]) -> Self {
        let mut folder = Self::default();
        for (path, text) in files {
            let executable = path.ends_with('*');
            let file = File { executable, text: Some((*text).to_owned()) };
            folder.insert(path.trim_end_matches('*'), file);
        }
        folder
    }
}
