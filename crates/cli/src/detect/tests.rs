//! Folders and what they are taken for. Each row is a layout met in the wild.

use types::settings::Server;

use super::command::START_FILE;
use super::plan::Kind;
use super::*;

const FLASK: &str = "from flask import Flask\napp = Flask(__name__)\n";

fn plan(files: &[(&str, &str)]) -> Plan {
    detect(&Folder::of(files), &Request::default()).unwrap()
}

fn handler(files: &[(&str, &str)]) -> String {
    plan(files).handler
}

#[test]
fn python_applications_in_every_shape() {
    let rows: &[(&[(&str, &str)], &str)] = &[
        (&[("app.py", FLASK)], "app.app"),
        (&[("main.py", "import flask\napplication = flask.Flask('x')\n")], "main.application"),
        (&[("hello.py", "from flask import Flask as F\nsite: F = F(__name__)\n")], "hello.site"),
        (
            &[(
                "app.py",
                "from flask import Flask\n\ndef create_app(config=None):\n    app = Flask(__name__)\n    return app\n",
            )],
            "app.create_app",
        ),
        (
            &[
                (
                    "shop/__init__.py",
                    "from flask import Flask\ndef make_app():\n    a = Flask(__name__)\n    return a\n",
                ),
                ("shop/views.py", "from flask import Blueprint\nbp = Blueprint('x', __name__)\n"),
            ],
            "shop.make_app",
        ),
        (
            &[
                (
                    "shop/__init__.py",
                    "from flask import Flask\ndef create_app():\n    return Flask(__name__)\n",
                ),
                ("wsgi.py", "from shop import create_app\napp = create_app()\n"),
            ],
            "wsgi.app",
        ),
        (&[("main.py", "from fastapi import FastAPI\napp = FastAPI(\n    title='x',\n)\n")], "main.app"),
        (
            &[("app/__init__.py", ""), ("app/main.py", "from fastapi import FastAPI\napp = FastAPI()\n")],
            "app.main.app",
        ),
        (
            &[("api.py", "from starlette.applications import Starlette\napi = Starlette(routes=[])\n")],
            "api.api",
        ),
        (
            &[
                ("manage.py", "import os\n"),
                (
                    "site1/wsgi.py",
                    "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n",
                ),
                (
                    "site1/asgi.py",
                    "from django.core.asgi import get_asgi_application\napplication = get_asgi_application()\n",
                ),
            ],
            "site1.wsgi.application",
        ),
        (&[("serve.py", "def application(environ, start_response):\n    return []\n")], "serve.application"),
        (&[("main.py", "async def app(scope, receive, send):\n    pass\n")], "main.app"),
        (
            &[(
                "app.py",
                "class Site:\n    def __call__(self, environ, start_response):\n        return []\napp = Site()\n",
            )],
            "app.app",
        ),
        (
            &[("app.py", "from flask import Flask\nclass Mine(Flask):\n    pass\nweb = Mine(__name__)\n")],
            "app.web",
        ),
        (
            &[(
                "app.py",
                "from flask import Flask\nfrom werkzeug.middleware.proxy_fix import ProxyFix\ninner = Flask(__name__)\napp = ProxyFix(inner)\n",
            )],
            "app.app",
        ),
        (
            &[(
                "app.py",
                "try:\n    from flask import Flask\n    app = Flask(__name__)\nexcept ImportError:\n    raise\n",
            )],
            "app.app",
        ),
        (
            &[
                ("run.py", "from project import app\napp.run()\n"),
                (
                    "project/__init__.py",
                    "from flask import Flask\napp = Flask(__name__)\nfrom project import routes\n",
                ),
                ("project/routes.py", "from project import app\n"),
            ],
            "project.app",
        ),
        (&[("d.py", "import dash\napp = dash.Dash(__name__)\nserver = app.server\n")], "d.server"),
        (&[("tests/app.py", FLASK), ("web.py", FLASK)], "web.app"),
        (&[("app.py", "import bottle\napp = bottle.default_app()\n")], "app.app"),
    ];
    for (files, expected) in rows {
        assert_eq!(handler(files), *expected, "{files:?}");
    }
}

#[test]
fn says_what_it_found() {
    assert_eq!(plan(&[("app.py", FLASK)]).why, ["app.py: Flask application `app`"]);
    let notes = plan(&[("app.py", FLASK)]).notes;
    assert_eq!(notes, ["no requirements.txt: app.py imports flask, so it is installed"]);
    assert!(plan(&[("app.py", FLASK), ("requirements.txt", "flask")]).extra_packages.is_empty());
    let elsewhere =
        plan(&[("app.py", FLASK), ("requirements.txt", ""), ("Dockerfile", ""), ("template.yaml", "")]);
    assert_eq!(elsewhere.notes, ["not read yet: Dockerfile, template.yaml"]);
}

#[test]
fn parts_of_applications_and_other_apps_are_not_applications() {
    for text in [
        "from flask import Blueprint\nbp = Blueprint('x', __name__)\n",
        "from fastapi import APIRouter\nrouter = APIRouter()\n",
        "import typer\napp = typer.Typer()\n",
        "from celery import Celery\nimport flask\napp = Celery('x')\n",
        "# app = Flask(__name__)\n\"\"\"\napp = Flask(__name__)\n\"\"\"\n",
        "from flask import Flask\ndef helper():\n    x = 1\n    return x\n",
        "from flask import Flask\ndef create_app(config):\n    return Flask(__name__)\n",
    ] {
        let error = detect(&Folder::of(&[("app.py", text)]), &Request::default()).unwrap_err();
        assert!(matches!(error, Error::Nothing { .. }), "{text}");
    }
}

#[test]
fn near_misses_are_explained() {
    let files =
        [("app.py", "from flask import Flask\ndef create_app(config):\n    return Flask(__name__)\n")];
    let error = detect(&Folder::of(&files), &Request::default()).unwrap_err().to_string();
    assert!(error.contains("`create_app` makes an application but needs config"), "{error}");
}

#[test]
fn handlers_by_name_and_by_shape() {
    for (files, expected, language) in [
        (
            &[("lambda_function.py", "def lambda_handler(event, context):\n    pass\n")],
            "lambda_function.lambda_handler",
            Language::Python,
        ),
        (&[("index.mjs", "export const handler = async () => 1")], "index.handler", Language::Node),
        (&[("index.js", "exports.handler = async () => 1")], "index.handler", Language::Node),
        (&[("bootstrap*", "#!/bin/sh\n")], "bootstrap", Language::Any),
        (
            &[("worker.py", "def process(event, context):\n    return 1\n")],
            "worker.process",
            Language::Python,
        ),
    ] {
        let plan = plan(files);
        assert_eq!(
            (plan.handler.as_str(), plan.language, plan.server),
            (expected, language, None),
            "{files:?}"
        );
    }
}

#[test]
fn programs_by_start_rule() {
    let procfile = plan(&[("Procfile", "release: x\nweb: gunicorn app:app\n"), ("app.py", FLASK)]);
    assert_eq!((procfile.handler.as_str(), procfile.server), (START_FILE, Some(Server::Own)));
    assert_eq!(procfile.extra_packages, ["gunicorn", "flask"]);
    assert!(procfile.notes[0].contains("not release"), "{:?}", procfile.notes);
    let express =
        plan(&[("package.json", r#"{"scripts":{"start":"node index.js"}}"#), ("index.js", "x.listen(3000)")]);
    assert_eq!(
        (express.handler.as_str(), express.language, express.start),
        ("index.js", Language::Node, None)
    );
    let main =
        plan(&[("package.json", r#"{"main":"./web.js"}"#), ("web.js", "http.createServer().listen(1)")]);
    assert_eq!((main.handler.as_str(), main.server), ("web.js", Some(Server::Own)));
}

#[test]
fn a_python_program_that_serves_itself_is_started() {
    for text in [
        "from http.server import HTTPServer\nHTTPServer(('', 8000), H).serve_forever()\n",
        "from bottle import route, run\nrun(host='localhost', port=8080)\n",
        "import tornado.web\ndef make():\n    return tornado.web.Application([])\nmake().listen(8888)\n",
        "from aiohttp import web\nweb.run_app(web.Application())\n",
    ] {
        let plan = plan(&[("start.py", text)]);
        assert_eq!((plan.handler.as_str(), plan.server), ("start.py", Some(Server::Own)), "{text}");
    }
    let job = "import subprocess\nsubprocess.run(['x'])\nbot.run()\n";
    detect(&Folder::of(&[("job.py", job)]), &Request::default()).unwrap_err();
}

#[test]
fn flags_come_first() {
    let folder = Folder::of(&[("app.py", FLASK), ("Procfile", "web: x\n"), ("index.js", "")]);
    let with = |request: Request| detect(&folder, &request);
    let start = with(Request { start: Some("./x --y".into()), ..Request::default() }).unwrap();
    assert_eq!(start.handler, START_FILE);
    let view = with(Request { handler: Some("app.hello".into()), ..Request::default() }).unwrap();
    assert_eq!((view.handler.as_str(), &view.kind), ("app.hello", &Kind::Handler));
    let shim = with(Request { server: Some(Server::Shim), ..Request::default() }).unwrap();
    assert_eq!((shim.handler.as_str(), shim.server), ("app.app", Some(Server::Shim)));
    for wrong in ["nope.app", "nope"] {
        let error = with(Request { handler: Some(wrong.into()), ..Request::default() }).unwrap_err();
        assert!(matches!(error, Error::Handler { .. }), "{error}");
    }
}

#[test]
fn an_own_server_is_the_files_or_the_frameworks() {
    let own = |text: &str| {
        let request = Request { server: Some(Server::Own), ..Request::default() };
        detect(&Folder::of(&[("app.py", text)]), &request)
    };
    let runs =
        own("from flask import Flask\napp = Flask(__name__)\nif __name__ == '__main__':\n    app.run()\n")
            .unwrap();
    assert_eq!((runs.handler.as_str(), runs.start, runs.server), ("app.py", None, Some(Server::Own)));
    let flask = own(FLASK).unwrap();
    assert!(flask.start.unwrap().contains("-m flask --app app:app run"));
    let fastapi = own("from fastapi import FastAPI\napp = FastAPI()\n").unwrap();
    assert!(fastapi.extra_packages.contains(&"uvicorn".to_owned()));
    assert!(own("def app(environ, start_response):\n    pass\n").is_err());
}

#[test]
fn static_sites_and_nothing_are_told_apart() {
    let detect = |files: &[(&str, &str)]| detect(&Folder::of(files), &Request::default()).unwrap_err();
    assert_eq!(detect(&[("index.html", "<p>")]), Error::StaticSite);
    assert!(matches!(detect(&[("README.md", "")]), Error::Nothing { dockerfile: false, .. }));
    assert!(matches!(detect(&[("Dockerfile", "")]), Error::Nothing { dockerfile: true, .. }));
    assert_eq!(detect(&[("Procfile", "worker: x\n")]), Error::NoWebProcess);
}
