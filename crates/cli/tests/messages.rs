//! What the compiled binary says when something is wrong, word for word: exit status, standard output,
//! standard error. No server is needed; the one that is missing is part of the test.
#![expect(clippy::unwrap_used, reason = "a test's panic is its verdict")]

use std::fs;
use std::path::Path;
use std::process::Command;

use insta::assert_snapshot;

/// An address at which nothing listens.
const NOWHERE: &str = "http://127.0.0.1:1";
/// A minimal Flask application.
const FLASK: &str = "from flask import Flask\napp = Flask(__name__)\n";

/// A folder and the outcome of commands in it.
struct Folder(tempfile::TempDir);

// === impl Folder ===

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::Builder::new().prefix("shop").rand_bytes(0).tempdir_in(base()).unwrap();
        for (path, text) in files {
            let path = directory.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self(directory)
    }

    /// Runs `lambent` beside the folder, which it knows as `shop`.
    fn run(&self, arguments: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_lambent"))
            .args(arguments)
            .current_dir(self.0.path().parent().unwrap())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LAMBENT_ENDPOINT", NOWHERE)
            .env("LAMBENT_ADMIN", NOWHERE)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let status = output.status.code().unwrap();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        plain(&format!("exit {status}\n--- stdout\n{out}--- stderr\n{err}"))
    }
}

/// A directory of this test's own, so that every folder can be called `shop`.
fn base() -> std::path::PathBuf {
    tempfile::tempdir().unwrap().keep()
}

/// What differs between machines, made the same.
fn plain(text: &str) -> String {
    let mut text = text.replace("x86_64", "MACHINE").replace("aarch64", "MACHINE");
    for minor in (9..20).rev() {
        text = text.replace(&format!("python3.{minor}"), "python3.N");
    }
    text
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Some(base) = self.0.path().parent().map(Path::to_owned) {
            let _ = fs::remove_dir_all(base);
        }
    }
}

#[test]
fn no_server() {
    let folder = Folder::with(&[]);
    assert_snapshot!(folder.run(&["list"]), @r##"
    exit 1
    --- stdout
    --- stderr
    error: no lambent server answers at http://127.0.0.1:1
      caused by: Connection refused (os error 111)

    hint: start one with `lambent serve`, or name another with --endpoint
    "##);
}

#[test]
fn a_folder_that_is_none() {
    let folder = Folder::with(&[]);
    assert_snapshot!(folder.run(&["deploy", "nowhere"]), @r##"
    exit 1
    --- stdout
    --- stderr
    error: `nowhere` is not a folder

    hint: name the folder that holds the program
    "##);
}

#[test]
fn a_folder_with_nothing_to_start() {
    let folder = Folder::with(&[("bp.py", "from flask import Blueprint\nbp = Blueprint('x', __name__)\n")]);
    assert_snapshot!(folder.run(&["deploy", "shop"]), @r##"
    exit 1
    --- stdout
    --- stderr
    error: nothing to start was found in this folder; looked for
      - Procfile
      - a Lambda handler (lambda_function.py, index.mjs, index.js, an executable bootstrap)
      - a Python web application (Flask, FastAPI, Django, any WSGI or ASGI `app`)
      - package.json
    and saw
      - bp.py: `bp` is a Flask blueprint, not an application

    hint: say what to start with --handler FILE.NAME (a function or application) or --start "COMMAND" (a program that listens on $PORT)
    "##);
}

#[test]
fn a_static_site() {
    let folder = Folder::with(&[("index.html", "<p>")]);
    assert_snapshot!(folder.run(&["deploy", "shop"]), @r##"
    exit 1
    --- stdout
    --- stderr
    error: this folder is a static site (index.html and no program), which lambent does not serve yet

    hint: add a program that serves it, for instance --start "python3 -m http.server $PORT"
    "##);
}

#[test]
fn a_variable_without_a_value() {
    let folder = Folder::with(&[("app.py", FLASK)]);
    assert_snapshot!(folder.run(&["deploy", "shop", "--env", "STAGE"]), @r##"
    exit 1
    --- stdout
    --- stderr
    error: --env STAGE: not of the form NAME=VALUE

    hint: write --env NAME=VALUE; the value may be empty
    "##);
}

#[test]
fn a_setting_out_of_range() {
    let folder = Folder::with(&[("app.py", FLASK)]);
    assert_snapshot!(folder.run(&["deploy", "shop", "--idle-seconds", "0"]), @r##"
    exit 1
    --- stdout
    --- stderr
    error: tag `lambent:idle-seconds` has the value `0`, but takes whole seconds from 1 to 86400, or auto; default auto, which is learned
    "##);
}

#[test]
fn a_wheel_for_another_python() {
    let wheel = "wheels/numpy-1.21.6-cp37-cp37m-manylinux_2_12_x86_64.manylinux2010_x86_64.whl";
    let folder = Folder::with(&[("app.py", FLASK), ("requirements.txt", "flask\n"), (wheel, "")]);
    assert_snapshot!(folder.run(&["deploy", "shop"]), @r##"
    exit 1
    --- stdout
    --- stderr
        found app.py: Flask application `app`
    error: wheels/numpy-1.21.6-cp37-cp37m-manylinux_2_12_MACHINE.manylinux2010_MACHINE.whl is built for CPython 3.7 (manylinux_2_12_MACHINE.manylinux2010_MACHINE), but the function runs on python3.N on Linux MACHINE

    hint: remove it and list the package in requirements.txt, so that it is installed for this runtime, or choose its runtime with --runtime
    "##);
}

#[test]
fn a_runtime_that_is_not_installed() {
    let folder = Folder::with(&[("app.py", FLASK), ("requirements.txt", "flask\n")]);
    let said = folder.run(&["deploy", "shop", "--runtime", "python2.7"]);
    assert!(
        said.starts_with("exit 1\n") && said.contains("error: python2.7 is not installed here: there is "),
        "{said}"
    );
}

#[test]
fn a_payload_that_is_not_json() {
    let folder = Folder::with(&[]);
    assert_snapshot!(folder.run(&["invoke", "shop", "--payload", "hello"]), @r##"
    exit 1
    --- stdout
    --- stderr
    error: the payload is not JSON: expected value at line 1 column 1

    hint: quote text for JSON ('"text"'), read a file with @FILE, or standard input with -
    "##);
}

#[test]
fn an_error_as_json() {
    let folder = Folder::with(&[]);
    assert_snapshot!(folder.run(&["--json", "list"]), @r##"
    exit 1
    --- stdout
    --- stderr
    {"causes":["Connection refused (os error 111)"],"error":"no lambent server answers at http://127.0.0.1:1","hint":"start one with `lambent serve`, or name another with --endpoint"}
    "##);
}

#[test]
fn what_would_be_deployed() {
    let folder =
        Folder::with(&[("app.py", FLASK), (".env", "TOKEN=x"), ("Procfile", "web: gunicorn app:app\n")]);
    assert_snapshot!(folder.run(&["deploy", "shop", "--dry-run"]), @r##"
    exit 0
    --- stdout
    name     shop
    handler  lambent-start
    server   own
    --- stderr
        found Procfile web: `gunicorn app:app`
         note no requirements.txt: app.py imports flask, so it is installed
         note .env is not packaged: its variables are set with --env-file
    "##);
}
