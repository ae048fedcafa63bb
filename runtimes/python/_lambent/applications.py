"""Decides what the named object is: a Lambda handler, or a web application and of which kind.

The frameworks are not imported; an application is known by how it is called: `(environ,
start_response)` is WSGI, `(scope, receive, send)` is ASGI. A view of an application stands for the
application, and a factory is called. Whatever is none of these is a handler, as on AWS.
"""

from .faults import Fault

HANDLER = "handler"
WSGI = "wsgi"
ASGI = "asgi"

_ENVIRON_NAMES = {"environ", "env", "environment", "wsgi_environ"}
_START_RESPONSE_NAMES = {"start_response", "start_resp", "startresponse", "start"}
_FACTORY_NAMES = ("create_app", "make_app", "build_app", "get_app", "app_factory", "application_factory", "factory")
_FACTORY_PREFIXES = ("create_", "make_", "build_", "get_")
_FACTORY_SUFFIXES = ("_app", "_application")
_KIND_NAMES = {WSGI: "WSGI application", ASGI: "ASGI application"}

_VARIABLE_POSITIONAL = 0x04
_COROUTINE = 0x80


class Found:
    """What will be served, why (a sentence for people), and the path of the view, if one was named."""

    __slots__ = ("kind", "value", "why", "path")

    def __init__(self, kind, value, why, path=None):
        self.kind = kind
        self.value = value
        self.why = why
        self.path = path


class Signature:
    """How many positional arguments a callable takes, and what it calls them."""

    __slots__ = ("names", "required", "open_ended", "coroutine")

    def __init__(self, code, defaults, bound):
        self.names = code.co_varnames[bound : code.co_argcount]
        self.required = max(len(self.names) - len(defaults or ()), 0)
        self.open_ended = bool(code.co_flags & _VARIABLE_POSITIONAL)
        self.coroutine = bool(code.co_flags & _COROUTINE)


def recognise(named):
    """What the loaded name is. Raises `Fault`, or what a factory raises."""
    value = named.value
    place = f"{named.module_name}.{named.attribute}"
    kind = kind_of(value)
    if kind is None and named.is_application:
        kind = _kind_by_count(value)
    if kind is not None:
        return Found(kind, value, f"{place}: {describe(kind, value)}")
    if not callable(value):
        raise Fault(
            "Runtime.HandlerNotFound", f"Handler '{named.attribute}' on module '{named.module_name}' is not callable"
        )
    view = _view_of(named)
    if view is not None:
        return view
    signature = signature_of(value)
    if signature is not None and _is_factory(named.attribute, signature):
        return _call_factory(value, named, place)
    if named.is_application:
        raise Fault(
            "Runtime.HandlerNotFound",
            f"'{named.module_name}:{named.attribute}' is {type(value).__name__}, which is no WSGI or ASGI application",
        )
    return Found(HANDLER, value, f"{place}: handler")


def kind_of(value):
    """`wsgi`, `asgi`, or None for what is no application."""
    if not callable(value):
        return None
    signature = signature_of(value)
    if signature is None or signature.open_ended:
        return _kind_by_framework(value)
    names = [name.lower() for name in signature.names]
    if signature.required <= 3 <= len(names) and names[0] == "scope":
        return ASGI
    if signature.required == 3 and signature.coroutine and names[1:3] == ["receive", "send"]:
        return ASGI
    if signature.required == 2 and (names[0] in _ENVIRON_NAMES or names[1] in _START_RESPONSE_NAMES):
        return WSGI
    return None


def describe(kind, value):
    """For instance "Flask application"."""
    owner = value if isinstance(value, type) else type(value)
    framework = (getattr(owner, "__module__", None) or "").split(".")[0]
    for base in getattr(owner, "__mro__", ()):
        framework_of_base = base.__module__.split(".")[0]
        if framework_of_base in _FRAMEWORKS:
            framework = framework_of_base
            break
    name = _FRAMEWORKS.get(framework)
    return f"{name} application" if name else _KIND_NAMES[kind]


_FRAMEWORKS = {
    "bottle": "Bottle",
    "django": "Django",
    "falcon": "Falcon",
    "fastapi": "FastAPI",
    "flask": "Flask",
    "litestar": "Litestar",
    "pyramid": "Pyramid",
    "quart": "Quart",
    "sanic": "Sanic",
    "starlette": "Starlette",
}


def signature_of(value):
    """The positional parameters of any callable, or None where they cannot be known."""
    bound = 0
    while True:
        if hasattr(value, "__wrapped__"):
            value = value.__wrapped__
        elif hasattr(value, "func") and hasattr(value, "keywords"):
            return None  # functools.partial: what is left is not worth guessing.
        elif isinstance(value, type):
            value, bound = value.__init__, 1
        elif hasattr(value, "__func__"):
            value, bound = value.__func__, 1
        elif hasattr(value, "__code__"):
            return Signature(value.__code__, value.__defaults__, bound)
        elif hasattr(type(value), "__call__") and hasattr(type(value).__call__, "__code__"):
            call = type(value).__call__
            return Signature(call.__code__, call.__defaults__, 1)
        else:
            return None


def _kind_by_framework(value):
    """Frameworks whose applications hide their signature behind `*args`."""
    if hasattr(value, "wsgi_app"):
        return WSGI
    return ASGI if hasattr(value, "asgi") and hasattr(value, "router") else None


def _kind_by_count(value):
    """What is said to be an application, whatever it calls its arguments."""
    signature = signature_of(value) if callable(value) else None
    if signature is None or signature.open_ended or signature.required not in (2, 3):
        return None
    return WSGI if signature.required == 2 else ASGI


def _view_of(named):
    """The Flask application that has the named function as a view, if there is one."""
    for name, application in list(vars(named.module).items()):
        # Asked of the type: proxies like `flask.request` raise when they are asked outside a request.
        if not hasattr(type(application), "add_url_rule") or kind_of(application) is None:
            continue
        for endpoint, view in getattr(application, "view_functions", {}).items():
            if view is named.value or getattr(view, "__wrapped__", None) is named.value:
                return _serve_view(named, name, application, endpoint)
    return None


def _serve_view(named, application_name, application, endpoint):
    rules = [rule for rule in application.url_map.iter_rules() if rule.endpoint == endpoint]
    # What every rule wants is in `arguments`; a default in the rule or in the function fills it in.
    plain = [rule for rule in rules if not rule.arguments - set(rule.defaults or ())]
    if rules and not plain:
        missing = ", ".join(f"`{name}`" for name in sorted(rules[0].arguments))
        raise Fault(
            "Runtime.HandlerNotFound",
            f"Handler '{named.attribute}' on module '{named.module_name}' is a view of the application "
            f"`{application_name}` and takes {missing} from the URL: name the application instead, "
            f"`{named.module_name}.{application_name}`",
        )
    kind = kind_of(application)
    why = (
        f"{named.module_name}.{named.attribute}: view of the {describe(kind, application)} "
        f"{named.module_name}.{application_name}"
    )
    return Found(kind, application, why, plain[0].rule if plain else None)


def _is_factory(name, signature):
    if signature.required:
        return False
    # Lambda passes two arguments: what cannot take two is no handler.
    if len(signature.names) < 2 and not signature.open_ended:
        return True
    return name in _FACTORY_NAMES or (name.startswith(_FACTORY_PREFIXES) and name.endswith(_FACTORY_SUFFIXES))


def _call_factory(factory, named, place):
    made = factory()
    if hasattr(made, "__await__"):
        made.close() if hasattr(made, "close") else None
        made = None
    kind = kind_of(made)
    if kind is None:
        raise Fault(
            "Runtime.HandlerNotFound",
            f"Handler '{named.attribute}' on module '{named.module_name}' takes fewer than the two arguments "
            f"(event, context) and returned {type(made).__name__}, which is no WSGI or ASGI application",
        )
    return Found(kind, made, f"{place}(): {describe(kind, made)}")


def taken_over(application, module_name):
    """An application whose server was about to start (`takeover`)."""
    kind = kind_of(application)
    if kind is None:
        raise Fault(
            "Runtime.HandlerNotFound",
            f"{module_name} starts a server for {type(application).__name__}, which is no WSGI or ASGI application",
        )
    return Found(kind, application, f"{module_name}: {describe(kind, application)} that the module starts itself")
