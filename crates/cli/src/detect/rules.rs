//! The rules, in the order they are asked. Each returns a plan or nothing; the first plan wins.

use types::settings::Server;

use super::plan::{Application, Kind, Language, Plan, Request};
use super::python::{Found, Style};
use super::{Error, Folder, command, explicit, node, packages, python};

/// Files that say how an application is run elsewhere. They are not obeyed, and that is said.
const UNREAD: &[&str] =
    &["Dockerfile", "docker-compose.yml", "serverless.yml", "template.yaml", "template.yml"];

/// What the folder is and how it is started.
///
/// # Errors
/// [`Error`] that names what was looked for, or what does not fit.
pub fn detect(folder: &Folder, request: &Request) -> Result<Plan, Error> {
    let mut plan = find(folder, request)?;
    if plan.kind == Kind::Bootstrap || plan.kind == Kind::Handler {
        refuse_server_of_handler(&plan, request)?;
    }
    infer_packages(folder, &mut plan);
    let unread: Vec<&str> = UNREAD.iter().copied().filter(|file| folder.has(file)).collect();
    if !unread.is_empty() {
        plan.notes.push(format!("not read yet: {}", unread.join(", ")));
    }
    Ok(plan)
}

fn find(folder: &Folder, request: &Request) -> Result<Plan, Error> {
    if let Some(start) = &request.start {
        refuse_shim(request, "--start names a program, which serves itself")?;
        return Ok(command::plan(folder, start, "--start"));
    }
    if let Some(handler) = &request.handler {
        return explicit::plan(folder, request, handler);
    }
    let mut looked = Vec::new();
    // With `--server shim` the application object is wanted, not the program around it.
    if request.server != Some(Server::Shim)
        && let Some(plan) = procfile(folder)?
    {
        return Ok(plan);
    }
    looked.push("Procfile".to_owned());
    if let Some(plan) = lambda_handler(folder) {
        return Ok(plan);
    }
    looked.push(
        "a Lambda handler (lambda_function.py, index.mjs, index.js, an executable bootstrap)".to_owned(),
    );
    let search = python::find_applications(folder);
    if let Some(found) = search.found.first() {
        return application(folder, request, found, search.found.get(1..).unwrap_or_default());
    }
    looked.push("a Python web application (Flask, FastAPI, Django, any WSGI or ASGI `app`)".to_owned());
    if let Some((file, handler)) = python::find_event_handler(folder) {
        let why = format!("{file}: handler `{handler}` by its parameters (event, context)");
        return Ok(Plan::new(Kind::Handler, Language::Python, handler, why));
    }
    if let Some(file) = python::find_program(folder) {
        refuse_shim(request, "no application object was recognized")?;
        let why = format!("{file}: a program with a server of its own");
        let mut plan = Plan::new(Kind::Program, Language::Python, file, why);
        plan.server = Some(Server::Own);
        return Ok(plan);
    }
    if let Some(plan) = node::find_program(folder, &mut looked) {
        refuse_shim(request, "only Python applications are served by the shim")?;
        return Ok(plan);
    }
    if folder.has("index.html") || folder.has("public/index.html") {
        return Err(Error::StaticSite);
    }
    Err(Error::Nothing { looked, near_misses: search.near_misses, dockerfile: folder.has("Dockerfile") })
}

fn procfile(folder: &Folder) -> Result<Option<Plan>, Error> {
    let Some(text) = folder.text("Procfile") else { return Ok(None) };
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix("web:"));
    let line = line.map(str::trim).filter(|line| !line.is_empty()).ok_or(Error::NoWebProcess)?;
    let mut plan = command::plan(folder, line, "Procfile web");
    let others = text.lines().filter_map(|line| line.split_once(':').map(|(name, _)| name.trim()));
    let others: Vec<&str> =
        others.filter(|name| *name != "web" && !name.is_empty() && !name.starts_with('#')).collect();
    if !others.is_empty() {
        plan.notes.push(format!("Procfile: only `web` is started, not {}", others.join(", ")));
    }
    Ok(Some(plan))
}

fn lambda_handler(folder: &Folder) -> Option<Plan> {
    if let Some(text) = folder.text("lambda_function.py") {
        let module = python::Module::scan(text);
        let defined = module
            .functions
            .iter()
            .any(|function| function.is_top && function.name == "lambda_handler")
            || module.assignments.iter().any(|made| made.scope.is_none() && made.name == "lambda_handler")
            || module.imports.iter().any(|import| import.bound == "lambda_handler");
        if defined {
            let why = "lambda_function.py: Lambda handler `lambda_handler`";
            return Some(Plan::new(Kind::Handler, Language::Python, "lambda_function.lambda_handler", why));
        }
    }
    if let Some(plan) = node::find_handler(folder) {
        return Some(plan);
    }
    folder.is_executable("bootstrap").then(|| {
        let why = "bootstrap: an executable that speaks the Lambda Runtime API";
        Plan::new(Kind::Bootstrap, Language::Any, "bootstrap", why)
    })
}

fn application(folder: &Folder, request: &Request, found: &Found, others: &[Found]) -> Result<Plan, Error> {
    let what = if found.is_factory { "factory" } else { "application" };
    let why = format!("{}: {} {what} `{}`", found.file, found.framework, found.name);
    let kind =
        Kind::Application(Application { framework: found.framework.clone(), file: found.file.clone() });
    let handler = format!("{}.{}", found.module, found.name);
    let mut plan = match request.server {
        Some(Server::Own) => own_server(folder, found, kind, why)?,
        _ => Plan::new(kind, Language::Python, handler, why),
    };
    plan.server = request.server;
    let named: Vec<String> = others
        .iter()
        .filter(|other| !other.is_factory && other.name != found.name)
        .map(|other| format!("`{}` in {}", other.name, other.file))
        .collect();
    if !named.is_empty() {
        plan.notes.push(format!("also an application: {}; choose with --handler", named.join(", ")));
    }
    Ok(plan)
}

/// The application behind a server of its own: the file's if it starts one, else the framework's.
fn own_server(folder: &Folder, found: &Found, kind: Kind, why: String) -> Result<Plan, Error> {
    let target = format!("{}:{}", found.module, found.name);
    if found.framework == "Django" && folder.has("manage.py") {
        let line = "python3 manage.py runserver --noreload 127.0.0.1:${PORT:-8080}";
        return Ok(with_start(folder, line, kind, why));
    }
    if found.runs_itself && !found.file.ends_with("__init__.py") && !found.file.contains('/') {
        let mut plan = Plan::new(kind, Language::Python, found.file.as_str(), why);
        plan.why.push(format!("{}: started as a program, it runs its own server", found.file));
        return Ok(plan);
    }
    let line = match found.style {
        Style::Wsgi if found.framework.contains("Flask") => {
            format!("python3 -m flask --app {target} run --host 127.0.0.1 --port ${{PORT:-8080}}")
        }
        Style::Asgi => {
            let factory = if found.is_factory { " --factory" } else { "" };
            format!("python3 -m uvicorn {target}{factory} --host 127.0.0.1 --port ${{PORT:-8080}}")
        }
        Style::Wsgi => {
            let reason = format!("{} starts no server of its own", found.file);
            return Err(Error::Server { wanted: "own", reason });
        }
    };
    let mut plan = with_start(folder, &line, kind, why);
    if found.style == Style::Asgi {
        plan.extra_packages.push("uvicorn".to_owned());
    }
    Ok(plan)
}

fn with_start(folder: &Folder, line: &str, kind: Kind, why: String) -> Plan {
    let mut plan = command::plan(folder, line, "started with");
    plan.kind = kind;
    plan.why.insert(0, why);
    plan
}

/// Packages that the folder's imports need, where it declares none.
fn infer_packages(folder: &Folder, plan: &mut Plan) {
    let declared = folder.has("requirements.txt") || folder.has("pyproject.toml");
    if plan.language != Language::Python || declared {
        return;
    }
    for (package, file) in packages::inferred_packages(folder) {
        plan.notes.push(format!("no requirements.txt: {file} imports {package}, so it is installed"));
        if !plan.extra_packages.contains(&package) {
            plan.extra_packages.push(package);
        }
    }
}

fn refuse_shim(request: &Request, reason: &str) -> Result<(), Error> {
    match request.server {
        Some(Server::Shim) => Err(Error::Server { wanted: "shim", reason: reason.to_owned() }),
        _ => Ok(()),
    }
}

fn refuse_server_of_handler(plan: &Plan, request: &Request) -> Result<(), Error> {
    let explicit = request.handler.is_some() && plan.language == Language::Python;
    match request.server {
        Some(Server::Own) if !explicit => {
            let reason = format!("`{}` is called with events and has no server", plan.handler);
            Err(Error::Server { wanted: "own", reason })
        }
        _ => Ok(()),
    }
}
