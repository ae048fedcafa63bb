//! Which files stay out of a package: a fixed list of what is never part of a program, then
//! `.lambentignore` or, where there is none, `.gitignore` of the folder's top, in git's syntax.

/// Directories that are never packaged. `node_modules` is installed afresh.
const DIRECTORIES: &[&str] = &[
    ".aws-sam",
    ".git",
    ".hg",
    ".idea",
    ".mypy_cache",
    ".nox",
    ".pytest_cache",
    ".ruff_cache",
    ".serverless",
    ".svn",
    ".tox",
    ".venv",
    ".vscode",
    "__pycache__",
    "node_modules",
    "venv",
];
/// Files that are never packaged. `.env` holds secrets and is given with `--env-file`; the others hold
/// secrets of package indexes, which only the installation needs.
const FILES: &[&str] = &[".DS_Store", ".env", ".gitignore", ".lambentignore", ".netrc", ".npmrc", ".pypirc"];

/// One pattern.
#[derive(Debug, Clone)]
struct Pattern {
    /// The glob, without its marks.
    glob: String,
    /// `!glob`: what matches is kept after all.
    keeps: bool,
    /// `glob/`: only directories match.
    directories: bool,
    /// The glob has a slash in it: it matches the whole path.
    anchored: bool,
}

/// The patterns of one file; the last that matches decides.
#[derive(Debug, Clone, Default)]
pub struct Ignore {
    patterns: Vec<Pattern>,
}

// === impl Ignore ===

impl Ignore {
    /// Reads the text of an ignore file.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self { patterns: lines.map(Pattern::parse).collect() }
    }

    /// Whether a pattern leaves the path out.
    pub fn leaves_out(&self, path: &str, is_directory: bool) -> bool {
        let last = self.patterns.iter().rev().find(|pattern| pattern.matches(path, is_directory));
        last.is_some_and(|pattern| !pattern.keeps)
    }
}

impl Pattern {
    fn parse(line: &str) -> Self {
        let (keeps, line) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest));
        let line = line.strip_prefix('\\').unwrap_or(line);
        let (directories, line) = line.strip_suffix('/').map_or((false, line), |rest| (true, rest));
        let anchored = line.contains('/');
        Self { glob: line.trim_start_matches('/').to_owned(), keeps, directories, anchored }
    }

    fn matches(&self, path: &str, is_directory: bool) -> bool {
        if self.directories && !is_directory {
            return false;
        }
        let name = path.rsplit('/').next().unwrap_or(path);
        matches_glob(&self.glob, if self.anchored { path } else { name })
    }
}

/// Whether a file or directory is never packaged, whatever the patterns say.
pub fn is_never_packaged(name: &str, is_directory: bool) -> bool {
    if is_directory {
        return DIRECTORIES.contains(&name);
    }
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    FILES.contains(&name) || matches!(extension, "pyc" | "pyo")
}

/// git's globs: `*` and `?` stay within a segment, `**` does not, `[...]` is a set.
fn matches_glob(glob: &str, text: &str) -> bool {
    let mut characters = glob.chars();
    let Some(first) = characters.next() else { return text.is_empty() };
    let rest = characters.as_str();
    match first {
        '*' => match rest.strip_prefix('*') {
            Some(beyond) => {
                let beyond = beyond.strip_prefix('/').unwrap_or(beyond);
                suffixes(text).any(|(before, suffix)| {
                    (before.is_empty() || before.ends_with('/') || beyond.is_empty())
                        && matches_glob(beyond, suffix)
                })
            }
            None => suffixes(text)
                .take_while(|(before, _)| !before.contains('/'))
                .any(|(_, suffix)| matches_glob(rest, suffix)),
        },
        '[' => matches_set(rest, text),
        _ => {
            let mut others = text.chars();
            let Some(other) = others.next() else { return false };
            let fits = if first == '?' { other != '/' } else { first == other };
            fits && matches_glob(rest, others.as_str())
        }
    }
}

fn matches_set(after_bracket: &str, text: &str) -> bool {
    let Some((set, rest)) = after_bracket.split_once(']') else { return false };
    let mut characters = text.chars();
    let Some(character) = characters.next() else { return false };
    let (negated, set) = set.strip_prefix(['!', '^']).map_or((false, set), |set| (true, set));
    let mut members = set.chars().peekable();
    let mut found = false;
    while let Some(low) = members.next() {
        if members.peek() == Some(&'-') {
            members.next();
            let high = members.next().unwrap_or('-');
            found |= (low..=high).contains(&character);
        } else {
            found |= low == character;
        }
    }
    found != negated && matches_glob(rest, characters.as_str())
}

/// Every split of a text: what is before, and what is left.
fn suffixes(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    ends.filter_map(|at| text.split_at_checked(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_gits_rules() {
        let ignore =
            Ignore::parse("# c\n*.log\n!keep.log\n/top.txt\nbuild/\ndocs/**/x.md\na[0-9].b\n\\#odd\n");
        for (path, directory, out) in [
            ("a.log", false, true),
            ("deep/a.log", false, true),
            ("deep/keep.log", false, false),
            ("top.txt", false, true),
            ("deep/top.txt", false, false),
            ("build", true, true),
            ("deep/build", true, true),
            ("build", false, false),
            ("docs/a/b/x.md", false, true),
            ("docs/x.md", false, true),
            ("a7.b", false, true),
            ("ax.b", false, false),
            ("#odd", false, true),
        ] {
            assert_eq!(ignore.leaves_out(path, directory), out, "{path}");
        }
    }

    #[test]
    fn a_star_stays_in_its_segment() {
        assert!(matches_glob("src/*.py", "src/a.py"));
        assert!(!matches_glob("src/*.py", "src/b/a.py"));
        assert!(matches_glob("**", "src/b/a.py"));
    }
}
