//! Node.js projects: a Lambda handler by AWS's file names, or a program with a start script.

use serde::Deserialize;
use std::collections::BTreeMap;
use types::settings::Server;

use super::plan::{Kind, Language, Plan};
use super::{Folder, command};

/// Where AWS's examples put a handler.
const HANDLER_FILES: [&str; 3] = ["index.mjs", "index.js", "index.cjs"];
/// What a program is called where `package.json` does not say.
const PROGRAM_FILES: [&str; 6] = ["server.js", "server.mjs", "index.js", "index.mjs", "app.js", "main.js"];

/// The members of `package.json` that matter here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Project {
    main: Option<String>,
    scripts: BTreeMap<String, String>,
}

/// A handler exported by `index.mjs`, `index.js` or `index.cjs`.
pub fn find_handler(folder: &Folder) -> Option<Plan> {
    HANDLER_FILES.iter().find_map(|file| {
        let code = without_comments(folder.text(file)?);
        exports_handler(&code).then(|| {
            Plan::new(Kind::Handler, Language::Node, "index.handler", format!("{file}: exports `handler`"))
        })
    })
}

/// A program: the start script, `main`, or a file that listens.
pub fn find_program(folder: &Folder, looked: &mut Vec<String>) -> Option<Plan> {
    let project: Project = match folder.text("package.json").map(serde_json::from_str) {
        Some(Ok(project)) => project,
        Some(Err(error)) => {
            looked.push(format!("package.json (not readable: {error})"));
            return None;
        }
        None => {
            looked.push("package.json".to_owned());
            return listening_file(folder, None);
        }
    };
    if let Some(start) = project.scripts.get("start").filter(|start| !start.trim().is_empty()) {
        let mut plan = command::plan(folder, start, "package.json start script");
        if plan.language != Language::Python {
            plan.language = Language::Node;
        }
        for hook in ["prestart", "build"].iter().filter(|hook| project.scripts.contains_key(**hook)) {
            plan.notes
                .push(format!("the script `{hook}` is not run: run it before the deploy if it is needed"));
        }
        return Some(plan);
    }
    looked.push("a start script in package.json".to_owned());
    listening_file(folder, project.main.as_deref())
}

fn listening_file(folder: &Folder, main: Option<&str>) -> Option<Plan> {
    let main = main.map(|main| main.trim_start_matches("./"));
    let files = main.into_iter().chain(PROGRAM_FILES);
    let listens =
        |file: &&str| folder.text(file).is_some_and(|text| without_comments(text).contains(".listen("));
    let file = files.into_iter().find(listens)?;
    let why = format!("{file}: a program that listens");
    let mut plan = Plan::new(Kind::Program, Language::Node, file, why);
    plan.server = Some(Server::Own);
    Some(plan)
}

/// Whether a module exports the name `handler`, in the spellings of ES and CommonJS modules.
fn exports_handler(code: &str) -> bool {
    let flat: String = code.split_whitespace().collect::<Vec<_>>().join(" ");
    let declared = ["const", "let", "var", "function", "async function", "function*"]
        .iter()
        .any(|keyword| follows(&flat, &format!("export {keyword} "), "handler"));
    let assigned =
        ["exports.handler =", "exports.handler=", "exports[\"\"]"].iter().any(|text| flat.contains(text))
            && (flat.contains("exports.handler =") || flat.contains("exports.handler="));
    declared || assigned || listed(&flat, "export {") || listed(&flat, "module.exports = {")
}

fn follows(code: &str, before: &str, name: &str) -> bool {
    code.match_indices(before).any(|(at, _)| {
        code.get(at + before.len()..).is_some_and(|rest| {
            rest.strip_prefix(name)
                .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        })
    })
}

/// Whether `handler` is a name in the braces after `before`.
fn listed(code: &str, before: &str) -> bool {
    code.match_indices(before).any(|(at, _)| {
        let list = code.get(at + before.len()..).unwrap_or_default();
        let list = list.split('}').next().unwrap_or_default();
        list.split(',').any(|item| {
            let item = item.trim();
            let exported = item.rsplit_once(" as ").map_or(item, |(_, name)| name);
            let key = exported.split([':', '(']).next().unwrap_or_default().trim();
            key.trim_start_matches("async ").trim() == "handler"
        })
    })
}

/// JavaScript without comments and with every string emptied.
fn without_comments(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let after = rest.get(character.len_utf8()..).unwrap_or_default();
        rest = match character {
            '/' if after.starts_with('/') => {
                after.find('\n').and_then(|end| after.get(end..)).unwrap_or_default()
            }
            '/' if after.starts_with('*') => {
                code.push(' ');
                after.find("*/").and_then(|end| after.get(end + 2..)).unwrap_or_default()
            }
            '"' | '\'' | '`' => {
                code.push_str("\"\"");
                after_string(after, character)
            }
            _ => {
                code.push(character);
                after
            }
        };
    }
    code
}

fn after_string(text: &str, quote: char) -> &str {
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                characters.next();
            }
            '\n' if quote != '`' => break,
            _ if character == quote => break,
            _ => {}
        }
    }
    characters.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_a_handler_in_every_spelling() {
        for code in [
            "export const handler = async (event) => 1",
            "export async function handler(event) {}",
            "exports.handler = async () => {}",
            "module.exports.handler = function () {}",
            "module.exports = { other, handler }",
            "module.exports = { handler: main }",
            "async function h() {}\nexport { h as handler }",
            "export {\n  // the entry\n  handler,\n}",
        ] {
            assert!(exports_handler(&without_comments(code)), "{code}");
        }
        for code in [
            "// exports.handler = x",
            "/* export const handler */ const a = 1",
            "const s = \"exports.handler = 1\"",
            "export const handlers = 1",
            "module.exports = { handlerName }",
            "const handler = 1",
        ] {
            assert!(!exports_handler(&without_comments(code)), "{code}");
        }
    }
}
