//! What the caller said with `--handler`: checked against the folder, its language inferred.

use types::settings::Server;

use super::plan::{Application, Kind, Language, Plan, Request};
use super::{Error, Folder, python};

/// The plan for `--handler`.
pub fn plan(folder: &Folder, request: &Request, handler: &str) -> Result<Plan, Error> {
    let refuse = |reason: String| Error::Handler { handler: handler.to_owned(), reason };
    let why = format!("--handler {handler}");
    if folder.has(handler) {
        return file(folder, request, handler, why).ok_or_else(|| {
            refuse("the file is neither executable nor a Python or JavaScript program".to_owned())
        });
    }
    let Some((module, name)) = handler.rsplit_once('.') else {
        return Err(refuse("there is no such file in the folder".to_owned()));
    };
    let path = module.replace('.', "/");
    let with = |extension: &str| folder.has(&format!("{path}.{extension}"));
    if ["mjs", "js", "cjs"].iter().any(|extension| with(extension)) {
        return Ok(Plan::new(Kind::Handler, Language::Node, handler, why));
    }
    if !with("py") && !folder.has(&format!("{path}/__init__.py")) {
        let missing = format!("neither {path}.py nor {path}.js, .mjs or .cjs is in the folder");
        return Err(refuse(missing));
    }
    let found = python::find_applications(folder).found;
    let application =
        found.into_iter().find(|found| found.module == module.replace('/', ".") && found.name == name);
    let kind = match application {
        Some(found) => Kind::Application(Application { framework: found.framework, file: found.file }),
        None => Kind::Handler,
    };
    let mut plan = Plan::new(kind, Language::Python, handler, why);
    plan.server = request.server;
    Ok(plan)
}

fn file(folder: &Folder, request: &Request, handler: &str, why: String) -> Option<Plan> {
    let extension = handler.rsplit_once('.').map_or("", |(_, extension)| extension);
    let language = match extension {
        "py" => Language::Python,
        "js" | "mjs" | "cjs" => Language::Node,
        _ if folder.is_executable(handler) => Language::Any,
        _ => return None,
    };
    // An executable without more being said speaks the Runtime API, as on AWS.
    if language == Language::Any && request.server.is_none() {
        return Some(Plan::new(Kind::Bootstrap, language, handler, why));
    }
    let mut plan = Plan::new(Kind::Program, language, handler, why);
    plan.server = Some(Server::Own);
    Some(plan)
}
