"""The interface of AWS's `snapshot_restore_py`, which its Python runtimes bring along.

Functions register here what has to run before init is shared and in each instance afterwards; who runs
it is the shim (`_lambent.snapshot`). A package of this name in the user's code wins over this one.
"""

_before_snapshot_registry = []
_after_restore_registry = []


def register_before_snapshot(func, *args, **kwargs):
    """Runs `func(*args, **kwargs)` before init is shared. Also a decorator."""
    _before_snapshot_registry.append((func, args, kwargs))
    return func


def register_after_restore(func, *args, **kwargs):
    """Runs `func(*args, **kwargs)` in each instance, before its first request. Also a decorator."""
    _after_restore_registry.append((func, args, kwargs))
    return func


def get_before_snapshot():
    """What is registered, in the order of registration: (function, arguments, keyword arguments)."""
    return _before_snapshot_registry


def get_after_restore():
    """What is registered, in the order of registration: (function, arguments, keyword arguments)."""
    return _after_restore_registry
