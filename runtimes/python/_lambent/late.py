"""What applications do at their first request and can do before: an ember does it once for all instances.

Modules are imported that a first request imports; frameworks compile what they compile at the first
request; and our own way from a frame to its answer is gone through with an application of ours, made with
the framework that is loaded anyway. That is not done where something has changed the framework or listens to
its signals: it would see a request that nobody sent. The user's code runs in `import_routes` alone, which is
called before Ready: what runs after it could undo what the platform has found out about this process.
"""

import sys

from . import applications, rehearsal

# A module that must be loaded, and what a first request then imports.
_LATE = (
    ("socket", ("encodings.idna", "stringprep")),
    ("anyio", ("anyio._backends._asyncio",)),
)
_made = {}
_FLASK_SIGNALS = (
    "appcontext_popped",
    "appcontext_pushed",
    "appcontext_tearing_down",
    "request_finished",
    "request_started",
    "request_tearing_down",
)


def import_routes(found):
    """Imports the URL configuration of a Django application, which else waits for the first request."""
    if "django.urls" in sys.modules and _is_from(type(found.value), "django"):
        _try(lambda: sys.modules["django.urls"].get_resolver()._populate())


def prepare(found):
    """All that can be done for what will be served. What fails is left to the first request."""
    for present, modules in _LATE:
        if present in sys.modules:
            for module in modules:
                _try(__import__, module)
    if found is None:
        for value in list(vars(sys.modules["__main__"]).values()):
            _try(_compile_routes, value)
    else:
        _try(_compile_routes, found.value)
        _try(_build_middleware, found.value)
    rehearse(found, rehearsal.OFTEN)


def rehearse(found, times):
    """Goes through our code with an application of ours."""
    if found is None:
        if "werkzeug.serving" in sys.modules:
            _try(rehearsal.of_werkzeug, _application(_flask), times)
    elif found.kind == applications.HANDLER:
        _try(rehearsal.of_handler, times)
    elif found.kind == applications.WSGI:
        _try(rehearsal.of_wsgi, _application(_flask), times)
    else:
        _try(rehearsal.of_asgi, _application(_fastapi), times)


def _application(make):
    """One of ours, made once: in the ember, for its newborns as well."""
    if make not in _made:
        _made[make] = _try(make)
    return _made[make]


def _try(function, *arguments):
    try:
        return function(*arguments)
    except Exception:
        return None


def _compile_routes(application):
    """Flask's and Quart's."""
    if _is_from(type(application), "flask", "quart"):
        application.url_map.update()


def _build_middleware(application):
    """FastAPI's and Starlette's, unless there is some of the user's: making it would run the user's code."""
    theirs = ("fastapi", "starlette")
    if getattr(application, "middleware_stack", application) is None and _is_from(type(application), *theirs):
        if all(_is_from(added.cls, *theirs) for added in application.user_middleware):
            application.middleware_stack = application.build_middleware_stack()


def _flask():
    """A Flask application of ours, or None."""
    flask = sys.modules.get("flask")
    if flask is None or not _is_as_made(flask.Flask, "flask", ("__call__", "wsgi_app", "full_dispatch_request")):
        return None
    if any(getattr(flask.signals, name).receivers for name in _FLASK_SIGNALS):
        return None
    application = flask.Flask("lambent", static_folder=None, template_folder=None, root_path="/", instance_path="/")
    application.add_url_rule("/", "rehearsal", lambda: "rehearsed")
    return application


def _fastapi():
    """A FastAPI application of ours, or None."""
    fastapi = sys.modules.get("fastapi")
    if fastapi is None or not _is_as_made(fastapi.FastAPI, "fastapi", ("__call__", "__init__")):
        return None
    application = fastapi.FastAPI(openapi_url=None)

    async def rehearsed():
        return {}

    application.add_api_route("/", rehearsed)
    return application


def _is_as_made(owner, package, names):
    """Whether nobody has put something of their own in place of these methods."""
    return all(_is_from(getattr(owner, name), package) for name in names)


def _is_from(thing, *packages):
    return (getattr(thing, "__module__", None) or "").split(".")[0] in packages
