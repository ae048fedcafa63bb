//! What is started for a version, and how it is spoken to: decided by the runtime, the handler and the
//! tag `lambent:server`. Looks at the code's files, starts nothing.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use types::function::{Runtime, Version};
use types::settings::Server;

use super::{Error, Isolation, Layout, Purpose};
use crate::runtimes::{Choice, Interpreter, Runtimes};
use crate::shim;

/// How a program is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Our shim, by native frames.
    Frames,
    /// It listens on its own socket and is spoken to in HTTP.
    Own,
    /// It asks for its work over the Lambda Runtime API.
    RuntimeApi,
}

/// What is started.
#[derive(Debug)]
pub(crate) struct Entry {
    pub protocol: Protocol,
    pub argv: Vec<String>,
    /// The interpreter that has to be visible, if it is one.
    pub interpreter: Option<Interpreter>,
    pub language: Language,
    /// What is to be said about the interpreter: that it is not of the version asked for.
    pub note: Option<String>,
    /// Whether our shim starts it, so that the descriptor for frames is of use.
    pub frames: bool,
}

/// What the environment has to suit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Python { minor: u8 },
    Node { major: u8 },
    Other,
}

/// What an own server's handler names, relative to the code.
enum Named {
    Executable(PathBuf),
    Python(PathBuf),
    Node(PathBuf),
}

/// Decides what is started for `version`.
pub(super) fn entry(
    version: &Version,
    runtimes: &Runtimes,
    layout: &Layout<'_>,
    isolation: Isolation,
    purpose: Purpose,
) -> Result<Entry, Error> {
    if is_own(version) {
        return own(version, runtimes, layout, isolation, purpose);
    }
    match version.runtime {
        Runtime::Python { .. } => shimmed(version, runtimes, layout, shim::PYTHON),
        Runtime::Node { .. } => shimmed(version, runtimes, layout, shim::NODE),
        Runtime::Provided => provided(version, layout),
    }
}

/// Whether a program of this kind can be forked once its init has run.
///
/// # Errors
/// Why not.
pub(super) fn can_fork(version: &Version) -> Result<(), &'static str> {
    match version.runtime {
        Runtime::Node { .. } => Err("Node.js cannot fork"),
        Runtime::Provided => Err("a program that is not run by a shim cannot be forked"),
        Runtime::Python { .. } if is_own(version) && !matches!(named(version), Ok(Named::Python(_))) => {
            Err("a server of its own that is not a Python file cannot be forked")
        }
        Runtime::Python { .. } => Ok(()),
    }
}

fn shimmed(
    version: &Version,
    runtimes: &Runtimes,
    layout: &Layout<'_>,
    bootstrap: &str,
) -> Result<Entry, Error> {
    let choice = runtimes.choose(version.runtime).ok_or_else(|| missing(version, runtimes))?;
    let mut argv = vec![text(&choice.interpreter.program)];
    if matches!(version.runtime, Runtime::Python { .. }) {
        // No packages of the user who runs the server.
        argv.push("-s".to_owned());
    }
    argv.push(text(&layout.runtime.join(bootstrap)));
    Ok(Entry {
        protocol: Protocol::Frames,
        argv,
        interpreter: Some(choice.interpreter.clone()),
        language: language(version.runtime, choice),
        note: note(version.runtime, choice),
        frames: true,
    })
}

/// `bootstrap`, or the file the handler names where it names one.
fn provided(version: &Version, layout: &Layout<'_>) -> Result<Entry, Error> {
    let names = [version.handler.as_str(), "bootstrap"];
    let found = names.into_iter().find(|name| is_executable(&version.code, name));
    let Some(name) = found else {
        let there = version.code.join("bootstrap").is_file();
        let message = if there {
            "the file `bootstrap` is not executable".to_owned()
        } else {
            "the code has no file `bootstrap`, which this runtime starts".to_owned()
        };
        let suggestion =
            "put an executable file `bootstrap` at the top of the code (chmod 755 before zipping)";
        return Err(Error { message, suggestion: suggestion.to_owned() });
    };
    Ok(Entry {
        protocol: Protocol::RuntimeApi,
        argv: vec![text(&layout.task.join(name))],
        interpreter: None,
        language: Language::Other,
        note: None,
        frames: false,
    })
}

fn own(
    version: &Version,
    runtimes: &Runtimes,
    layout: &Layout<'_>,
    isolation: Isolation,
    purpose: Purpose,
) -> Result<Entry, Error> {
    let (file, choice, bootstrap) = match named(version)? {
        Named::Executable(file) => {
            return Ok(Entry {
                protocol: Protocol::Own,
                argv: vec![text(&layout.task.join(file))],
                interpreter: runtimes.choose(version.runtime).map(|choice| choice.interpreter.clone()),
                language: executable_language(version.runtime, runtimes),
                note: runtimes.choose(version.runtime).and_then(|choice| note(version.runtime, choice)),
                frames: false,
            });
        }
        Named::Python(file) => {
            let asked = matches!(version.runtime, Runtime::Python { .. });
            let choice = if asked { runtimes.choose(version.runtime) } else { runtimes.any_python() };
            (file, choice, shim::PYTHON)
        }
        Named::Node(file) => {
            let asked = matches!(version.runtime, Runtime::Node { .. });
            let choice = if asked { runtimes.choose(version.runtime) } else { runtimes.any_node() };
            (file, choice, shim::NODE)
        }
    };
    let choice = choice.ok_or_else(|| missing(version, runtimes))?;
    let python = bootstrap == shim::PYTHON;
    let mut argv = vec![text(&choice.interpreter.program)];
    if python {
        argv.push("-s".to_owned());
    }
    // Without a network of its own the shim starts the program, so that it can rewrite what it binds to. And for
    // an ember, so that it can hold it where it would listen.
    let frames = isolation == Isolation::Process || purpose == Purpose::Ember;
    if frames {
        argv.extend([text(&layout.runtime.join(bootstrap)), "--run".to_owned()]);
    }
    argv.push(text(&layout.task.join(file)));
    let language = if python {
        Language::Python { minor: choice.version }
    } else {
        Language::Node { major: choice.version }
    };
    let interpreter = Some(choice.interpreter.clone());
    let note = note(version.runtime, choice);
    Ok(Entry { protocol: Protocol::Own, argv, interpreter, language, note, frames })
}

/// Whether it is a program with a server of its own: by its tag, or because its handler names a file.
///
/// A file cannot be shimmed. And tags hold for every version at once: a version that is told by its handler
/// stays what it is while a deploy moves the function from one way of serving to another.
fn is_own(version: &Version) -> bool {
    let handler = version.handler.as_str();
    let is_file =
        || version.runtime != Runtime::Provided && inside(handler) && version.code.join(handler).is_file();
    version.settings.server == Some(Server::Own) || is_file()
}

/// Whether our shim serves it.
pub(super) fn is_shimmed(version: &Version) -> bool {
    version.runtime != Runtime::Provided && !is_own(version)
}

fn named(version: &Version) -> Result<Named, Error> {
    let handler = version.handler.as_str();
    if is_executable(&version.code, handler) {
        return Ok(Named::Executable(handler.into()));
    }
    let is_file = |name: &str| inside(name) && version.code.join(name).is_file();
    if is_file(handler) {
        if handler.ends_with(".py") {
            return Ok(Named::Python(handler.into()));
        }
        if [".js", ".mjs", ".cjs"].iter().any(|extension| handler.ends_with(extension)) {
            return Ok(Named::Node(handler.into()));
        }
    }
    let module = handler.rsplit_once('.').map_or(handler, |(module, _)| module);
    match version.runtime {
        Runtime::Python { .. } => {
            let base = module.replace('.', "/");
            let files = [format!("{base}.py"), format!("{base}/__main__.py"), format!("{base}/__init__.py")];
            if let Some(file) = files.iter().find(|file| is_file(file)) {
                return Ok(Named::Python(file.into()));
            }
        }
        Runtime::Node { .. } => {
            let files = ["js", "mjs", "cjs"].map(|extension| format!("{module}.{extension}"));
            if let Some(file) = files.iter().find(|file| is_file(file)) {
                return Ok(Named::Node(file.into()));
            }
        }
        Runtime::Provided => {}
    }
    Err(Error {
        message: format!("the handler `{handler}` names no program in the code"),
        suggestion: "set the handler to an executable file, a .py or .js file, or (Python) module.attribute"
            .to_owned(),
    })
}

fn executable_language(runtime: Runtime, runtimes: &Runtimes) -> Language {
    runtimes.choose(runtime).map_or(Language::Other, |choice| language(runtime, choice))
}

fn language(runtime: Runtime, choice: Choice<'_>) -> Language {
    match runtime {
        Runtime::Python { .. } => Language::Python { minor: choice.version },
        Runtime::Node { .. } => Language::Node { major: choice.version },
        Runtime::Provided => Language::Other,
    }
}

fn note(asked: Runtime, choice: Choice<'_>) -> Option<String> {
    (!choice.exact).then(|| {
        let (program, version) = (choice.interpreter.program.display(), choice.version);
        format!("{asked} runs in version {version} ({program}), the nearest on this machine")
    })
}

fn missing(version: &Version, runtimes: &Runtimes) -> Error {
    Error {
        message: format!("no interpreter for the runtime {} was found on this machine", version.runtime),
        suggestion: format!(
            "install it, or use one of {}; then start the server again",
            runtimes.identifiers().join(", ")
        ),
    }
}

fn is_executable(code: &Path, name: &str) -> bool {
    if !inside(name) {
        return false;
    }
    let metadata = code.join(name).metadata();
    metadata.is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Whether a name stays below the code.
fn inside(name: &str) -> bool {
    let path = Path::new(name);
    !name.is_empty() && path.components().all(|part| matches!(part, std::path::Component::Normal(_)))
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
