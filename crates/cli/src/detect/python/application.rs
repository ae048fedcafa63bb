//! Decides which names of a folder's Python modules are web applications, factories of them, or plain
//! event handlers. Modules are asked in the order people name them; an application object anywhere is
//! preferred to a factory anywhere.

use super::frameworks::{PACKAGES, constructor, is_factory_name, is_other};
use super::module::{Assignment, Function, Module};
use crate::detect::Folder;

/// File names of entry modules, most usual first.
const NAMES: &[&str] = &[
    "app",
    "main",
    "wsgi",
    "asgi",
    "application",
    "server",
    "api",
    "web",
    "run",
    "index",
    "handler",
    "__init__",
];
/// Directories that hold no entry module.
const ASIDE: &[&str] =
    &["tests", "test", "docs", "examples", "migrations", "node_modules", "scripts", "static"];

/// The interface an application speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Synchronous, PEP 3333.
    Wsgi,
    /// Asynchronous.
    Asgi,
}

/// An application, or a function that makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// `Flask`, `FastAPI`, `WSGI`, ...
    pub framework: String,
    /// Its interface.
    pub style: Style,
    /// The file it is in.
    pub file: String,
    /// Its module's dotted name.
    pub module: String,
    /// Its name in the module.
    pub name: String,
    /// Whether the name is a function that makes the application.
    pub is_factory: bool,
    /// Whether the module starts a server of its own when it is run.
    pub runs_itself: bool,
}

/// What a search came to: applications, best first, and sentences about near misses.
#[derive(Debug, Default)]
pub struct Search {
    /// Candidates, best first.
    pub found: Vec<Found>,
    /// What looked like an application and is none.
    pub near_misses: Vec<String>,
}

/// One module of the folder that may be an entry.
struct Candidate {
    path: String,
    dotted: String,
    module: Module,
}

/// Searches a folder for web applications.
pub fn find_applications(folder: &Folder) -> Search {
    let candidates = candidates(folder);
    let mut search = Search::default();
    for candidate in &candidates {
        search.found.extend(candidate.objects());
    }
    for candidate in &candidates {
        candidate.factories(&mut search);
    }
    for candidate in &candidates {
        candidate.near_misses(&mut search);
    }
    search
}

/// A function of two parameters named like an event and a context, in a usual file.
pub fn find_event_handler(folder: &Folder) -> Option<(String, String)> {
    let shaped = |function: &&Function| {
        function.is_top
            && matches!(function.required.as_slice(), [event, context]
                if event.trim_start_matches('_').starts_with("event") && context.trim_start_matches('_').starts_with("co"))
    };
    candidates(folder).iter().find_map(|candidate| {
        let function = candidate.module.functions.iter().find(shaped)?;
        Some((candidate.path.clone(), format!("{}.{}", candidate.dotted, function.name)))
    })
}

/// A file at the top that starts a server of its own without an application object that was recognized.
pub fn find_program(folder: &Folder) -> Option<String> {
    let at_top = |candidate: &&Candidate| !candidate.path.contains('/') && candidate.serves_itself();
    candidates(folder).iter().find(at_top).map(|candidate| candidate.path.clone())
}

fn candidates(folder: &Folder) -> Vec<Candidate> {
    let mut paths: Vec<(usize, usize, &str)> = Vec::new();
    for path in folder.paths().filter(|path| path.ends_with(".py")) {
        let segments: Vec<&str> = path.split('/').collect();
        let Some((file, directories)) = segments.split_last() else { continue };
        let stem = file.trim_end_matches(".py");
        let aside = directories.iter().any(|directory| ASIDE.contains(directory) || directory.contains('.'));
        let test =
            stem.starts_with("test_") || stem.ends_with("_test") || stem == "conftest" || stem == "setup";
        if aside || test || directories.len() > 2 || stem.contains('-') {
            continue;
        }
        let rank = NAMES.iter().position(|name| *name == stem).unwrap_or(NAMES.len());
        paths.push((directories.len(), rank, path));
    }
    paths.sort_unstable();
    let read = |(_, _, path): (usize, usize, &str)| {
        let text = folder.text(path)?;
        Some(Candidate { path: path.to_owned(), dotted: dotted(path), module: Module::scan(text) })
    };
    paths.into_iter().filter_map(read).collect()
}

/// `package/module.py` to `package.module`, `package/__init__.py` to `package`.
fn dotted(path: &str) -> String {
    let path = path.trim_end_matches(".py");
    path.strip_suffix("/__init__").unwrap_or(path).replace('/', ".")
}

// === impl Candidate ===

impl Candidate {
    /// The module's own application objects, best first.
    fn objects(&self) -> Vec<Found> {
        let module = &self.module;
        let mut found: Vec<Found> = Vec::new();
        for assignment in module.assignments.iter().filter(|assignment| assignment.scope.is_none()) {
            let Some((framework, style)) = self.application(assignment, &found) else { continue };
            found.retain(|known| known.name != assignment.name);
            found.push(self.found(&framework, style, &assignment.name, false));
        }
        found.extend(self.bare_callables());
        let usual = |found: &Found| match found.name.as_str() {
            "app" => 0,
            "application" => 1,
            _ => 2,
        };
        found.sort_by_key(usual);
        found
    }

    /// What an assignment makes, if it is an application.
    fn application(&self, assignment: &Assignment, known: &[Found]) -> Option<(String, Style)> {
        let full = self.module.resolve(&assignment.value);
        if !assignment.is_call {
            // `application = app`: another name of the same. `server = dashboard.server`: Dash's Flask.
            if let Some(dashboard) = assignment.value.strip_suffix(".server") {
                let made = self.module.assignments.iter().find(|made| made.name == dashboard)?;
                let dash = self.module.resolve(&made.value) == "dash.Dash";
                return dash.then(|| ("Dash".to_owned(), Style::Wsgi));
            }
            let same = known.iter().find(|found| found.name == assignment.value)?;
            return Some((same.framework.clone(), same.style));
        }
        if let Some((framework, style)) = constructor(&full) {
            return Some((framework.to_owned(), style));
        }
        if let Some(class) = self.module.classes.iter().find(|class| class.name == assignment.value) {
            let base = class.bases.iter().find_map(|base| constructor(&self.module.resolve(base)));
            if let Some((framework, style)) = base {
                return Some((framework.to_owned(), style));
            }
            let call = class.call?;
            return Some(if call { ("ASGI".into(), Style::Asgi) } else { ("WSGI".into(), Style::Wsgi) });
        }
        let usual_name = matches!(assignment.name.as_str(), "app" | "application" | "wsgi_app" | "asgi_app");
        let made_here = self.factory(&assignment.value);
        if usual_name && made_here.is_some() {
            return made_here;
        }
        let by_custom = is_factory_name(&full);
        let in_entry = matches!(self.stem(), "wsgi" | "asgi");
        let near_framework = PACKAGES.iter().any(|package| self.module.imports_package(package));
        let plausible = usual_name && !is_other(&full) && (by_custom || in_entry || near_framework);
        plausible.then(|| self.style_by_imports())
    }

    /// `def application(environ, start_response)` and its asynchronous kin.
    fn bare_callables(&self) -> Vec<Found> {
        let is = |function: &Function, names: &[&str]| function.required == names;
        let functions = self.module.functions.iter().filter(|function| function.is_top);
        functions
            .filter_map(|function| {
                if is(function, &["environ", "start_response"]) || is(function, &["env", "start_response"]) {
                    return Some(self.found("WSGI", Style::Wsgi, &function.name, false));
                }
                let asgi = function.is_async && is(function, &["scope", "receive", "send"]);
                asgi.then(|| self.found("ASGI", Style::Asgi, &function.name, false))
            })
            .collect()
    }

    /// What the function of this name makes, if it visibly makes an application.
    fn factory(&self, name: &str) -> Option<(String, Style)> {
        let module = &self.module;
        let index = module.functions.iter().position(|function| function.is_top && function.name == name)?;
        let function = module.functions.get(index)?;
        let made = function.returns.iter().find_map(|returned| {
            let assigned = module
                .assignments
                .iter()
                .find(|assignment| assignment.scope == Some(index) && assignment.name == *returned);
            let value = assigned.map_or(returned, |assignment| &assignment.value);
            constructor(&module.resolve(value))
        });
        if let Some((framework, style)) = made {
            return Some((framework.to_owned(), style));
        }
        let near_framework = PACKAGES.iter().any(|package| module.imports_package(package));
        (is_factory_name(name) && near_framework).then(|| self.style_by_imports())
    }

    fn factories(&self, search: &mut Search) {
        let functions = self.module.functions.iter().filter(|function| function.is_top);
        for function in functions {
            let Some((framework, style)) = self.factory(&function.name) else { continue };
            if function.required.is_empty() {
                search.found.push(self.found(&framework, style, &function.name, true));
            } else {
                search.near_misses.push(format!(
                    "{}: `{}` makes an application but needs {}",
                    self.path,
                    function.name,
                    function.required.join(", ")
                ));
            }
        }
    }

    fn near_misses(&self, search: &mut Search) {
        let top = self.module.assignments.iter().filter(|assignment| assignment.scope.is_none());
        for assignment in top {
            let full = self.module.resolve(&assignment.value);
            let part = match full.as_str() {
                "flask.Blueprint" => "Flask blueprint",
                "fastapi.APIRouter" => "FastAPI router",
                _ => continue,
            };
            search
                .near_misses
                .push(format!("{}: `{}` is a {part}, not an application", self.path, assignment.name));
        }
    }

    fn found(&self, framework: &str, style: Style, name: &str, is_factory: bool) -> Found {
        Found {
            framework: framework.to_owned(),
            style,
            file: self.path.clone(),
            module: self.dotted.clone(),
            name: name.to_owned(),
            is_factory,
            runs_itself: self.runs_itself(),
        }
    }

    /// Whether running the module starts a server: `app.run()`, `uvicorn.run(app)` and the like.
    fn runs_itself(&self) -> bool {
        self.module.calls.iter().any(|call| {
            let full = self.module.resolve(call);
            let last = full.rsplit('.').next().unwrap_or_default();
            matches!(last, "run" | "serve" | "serve_forever" | "run_simple" | "run_app")
                && full != "asyncio.run"
                && full != "subprocess.run"
        })
    }

    /// The same, where only what certainly is a server counts.
    fn serves_itself(&self) -> bool {
        self.module.calls.iter().any(|call| {
            let full = self.module.resolve(call);
            let last = full.rsplit('.').next().unwrap_or_default();
            matches!(last, "serve_forever" | "run_simple" | "run_app" | "listen")
                || matches!(full.as_str(), "bottle.run" | "uvicorn.run" | "waitress.serve" | "hypercorn.run")
        })
    }

    fn style_by_imports(&self) -> (String, Style) {
        let asynchronous = ["fastapi", "starlette", "quart", "litestar", "sanic"];
        if self.stem() == "asgi" || asynchronous.iter().any(|package| self.module.imports_package(package)) {
            return ("ASGI".to_owned(), Style::Asgi);
        }
        let flask = self.module.imports_package("flask");
        (if flask { "Flask" } else { "WSGI" }.to_owned(), Style::Wsgi)
    }

    fn stem(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".py")
    }
}
