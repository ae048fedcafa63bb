//! Which Python packages a folder asks for: `requirements.txt`, the dependencies in `pyproject.toml`, or
//! what detection adds. Reads names only as far as it has to; versions are the installer's business.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::cache::Key;
use super::error::Error;
use crate::detect::Folder;

/// What is to be installed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requirements {
    /// The requirements file, relative to the folder.
    pub file: Option<String>,
    /// Requirements given one by one.
    pub packages: Vec<String>,
    /// Packages that are added to what is declared, and were not.
    pub added: Vec<String>,
    /// Whether something refers to the folder itself, so that no digest of texts decides it.
    is_local: bool,
    /// The texts that decide the result.
    texts: Vec<String>,
}

/// The members of `pyproject.toml` that matter here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Pyproject {
    project: Project,
    tool: Tool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Project {
    dependencies: Vec<String>,
    requires_python: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Tool {
    poetry: Option<Poetry>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Poetry {
    dependencies: Option<toml::Table>,
}

// === impl Requirements ===

impl Requirements {
    /// What the folder declares, and `extra` as far as it does not.
    pub fn of(root: &Path, folder: &Folder, extra: &[String]) -> Result<Self, Error> {
        let mut wanted = Self::default();
        if folder.has("requirements.txt") {
            wanted.file = Some("requirements.txt".to_owned());
            wanted.take_file(root, "requirements.txt", 0);
        } else if folder.has("pyproject.toml") {
            wanted.packages = declared(folder.text("pyproject.toml").unwrap_or_default())?;
        } else if folder.has("Pipfile") {
            return Err(Error::Manifest {
                file: "Pipfile".to_owned(),
                reason: "is not read".to_owned(),
                hint: "export it: pipenv requirements > requirements.txt".to_owned(),
            });
        }
        let names = wanted.names();
        let missing = |package: &&String| !names.iter().any(|name| *name == normalized(package));
        wanted.added = extra.iter().filter(missing).cloned().collect();
        wanted.packages.extend(wanted.added.iter().cloned());
        Ok(wanted)
    }

    /// Whether there is anything to install.
    pub fn is_empty(&self) -> bool {
        self.packages.is_empty() && self.names().is_empty() && !self.is_local
    }

    /// Whether a cached result could be stale although no text has changed.
    pub fn is_local(&self) -> bool {
        self.is_local
    }

    /// Adds all that decides the result.
    pub fn add_to(&self, key: &mut Key) {
        for text in self.texts.iter().chain(&self.packages) {
            key.add(text);
        }
    }

    fn take_file(&mut self, root: &Path, file: &str, depth: usize) {
        let Ok(text) = fs::read_to_string(root.join(file)) else { return };
        for line in text.lines().map(str::trim) {
            let include = ["-r", "--requirement", "-c", "--constraint"]
                .iter()
                .find_map(|option| line.strip_prefix(option)?.strip_prefix([' ', '=']));
            if let Some(include) = include.filter(|_| depth < 8) {
                self.take_file(root, include.trim(), depth + 1);
            }
            self.is_local |= line.starts_with("-e") || line.starts_with('.') || line.contains("file:");
        }
        self.texts.push(text);
    }

    /// Normalized names of everything that is declared.
    fn names(&self) -> Vec<String> {
        let lines = self.texts.iter().flat_map(|text| text.lines());
        lines
            .map(|line| line.split('#').next().unwrap_or_default().trim())
            .filter(|line| !line.is_empty() && !line.starts_with('-'))
            .map(normalized)
            .chain(self.packages.iter().map(|package| normalized(package)))
            .collect()
    }
}

/// `requires-python` of `pyproject.toml`, `.python-version` or `runtime.txt`: which minor versions of
/// Python 3 the folder accepts, as a predicate, with the text it comes from.
pub fn python_constraint(folder: &Folder) -> Option<(String, impl Fn(u8) -> bool + use<>)> {
    let pinned = folder.text(".python-version").or_else(|| folder.text("runtime.txt"));
    let (text, clauses) = match pinned.map(|text| text.trim().trim_start_matches("python-").to_owned()) {
        Some(version) => (format!("Python {version}"), format!("=={version}")),
        None => {
            let project: Pyproject = toml::from_str(folder.text("pyproject.toml")?).ok()?;
            let clauses = project.project.requires_python?;
            (format!("requires-python {clauses}"), clauses)
        }
    };
    let accepts = move |minor: u8| clauses.split(',').all(|clause| accepts(clause.trim(), minor));
    Some((text, accepts))
}

/// Whether one clause such as `>=3.9`, `<3.13`, `==3.11.*` or `~=3.10` accepts a minor version. What is
/// not understood accepts everything.
fn accepts(clause: &str, minor: u8) -> bool {
    let digits = clause.find(|c: char| c.is_ascii_digit()).unwrap_or(clause.len());
    let (operator, version) = clause.split_at_checked(digits).unwrap_or((clause, ""));
    let mut parts = version.split('.');
    let major: Option<u8> = parts.next().and_then(|part| part.parse().ok());
    let named: Option<u8> = parts.next().and_then(|part| part.parse().ok());
    let has_patch = parts.next().is_some_and(|part| part != "*");
    let (Some(major), Some(named)) = (major, named) else {
        // `>=3`, `<4`: every Python 3.
        return true;
    };
    let (here, there) = ((3, minor), (major, named));
    match operator.trim() {
        ">=" | ">" if has_patch || operator.trim() == ">=" => here >= there,
        ">" => here > there,
        "<" if has_patch => here <= there,
        "<" => here < there,
        "<=" => here <= there,
        "==" | "===" | "" => here == there,
        "~=" if has_patch => here == there,
        "~=" => here >= there && major == 3,
        "!=" => has_patch || here != there,
        _ => true,
    }
}

fn declared(text: &str) -> Result<Vec<String>, Error> {
    let refuse = |reason: String, hint: &str| Error::Manifest {
        file: "pyproject.toml".to_owned(),
        reason,
        hint: hint.to_owned(),
    };
    let manifest: Pyproject = toml::from_str(text)
        .map_err(|error| refuse(error.message().to_owned(), "correct it, or add a requirements.txt"))?;
    let poetry = manifest.tool.poetry.and_then(|poetry| poetry.dependencies).unwrap_or_default();
    let only_poetry = manifest.project.dependencies.is_empty() && poetry.keys().any(|name| name != "python");
    if only_poetry {
        let hint = "export them: poetry export -o requirements.txt";
        return Err(refuse("dependencies under [tool.poetry] are not read".to_owned(), hint));
    }
    Ok(manifest.project.dependencies)
}

/// The name at the start of a requirement, as indexes compare it.
fn normalized(requirement: &str) -> String {
    let end =
        requirement.find(|c: char| !c.is_alphanumeric() && !"-_.".contains(c)).unwrap_or(requirement.len());
    requirement.get(..end).unwrap_or_default().trim_end_matches('.').to_lowercase().replace(['_', '.'], "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_only_what_is_not_declared() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("requirements.txt"), "-r more.txt\nFlask[async]>=2 # web\n").unwrap();
        fs::write(root.path().join("more.txt"), "gunicorn==20.1\n").unwrap();
        let folder = Folder::of(&[("requirements.txt", "")]);
        let extra = ["flask", "gunicorn", "uvicorn"].map(str::to_owned);
        let wanted = Requirements::of(root.path(), &folder, &extra).unwrap();
        assert_eq!(wanted.added, ["uvicorn"]);
        assert!(!wanted.is_local());
    }

    #[test]
    fn reads_pyproject_and_names_what_it_does_not_read() {
        let read =
            |text: &str| Requirements::of(Path::new("/"), &Folder::of(&[("pyproject.toml", text)]), &[]);
        let wanted = read("[project]\nname='x'\ndependencies = ['fastapi>=0.1', 'httpx']\n").unwrap();
        assert_eq!(wanted.packages, ["fastapi>=0.1", "httpx"]);
        let poetry = read("[tool.poetry.dependencies]\npython='^3.9'\nflask='*'\n").unwrap_err();
        assert!(poetry.to_string().contains("[tool.poetry]"), "{poetry}");
        read("[project\n").unwrap_err();
        assert!(read("[tool.black]\nline-length=1\n").unwrap().is_empty());
    }

    #[test]
    fn an_empty_requirements_file_installs_nothing() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("requirements.txt"), "# none\n\n").unwrap();
        let folder = Folder::of(&[("requirements.txt", "")]);
        assert!(Requirements::of(root.path(), &folder, &[]).unwrap().is_empty());
    }

    #[test]
    fn a_constraint_selects_minor_versions() {
        for (clause, yes, no) in [
            (">=3.9", &[9, 11][..], &[8][..]),
            ("<3.12", &[11], &[12]),
            ("==3.11.*", &[11], &[10, 12]),
            ("~=3.10", &[10, 12], &[9]),
            (">=3.10.2", &[10], &[9]),
            ("==3.11.7", &[11], &[12]),
            (">=3", &[8, 13], &[]),
        ] {
            for minor in yes {
                assert!(accepts(clause, *minor), "{clause} {minor}");
            }
            for minor in no {
                assert!(!accepts(clause, *minor), "{clause} {minor}");
            }
        }
        let folder = Folder::of(&[(".python-version", "3.12.1\n")]);
        let (_, accepts) = python_constraint(&folder).unwrap();
        assert!(accepts(12) && !accepts(11));
    }
}
