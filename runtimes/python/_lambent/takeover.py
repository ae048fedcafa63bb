"""Takes over calls that would start a web server while the user's module is imported.

A module that ends in `app.run()` without a guard would otherwise serve on a socket and never finish
its import. During init the call raises `Serving` instead, which unwinds the import as a server that
never returns would, and the application is served by the shim. After init every call is the original.
"""

import sys

from . import imports

# Options of servers that would watch the files of the program, or stop it in a debugger.
_RELOADING = ("debug", "reload", "use_reloader", "use_debugger", "auto_reload")

_importing = False
_said = False


class Serving(SystemExit):
    """Carries the application out of the import. A SystemExit, so that threads end silently on it and
    `except Exception` lets it pass."""

    def __init__(self, application):
        super().__init__(0)
        self.application = application


def prepare():
    """Covers the calls of each framework when, and only when, it is imported."""
    for module_name, owner, call, application in _CALLS:
        imports.after(module_name, _coverer(owner, call, application))


def begin():
    """Init begins: calls are taken."""
    global _importing
    _importing = True


def end():
    """Init is over: calls are the originals."""
    global _importing
    _importing = False


def _coverer(owner, name, application):
    """A hook that covers one call of an imported module."""

    def cover(module):
        target = getattr(module, owner, None) if owner else module
        original = getattr(target, name, None)
        if original is None:
            return

        def taken(*arguments, **options):
            if not _importing:
                return original(*arguments, **options)
            _say_reloader_is_off(options)
            raise Serving(_imported(application(arguments, options), options))

        # As functools.wraps does, whose import every cold start would pay.
        taken.__name__, taken.__doc__, taken.__wrapped__ = name, original.__doc__, original
        setattr(target, name, taken)

    return cover


def _imported(application, options):
    """Servers also take "module:attribute" and factories."""
    if isinstance(application, str):
        module_name, _, attributes = application.partition(":")
        # A script names itself: the half-imported module is the one meant.
        __import__(module_name)
        application = sys.modules[module_name]
        for attribute in (attributes or "app").split("."):
            application = getattr(application, attribute)
    return application() if options.get("factory") else application


def _say_reloader_is_off(options):
    global _said
    if not _said and any(options.get(name) for name in _RELOADING):
        _said = True
        print("lambent: the reloader and the debugger are off, a redeploy replaces them", file=sys.stderr)


def _itself(arguments, options):
    return arguments[0]


def _first(arguments, options):
    return arguments[0] if arguments else options["app"]


def _third(arguments, options):
    return arguments[2] if len(arguments) > 2 else options["application"]


def _bottle(arguments, options):
    return _first(arguments, options) if arguments or options.get("app") else sys.modules["bottle"].default_app()


def _configured(arguments, options):
    return arguments[0].config.app


def _loaded(arguments, options):
    return arguments[0].load()


def _of_server(arguments, options):
    server = arguments[0]
    return server.get_app() if hasattr(server, "get_app") else server.application


# Module, owner inside it ("" is the module), call, and how the call names its application.
_CALLS = (
    ("flask.app", "Flask", "run", _itself),
    ("quart.app", "Quart", "run", _itself),
    ("werkzeug.serving", "", "run_simple", _third),
    ("uvicorn.main", "", "run", _first),
    ("uvicorn.server", "Server", "run", _configured),
    ("uvicorn.server", "Server", "serve", _configured),
    ("waitress", "", "serve", _first),
    ("hypercorn.asyncio", "", "serve", _first),
    ("bottle", "", "run", _bottle),
    ("gunicorn.app.base", "BaseApplication", "run", _loaded),
    ("wsgiref.simple_server", "WSGIServer", "serve_forever", _of_server),
    ("gevent.pywsgi", "WSGIServer", "serve_forever", _of_server),
)
