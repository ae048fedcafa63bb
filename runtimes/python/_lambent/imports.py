"""What the user's imports find: our packages behind theirs, and functions of ours that run right after
a module is imported, without importing it ourselves.

A hook sees the module complete and before its importer does. Each hook runs at most once per module.
"""

import os
import sys

_hooks = {}


class _Finder:
    """First on `sys.meta_path`: finds nothing itself, but notices the wanted names."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        hooks = _hooks.pop(name, None)
        if hooks is None:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            if find is None or finder is _Finder:
                continue
            spec = find(name, path, target)
            if spec is not None:
                _wrap(spec.loader, hooks)
                return spec
        _hooks[name] = hooks  # Not installed; perhaps a later search path has it.
        return None


def after(name, hook):
    """Calls `hook(module)` once the module called `name` is imported; at once if it already is."""
    module = sys.modules.get(name)
    if module is not None:
        hook(module)
        return
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)
    _hooks.setdefault(name, []).append(hook)


def provide_packages():
    """Adds what AWS's runtimes bring along to the search path; last, so that the user's packages win."""
    directory = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.path.append(os.path.join(directory, "site"))


def _wrap(loader, hooks):
    """The loader stays what it is (resources and source lookups need it); one method is covered once."""
    if not hasattr(loader, "exec_module") or isinstance(loader, type):
        return

    def exec_module(module):
        del loader.exec_module
        loader.exec_module(module)
        for hook in hooks:
            hook(module)

    loader.exec_module = exec_module
