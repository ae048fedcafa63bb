//! Installs Python packages for a given interpreter with `uv` or `pip`, into a cached directory, and
//! compiles them there: the code is read-only where it runs, so what is not compiled now is compiled
//! again by every instance.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::archive::{Package, Source};
use super::cache::{Cache, Key};
use super::error::Error;
use super::progress::Progress;
use super::requirements::Requirements;
use super::{tool, walk};
use crate::printer::Printer;

/// Where the package lies when it runs: the path that tracebacks show.
const TASK_ROOT: &str = "/var/task";

/// The interpreter a function will run in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreter {
    /// The program.
    pub program: PathBuf,
    /// The `N` of `python3.N`.
    pub minor: u8,
}

/// A way to install packages for an interpreter.
enum Installer {
    /// `uv pip`
    Uv,
    /// `INTERPRETER -m pip`, of the interpreter itself.
    Own,
    /// Another interpreter's pip, told which one to install for.
    Other(String),
}

/// Installs what is required; the entries of the package.
pub fn install(
    root: &Path,
    required: &Requirements,
    interpreter: &Interpreter,
    cache: &Cache,
    again: bool,
    printer: Printer,
) -> Result<Vec<(String, Source)>, Error> {
    let mut key = Key::default();
    key.add("1").add(interpreter.program.as_os_str().as_encoded_bytes()).add([interpreter.minor]);
    key.add(std::env::consts::ARCH);
    required.add_to(&mut key);
    let installed = cache.entry("python", &key, again || required.is_local(), |directory| {
        let installer = Installer::find(interpreter)?;
        let what = required.file.clone().unwrap_or_else(|| required.packages.join(", "));
        let progress = Progress::start(printer, &format!("{} installs {what}", installer.name()));
        let mut command = installer.command(interpreter, directory);
        if let Some(file) = &required.file {
            command.arg("-r").arg(file);
        }
        command.args(&required.packages).current_dir(root);
        tool::run(installer.name(), &mut command, &progress)?;
        progress.show("compiling");
        compile(interpreter, directory, TASK_ROOT);
        Ok(())
    })?;
    walk::everything(&installed)
}

/// Compiles the folder's own modules; the entries to add. The sources are copied first, because the
/// folder is the user's and gets no files from us.
pub fn compile_own(
    sources: &BTreeMap<String, Source>,
    interpreter: &Interpreter,
) -> Result<Vec<(String, Source)>, Error> {
    let staging = tempfile::tempdir().map_err(Error::file("create", std::env::temp_dir()))?;
    for (path, source) in sources.iter().filter(|(path, _)| path.ends_with(".py")) {
        let target = staging.path().join(path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(Error::file("create", parent))?;
        }
        if !matches!(source, Source::Link { .. }) {
            fs::write(&target, source.read()?).map_err(Error::file("write", &target))?;
        }
    }
    compile(interpreter, staging.path(), TASK_ROOT);
    let compiled = walk::everything(staging.path())?.into_iter().filter(|(path, _)| path.ends_with(".pyc"));
    // The copies go away with their directory.
    compiled
        .map(|(path, source)| Ok((path, Source::Made { content: source.read()?, executable: false })))
        .collect()
}

/// Adds programs called `python` and `python3` for start commands: a runtime has only `python3.N`.
pub fn add_launchers(package: &mut Package, minor: u8) {
    let script = format!("#!/bin/sh\nexec python3.{minor} \"$@\"\n");
    for name in ["python", "python3"] {
        let source = Source::Made { content: script.clone().into_bytes(), executable: true };
        package.add_missing([(format!(".lambent/bin/{name}"), source)]);
    }
}

/// The version of a usable `uv`.
pub fn uv_version() -> Option<String> {
    tool::version("uv", &["--version"])
}

/// The version of an interpreter's own pip.
pub fn pip_version(interpreter: &Path) -> Option<String> {
    let text = tool::version(&interpreter.to_string_lossy(), &["-m", "pip", "--version"])?;
    Some(text.split(" from ").next().unwrap_or(&text).to_owned())
}

// === impl Installer ===

impl Installer {
    fn find(interpreter: &Interpreter) -> Result<Self, Error> {
        if uv_version().is_some() {
            return Ok(Self::Uv);
        }
        if pip_version(&interpreter.program).is_some() {
            return Ok(Self::Own);
        }
        // `--python` needs pip 22.3: older ones do not know the option and say so.
        for program in ["python3", "python"] {
            if tool::version(program, &["-m", "pip", "--python", program, "--version"]).is_some() {
                return Ok(Self::Other(program.to_owned()));
            }
        }
        let program = interpreter.program.display();
        Err(Error::ToolMissing {
            tool: "pip or uv",
            what: "Python packages",
            hint: format!(
                "install one, for instance with `{program} -m ensurepip` or your system's package python3-pip"
            ),
        })
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Uv => "uv",
            Self::Own | Self::Other(_) => "pip",
        }
    }

    fn command(&self, interpreter: &Interpreter, directory: &Path) -> Command {
        let mut command = match self {
            Self::Uv => {
                let mut command = Command::new("uv");
                command.args(["pip", "install", "--python"]).arg(&interpreter.program);
                command
            }
            Self::Own => {
                let mut command = Command::new(&interpreter.program);
                command.args(["-m", "pip", "install"]);
                command
            }
            Self::Other(program) => {
                let mut command = Command::new(program);
                command.args(["-m", "pip", "--python"]).arg(&interpreter.program).arg("install");
                command
            }
        };
        if !matches!(self, Self::Uv) {
            command.args(["--no-input", "--disable-pip-version-check", "--no-compile", "--progress-bar=off"]);
            // Options of a user's own configuration that contradict `--target`.
            command.env("PIP_USER", "0").env("PIP_ROOT_USER_ACTION", "ignore").env_remove("PIP_TARGET");
        }
        command.arg("--target").arg(directory);
        command
    }
}

/// Compiles every module for the place where it will lie. Files that are no valid Python of this version
/// (templates, old syntax) are left as they are; they would fail the same way at run time.
///
/// The compiled files carry no time and are not checked against their source, which cannot change.
fn compile(interpreter: &Interpreter, directory: &Path, task_root: &str) {
    let _ = Command::new(&interpreter.program)
        .args([
            "-I",
            "-m",
            "compileall",
            "-qq",
            "--invalidation-mode",
            "unchecked-hash",
            "-d",
            task_root,
            ".",
        ])
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}
