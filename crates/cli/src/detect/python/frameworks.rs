//! What Python calls make a web application, by full name. Data only.

use super::application::Style;

/// Constructors and the framework they belong to.
const CONSTRUCTORS: &[(&str, &str, Style)] = &[
    ("flask.Flask", "Flask", Style::Wsgi),
    ("flask.app.Flask", "Flask", Style::Wsgi),
    ("apiflask.APIFlask", "APIFlask", Style::Wsgi),
    ("flask_openapi3.OpenAPI", "Flask", Style::Wsgi),
    ("bottle.Bottle", "Bottle", Style::Wsgi),
    ("bottle.default_app", "Bottle", Style::Wsgi),
    ("bottle.app", "Bottle", Style::Wsgi),
    ("falcon.App", "Falcon", Style::Wsgi),
    ("falcon.API", "Falcon", Style::Wsgi),
    ("falcon.asgi.App", "Falcon", Style::Asgi),
    ("django.core.wsgi.get_wsgi_application", "Django", Style::Wsgi),
    ("django.core.asgi.get_asgi_application", "Django", Style::Asgi),
    ("fastapi.FastAPI", "FastAPI", Style::Asgi),
    ("fastapi.applications.FastAPI", "FastAPI", Style::Asgi),
    ("starlette.applications.Starlette", "Starlette", Style::Asgi),
    ("quart.Quart", "Quart", Style::Asgi),
    ("litestar.Litestar", "Litestar", Style::Asgi),
    ("sanic.Sanic", "Sanic", Style::Asgi),
    ("asgiref.wsgi.WsgiToAsgi", "ASGI", Style::Asgi),
    ("a2wsgi.ASGIMiddleware", "WSGI", Style::Wsgi),
    ("a2wsgi.WSGIMiddleware", "ASGI", Style::Asgi),
    ("werkzeug.middleware.dispatcher.DispatcherMiddleware", "WSGI", Style::Wsgi),
    ("werkzeug.middleware.proxy_fix.ProxyFix", "WSGI", Style::Wsgi),
    ("whitenoise.WhiteNoise", "WSGI", Style::Wsgi),
    ("socketio.WSGIApp", "WSGI", Style::Wsgi),
    ("socketio.ASGIApp", "ASGI", Style::Asgi),
];

/// Packages whose presence makes a call assigned to `app` or `application` likely an application.
pub const PACKAGES: &[&str] = &[
    "apiflask",
    "bottle",
    "connexion",
    "django",
    "falcon",
    "fastapi",
    "flask",
    "litestar",
    "pyramid",
    "quart",
    "sanic",
    "starlette",
    "werkzeug",
];

/// Full names whose value is often called `app` and is no web application.
const OTHERS: &[&str] = &[
    "APIRouter",
    "App",
    "Blueprint",
    "Celery",
    "Cli",
    "Client",
    "Group",
    "Namespace",
    "QApplication",
    "Stack",
    "SQLAlchemy",
    "Tk",
    "Typer",
];

/// What a call with this full name makes.
pub fn constructor(full_name: &str) -> Option<(&'static str, Style)> {
    let found = CONSTRUCTORS.iter().find(|(name, ..)| *name == full_name);
    if let Some((_, framework, style)) = found {
        return Some((framework, *style));
    }
    full_name.ends_with(".make_wsgi_app").then_some(("Pyramid", Style::Wsgi))
}

/// Whether a name is known not to make a web application.
pub fn is_other(full_name: &str) -> bool {
    full_name.rsplit('.').next().is_some_and(|last| OTHERS.contains(&last))
}

/// Whether a function of this name makes an application, by custom.
pub fn is_factory_name(name: &str) -> bool {
    let name = name.rsplit('.').next().unwrap_or(name);
    matches!(name, "app_factory" | "application_factory")
        || ["create_", "make_", "build_", "get_", "init_", "new_"].iter().any(|verb| {
            name.strip_prefix(verb).is_some_and(|rest| {
                matches!(rest, "app" | "application" | "wsgi_app" | "asgi_app" | "api" | "server")
            })
        })
}
