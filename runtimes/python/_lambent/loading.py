"""Finds what the function's `Handler` names: imports the module and follows the attributes.

Names and messages of errors are those of AWS's runtime. What the found object is, a handler or an
application, is decided in `applications`.
"""

import sys

from .faults import Fault


class Named:
    """What a handler string names. `is_application`: by the way it is named, it is no Lambda handler."""

    __slots__ = ("module", "module_name", "attribute", "value", "is_application")

    def __init__(self, module, module_name, attribute, value, is_application=False):
        self.module = module
        self.module_name = module_name
        self.attribute = attribute
        self.value = value
        self.is_application = is_application


def load(handler):
    """Imports and resolves `package/module.attribute`, or `package.module:application` as servers write it.
    Raises `Fault`, or what the module raises."""
    if ":" in handler:
        return _load_application(handler)
    try:
        module_path, attribute = handler.rsplit(".", 1)
    except ValueError as error:
        raise Fault("Runtime.MalformedHandlerName", f"Bad handler '{handler}': {error}") from None
    module_name = module_path.replace("/", ".")
    if module_name.split(".")[0] in sys.builtin_module_names:
        message = f"Cannot use built-in module {module_path} as a handler module"
        raise Fault("Runtime.BuiltInModuleConflict", message)
    module, attribute = _import(module_path, module_name, attribute)
    return Named(module, module_name, attribute, _resolve(module, module_path, attribute))


def _load_application(handler):
    """`module`, `module:attribute`, `module:factory()`, `module:factory("text", debug=False)`."""
    module_path, _, expression = handler.partition(":")
    module_name = module_path.replace("/", ".")
    attribute, bracket, _ = expression.partition("(")
    attribute = attribute.strip() or "application"
    try:
        __import__(module_name)
    except ImportError as error:
        raise _unable(module_path, error) from error
    module = sys.modules[module_name]
    value = _resolve(module, module_path, attribute)
    if bracket:
        arguments, options = _literals(handler, expression)
        value, attribute = value(*arguments, **options), expression
    return Named(module, module_name, attribute, value, True)


def _literals(handler, expression):
    import ast

    try:
        call = ast.parse(expression, mode="eval").body
        arguments = [ast.literal_eval(argument) for argument in call.args]
        options = {option.arg: ast.literal_eval(option.value) for option in call.keywords}
    except (SyntaxError, ValueError, AttributeError) as error:
        message = f"Bad handler '{handler}': a factory is called with literals only: {error}"
        raise Fault("Runtime.MalformedHandlerName", message) from None
    return arguments, options


def _import(module_path, module_name, attribute):
    """The module, and the attributes left to follow: `a.b.c` may be `b.c` of the module `a`."""
    try:
        __import__(module_name)
        return sys.modules[module_name], attribute
    except ModuleNotFoundError as error:
        outer, _, inner = module_name.rpartition(".")
        if outer and error.name == module_name and outer in sys.modules:
            return sys.modules[outer], f"{inner}.{attribute}"
        raise _unable(module_path, error) from error
    except ImportError as error:
        raise _unable(module_path, error) from error
    except SyntaxError as error:
        line = f'  File "{error.filename}" Line {error.lineno}\n    {(error.text or "").rstrip()}'
        raise Fault(
            "Runtime.UserCodeSyntaxError", f"Syntax error in module '{module_path}': {error}", [line]
        ) from error


def _unable(module_path, error):
    return Fault("Runtime.ImportModuleError", f"Unable to import module '{module_path}': {error}")


def _resolve(module, module_path, attribute):
    value = module
    for name in attribute.split("."):
        try:
            value = getattr(value, name)
        except AttributeError:
            message = f"Handler '{attribute}' missing on module '{module_path}'"
            raise Fault("Runtime.HandlerNotFound", message) from None
    return value
