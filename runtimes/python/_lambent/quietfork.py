"""Spares newborns what Python's own hooks do after a fork, where nothing needs it.

`threading` and `logging` make their locks anew because another thread may have held one; `random` seeds
itself with 2,500 bytes. An ember has one thread and `randomness` seeds for less, so within our forks the
hooks of these three rest: 200 pages that a newborn would copy, half of the time to its first line. In
every other fork, and with a second thread, they do what they always do. Hooks of others always run.
"""

import os
import sys
from _thread import _count as count_threads

_RESTING = {("threading", "_after_fork"), ("logging", "_after_at_fork_child_reinit_locks"), ("random", "seed")}

_ours = False


def prepare():
    """Notices the hooks as they are registered. Called before the user's code runs."""
    original = os.register_at_fork

    def register_at_fork(*, before=None, after_in_child=None, after_in_parent=None):
        if _rests(after_in_child):
            after_in_child = _unless_ours(after_in_child, after_in_parent)
        hooks = {"before": before, "after_in_child": after_in_child, "after_in_parent": after_in_parent}
        original(**{name: hook for name, hook in hooks.items() if hook is not None})

    os.register_at_fork = register_at_fork


def fork():
    """`os.fork`, for a newborn."""
    global _ours
    _ours = not count_threads()
    try:
        return os.fork()
    finally:
        _ours = False


def identify():
    """In a newborn: the main thread has a new number for the kernel."""
    threading = sys.modules.get("threading")
    if threading is not None:
        threading.main_thread()._native_id = os.getpid()


def _rests(hook):
    return (getattr(hook, "__module__", None), getattr(hook, "__name__", None)) in _RESTING


def _unless_ours(hook, release):
    def after_in_child():
        if not _ours:
            hook()
        elif release is not None:
            # What was taken before the fork is let go as in the parent: it is held by this thread.
            release()

    return after_in_child
