//! Which package provides a Python import, for folders that declare nothing. A fixed list of well-known
//! names: a package is never guessed from an import, because a wrong guess installs a stranger's code.

use super::Folder;
use super::python::Module;

/// Import name to package name, where they may differ in spelling.
const PACKAGES: &[(&str, &str)] = &[
    ("aiohttp", "aiohttp"),
    ("apiflask", "apiflask"),
    ("boto3", "boto3"),
    ("bottle", "bottle"),
    ("bs4", "beautifulsoup4"),
    ("cv2", "opencv-python-headless"),
    ("dash", "dash"),
    ("django", "django"),
    ("dotenv", "python-dotenv"),
    ("falcon", "falcon"),
    ("fastapi", "fastapi"),
    ("flask", "flask"),
    ("flask_caching", "flask-caching"),
    ("flask_cors", "flask-cors"),
    ("flask_login", "flask-login"),
    ("flask_migrate", "flask-migrate"),
    ("flask_restful", "flask-restful"),
    ("flask_sqlalchemy", "flask-sqlalchemy"),
    ("flask_wtf", "flask-wtf"),
    ("httpx", "httpx"),
    ("jinja2", "jinja2"),
    ("litestar", "litestar"),
    ("lxml", "lxml"),
    ("mangum", "mangum"),
    ("markdown", "markdown"),
    ("numpy", "numpy"),
    ("pandas", "pandas"),
    ("PIL", "pillow"),
    ("psycopg", "psycopg[binary]"),
    ("psycopg2", "psycopg2-binary"),
    ("pydantic", "pydantic"),
    ("pymysql", "pymysql"),
    ("quart", "quart"),
    ("redis", "redis"),
    ("requests", "requests"),
    ("sanic", "sanic"),
    ("scipy", "scipy"),
    ("sklearn", "scikit-learn"),
    ("sqlalchemy", "sqlalchemy"),
    ("starlette", "starlette"),
    ("tornado", "tornado"),
    ("uvicorn", "uvicorn"),
    ("waitress", "waitress"),
    ("werkzeug", "werkzeug"),
    ("yaml", "pyyaml"),
];

/// Programs of start commands and the packages they come in.
const PROGRAMS: &[(&str, &str)] = &[
    ("daphne", "daphne"),
    ("flask", "flask"),
    ("gunicorn", "gunicorn"),
    ("hypercorn", "hypercorn"),
    ("uvicorn", "uvicorn"),
    ("waitress-serve", "waitress"),
];

/// The package that a program of a start command comes in.
pub fn package_of_program(program: &str) -> Option<String> {
    PROGRAMS.iter().find(|(name, _)| *name == program).map(|(_, package)| (*package).to_owned())
}

/// The packages that the folder's own modules import, each with the first file that does.
pub fn inferred_packages(folder: &Folder) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for path in folder.paths().filter(|path| path.ends_with(".py")) {
        let Some(text) = folder.text(path) else { continue };
        for import in Module::scan(text).imports {
            let top = import.module.split('.').next().unwrap_or_default();
            if folder.has_python_module(top) {
                continue;
            }
            let package = PACKAGES.iter().find(|(name, _)| *name == top).map(|(_, package)| *package);
            if let Some(package) = package.filter(|package| !found.iter().any(|(known, _)| known == package))
            {
                found.push((package.to_owned(), path.to_owned()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_imports_become_packages_and_others_do_not() {
        let folder = Folder::of(&[
            ("app.py", "import os, flask\nfrom PIL import Image\nfrom flaskk import x\nimport redis\n"),
            ("redis.py", "import flask\n"),
            ("notes.py", "# import django\n'''\nimport pandas\n'''\n"),
        ]);
        let packages: Vec<String> =
            inferred_packages(&folder).into_iter().map(|(package, _)| package).collect();
        assert_eq!(packages, ["flask", "pillow"]);
    }
}
