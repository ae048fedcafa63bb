//! Start commands: what is run for a `Procfile` line, a `start` script or `--start`.
//!
//! A plain `python FILE` or `node FILE` becomes that file as the handler. Anything else becomes a small
//! executable script that is added to the package, because a `Handler` names a file and not a command.

use super::plan::{Kind, Language, Plan};
use super::{Folder, packages};
use types::settings::Server;

/// The name of the script that is added to a package.
pub const START_FILE: &str = "lambent-start";
/// Characters that make a line more than one simple command.
const SHELL: &[char] = &[';', '&', '|', '(', ')', '{', '}', '<', '>', '`', '\n'];

/// The plan for a command line found at `origin` (`Procfile`, `package.json`, `--start`).
pub fn plan(folder: &Folder, line: &str, origin: &str) -> Plan {
    let line = line.trim();
    let language = language(folder, line);
    let why = format!("{origin}: `{line}`");
    let mut plan = match plain_file(folder, line) {
        Some((language, file)) => Plan::new(Kind::Program, language, file, why),
        None => {
            let mut plan = Plan::new(Kind::Program, language, START_FILE, why);
            plan.start = Some(script(line));
            plan
        }
    };
    plan.server = Some(Server::Own);
    if plan.language == Language::Python {
        plan.extra_packages.extend(line.split_whitespace().next().and_then(packages::package_of_program));
    }
    plan
}

/// `python FILE` and `node FILE`, with nothing else in the line.
fn plain_file(folder: &Folder, line: &str) -> Option<(Language, String)> {
    let mut words = line.split_whitespace();
    let language = match words.next()? {
        "python" | "python3" => Language::Python,
        "node" => Language::Node,
        _ => return None,
    };
    let file = words.next()?.trim_start_matches("./");
    let extension = file.rsplit_once('.').map_or("", |(_, extension)| extension);
    let fits = match language {
        Language::Python => extension == "py",
        _ => matches!(extension, "js" | "mjs" | "cjs"),
    };
    (fits && folder.has(file) && words.next().is_none()).then(|| (language, file.to_owned()))
}

fn language(folder: &Folder, line: &str) -> Language {
    let program = line.split_whitespace().find(|word| !word.contains('=')).unwrap_or_default();
    let program = program.rsplit('/').next().unwrap_or(program);
    match program {
        "node" | "npm" | "npx" | "yarn" | "pnpm" | "next" | "nodemon" | "tsx" | "ts-node" => {
            return Language::Node;
        }
        "flask" | "gunicorn" | "uvicorn" | "hypercorn" | "waitress-serve" | "daphne" | "django-admin" => {
            return Language::Python;
        }
        _ if program.starts_with("python") => return Language::Python,
        _ => {}
    }
    let declares_python = ["requirements.txt", "pyproject.toml"].iter().any(|file| folder.has(file));
    match (declares_python || folder.has_at_top(".py"), folder.has("package.json")) {
        (true, _) => Language::Python,
        (false, true) => Language::Node,
        (false, false) => Language::Any,
    }
}

/// A script that runs the line with the package's own programs on the path. `exec` where the line is one
/// command, so that the program itself gets the signals.
fn script(line: &str) -> String {
    let first = line.split_whitespace().next().unwrap_or_default();
    let compound = line.contains(SHELL) || matches!(first, "cd" | "export" | "exec" | ".");
    let run = match (compound, first.contains('=')) {
        (true, _) => line.to_owned(),
        (false, true) => format!("exec env {line}"),
        (false, false) => format!("exec {line}"),
    };
    format!(
        "#!/bin/sh\n\
         # Made by `lambent deploy`.\n\
         task=${{LAMBDA_TASK_ROOT:-/var/task}}\n\
         export PATH=\"$task/.lambent/bin:$task/node_modules/.bin:$task/bin:$PATH\"\n\
         {run}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_file_needs_no_script() {
        let folder = Folder::of(&[("server.py", ""), ("web/index.mjs", "")]);
        for (line, handler) in [("python server.py", "server.py"), ("node ./web/index.mjs", "web/index.mjs")]
        {
            let plan = plan(&folder, line, "Procfile");
            assert_eq!((plan.handler.as_str(), plan.start), (handler, None), "{line}");
        }
        for line in ["python server.py --debug", "python missing.py", "node server.py", "python -m server"] {
            assert_eq!(plan(&folder, line, "Procfile").handler, START_FILE, "{line}");
        }
    }

    #[test]
    fn one_command_is_executed_and_several_are_left_to_the_shell() {
        for (line, run) in [
            ("gunicorn app:app -b :$PORT", "exec gunicorn app:app -b :$PORT"),
            ("DEBUG=1 ./run", "exec env DEBUG=1 ./run"),
            ("./migrate && ./run", "./migrate && ./run"),
            ("cd web; node .", "cd web; node ."),
        ] {
            assert!(script(line).ends_with(&format!("\n{run}\n")), "{line}: {}", script(line));
        }
    }

    #[test]
    fn the_program_decides_the_language_before_the_files_do() {
        let both = Folder::of(&[("requirements.txt", ""), ("package.json", "{}")]);
        assert_eq!(language(&both, "NODE_ENV=production node x"), Language::Node);
        assert_eq!(language(&both, "./run"), Language::Python);
        assert_eq!(language(&Folder::of(&[("package.json", "{}")]), "./run"), Language::Node);
        assert_eq!(language(&Folder::default(), "./run"), Language::Any);
    }
}
