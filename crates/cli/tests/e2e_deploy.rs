//! Folders of every kind, deployed to a real server and asked over HTTP. Packages come from the package
//! indexes, as for a user.
#![expect(clippy::unwrap_used, reason = "a test's panic is its verdict")]

mod fixture;

use fixture::{SOON, host, world};
use testkit::{Load, World, wait_until};

/// The application that every tutorial begins with.
const TUTORIAL: &str = "\
from flask import Flask

app = Flask(__name__)

@app.route('/')
def hello():
    return 'Hello, World!'

if __name__ == '__main__':
    app.run()
";

/// Deploys a folder and returns what was said.
fn deploy(world: &World, name: &str, files: &[(&str, &str)], options: &[&str]) -> String {
    let folder = world.folder(name, files).unwrap();
    let mut arguments = vec!["deploy", folder.to_str().unwrap(), "--name", name];
    arguments.extend_from_slice(options);
    let output = world.lambent(&arguments).unwrap();
    assert!(output.status.success(), "{}", output.stderr);
    output.stderr
}

fn body(world: &World, name: &str, path: &str) -> String {
    let answer = world.get(&host(name), path).unwrap();
    assert_eq!(answer.status, 200, "{name}{path}: {}", answer.text());
    answer.text()
}

#[test]
fn the_tutorial_answers_by_the_shim_and_on_its_own_server() {
    let world = world().start().unwrap();
    let said = deploy(&world, "tutorial", &[("app.py", TUTORIAL)], &[]);
    assert!(said.contains("app.py: Flask application `app`"), "{said}");
    assert!(said.contains("app.py imports flask"), "{said}");
    assert_eq!(body(&world, "tutorial", "/"), "Hello, World!");
    deploy(&world, "tutorial-own", &[("app.py", TUTORIAL)], &["--server", "own"]);
    assert_eq!(body(&world, "tutorial-own", "/"), "Hello, World!");
}

#[test]
fn two_servers_on_the_same_port_answer_at_once() {
    let world = world().start().unwrap();
    for name in ["one", "two"] {
        let app = TUTORIAL.replace("Hello, World!", name).replace("app.run()", "app.run(port=5000)");
        deploy(&world, name, &[("app.py", &app)], &["--server", "own"]);
    }
    for name in ["one", "two", "one", "two"] {
        assert_eq!(body(&world, name, "/"), name);
    }
}

#[test]
fn python_applications_of_other_shapes_answer() {
    let world = world().start().unwrap();
    let factory = "\
from flask import Flask

def create_app(config=None):
    site = Flask(__name__)
    from .pages import pages
    site.register_blueprint(pages)
    return site
";
    let pages = "\
from flask import Blueprint

pages = Blueprint('pages', __name__)

@pages.route('/')
def index():
    return 'factory'
";
    deploy(&world, "factory", &[("shop/__init__.py", factory), ("shop/pages.py", pages)], &[]);
    assert_eq!(body(&world, "factory", "/"), "factory");

    let main = TUTORIAL.replace("app", "application");
    deploy(&world, "main", &[("main.py", &main), ("requirements.txt", "flask\n")], &[]);
    assert_eq!(body(&world, "main", "/"), "Hello, World!");

    let fastapi = "\
from fastapi import FastAPI

app = FastAPI()

@app.get('/{name}')
async def greet(name: str):
    return {'hello': name}
";
    deploy(&world, "fastapi", &[("main.py", fastapi)], &[]);
    assert_eq!(body(&world, "fastapi", "/you"), r#"{"hello":"you"}"#);

    let bare =
        "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'bare']\n";
    deploy(&world, "bare", &[("wsgi.py", bare)], &[]);
    assert_eq!(body(&world, "bare", "/"), "bare");
}

#[test]
fn programs_with_a_start_rule_answer() {
    let world = world().start().unwrap();
    let manifest = r#"{ "name": "shop", "scripts": { "start": "node server.js" }, "dependencies": { "express": "^4" } }"#;
    let express = "\
const app = require('express')()
app.get('/', (_, response) => response.send('express'))
app.listen(3000)
";
    deploy(&world, "express", &[("package.json", manifest), ("server.js", express)], &[]);
    assert_eq!(body(&world, "express", "/"), "express");

    let files = [("Procfile", "web: gunicorn --bind 127.0.0.1:$PORT app:app\n"), ("app.py", TUTORIAL)];
    deploy(&world, "gunicorn", &files, &[]);
    assert_eq!(body(&world, "gunicorn", "/"), "Hello, World!");

    deploy(&world, "started", &[("index.txt", "a file")], &["--start", "python3 -m http.server $PORT"]);
    assert_eq!(body(&world, "started", "/index.txt"), "a file");
}

#[test]
fn a_second_deploy_changes_only_what_changed() {
    let world = world().start().unwrap();
    let handler = |text: &str| {
        format!(
            "import os\n\ndef lambda_handler(event, context):\n    return '{text} ' + os.environ.get('STAGE', '-')\n"
        )
    };
    let files = |text: &str| handler(text);
    let deploy = |text: &str, options: &[&str]| {
        deploy(&world, "shop", &[("lambda_function.py", &files(text))], options)
    };
    let answers = |expected: &str| {
        wait_until(SOON, expected, || body(&world, "shop", "/").trim_matches('"') == expected).unwrap();
    };
    assert!(deploy("one", &["--env", "STAGE=demo"]).contains("created"));
    answers("one demo");
    assert!(deploy("one", &[]).contains("unchanged"));
    assert!(deploy("two", &[]).contains("version 1 -> 2"));
    answers("two demo");
    world.run(&["rollback", "shop"]).unwrap();
    answers("one demo");
    assert!(deploy("two", &[]).contains("version 1 -> 2"));
    assert!(deploy("two", &["--unset-env", "STAGE"]).contains("version 2 -> 3"));
    answers("two -");
    world.run(&["delete", "shop", "--yes"]).unwrap();
    assert_eq!(world.get(&host("shop"), "/").unwrap().status, 404);
}

/// Tags hold for every version at once, so who serves must never be a matter of a tag's timing.
#[test]
fn another_way_of_serving_fails_no_request() {
    let world = world().start().unwrap();
    let plain = TUTORIAL.split("if __name__").next().unwrap();
    let shimmed = [("app.py", plain)];
    let started = [("app.py", plain), ("Procfile", "web: gunicorn --bind 127.0.0.1:$PORT app:app\n")];
    deploy(&world, "shop", &shimmed, &[]);
    assert_eq!(body(&world, "shop", "/"), "Hello, World!");
    let load = Load::start(world.ready().gateway, &host("shop"), "/", 2);
    for options in [&[][..], &["--server", "shim"], &["--server", "own"], &[]] {
        deploy(&world, "shop", &started, options);
        let answered = load.answered();
        wait_until(SOON, "load goes on", || load.answered() > answered + 10).unwrap();
    }
    let counts = load.stop();
    assert_eq!(counts.failed(), 0, "{counts:?}");
}

#[test]
fn settings_become_tags_and_go_away_again() {
    let world = world().start().unwrap();
    let handler = "def lambda_handler(event, context):\n    return 1\n";
    let files = [("lambda_function.py", handler)];
    let tags = || {
        let text = world.run(&["describe", "shop", "--json"]).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["tags"].clone()
    };
    deploy(&world, "shop", &files, &["--max-instances", "3", "--idle-seconds", "5"]);
    assert_eq!(tags(), serde_json::json!({ "lambent:max-instances": "3", "lambent:idle-seconds": "5" }));
    deploy(&world, "shop", &files, &["--idle-seconds", "default"]);
    assert_eq!(tags(), serde_json::json!({ "lambent:max-instances": "3" }));
}

#[test]
fn a_functions_failure_is_told_with_its_log() {
    let world = world().start().unwrap();
    let handler =
        "def lambda_handler(event, context):\n    print('looking at', event)\n    return event['missing']\n";
    deploy(&world, "shop", &[("lambda_function.py", handler)], &[]);
    let failed = world.lambent(&["invoke", "shop", "--payload", r#"{"a":1}"#]).unwrap();
    assert_eq!(failed.status.code(), Some(1));
    assert!(failed.stdout.contains("KeyError"), "{}", failed.stdout);
    for text in
        ["failed (handler): KeyError", "| looking at {'a': 1}", "\nhint: ", "lambent logs shop --request"]
    {
        assert!(failed.stderr.contains(text), "{text}: {}", failed.stderr);
    }
    let logs = || world.run(&["logs", "shop"]).unwrap();
    wait_until(SOON, "the log line", || logs().contains("looking at {'a': 1}")).unwrap();
    assert!(world.run(&["list"]).unwrap().contains("http://shop.localhost:"));
    let spec = world.run(&["describe", "shop", "--isolation"]).unwrap();
    assert!(spec.contains(&format!("\"seccomp\": {}", world.has_namespaces())), "{spec}");
}
