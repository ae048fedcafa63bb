"""The life of a shim: prepare, load what the handler names, say Ready, serve until the server goes.

Created by `bootstrap.py`, once per process. It ends when the server closes the socket (status 0),
when init fails (`InitFailed`, status 1), or when the user's code ends the process. As an ember it says
Ready earlier, and everything after that happens in each process forked from it (`ember`).
"""

import gc
import os
import sys

from . import applications, context, faults, frames, imports, loading, logs, takeover


def main(connection=None):
    """Runs the shim in this process; over the given connection, where it has waited for its function."""
    if connection is None:
        connection = frames.Connection(int(os.environ.pop("LAMBENT_FRAMES_FD", "3")))
    logs.unbuffer()
    logs.prepare()
    takeover.prepare()
    if "LAMBENT_BIND_ADDRESS" in os.environ:
        from . import binding

        binding.prepare()
    ember = None
    if "LAMBENT_EMBER_FD" in os.environ:
        from .ember import from_environment

        ember = from_environment(connection)
    root = os.environ.get("LAMBDA_TASK_ROOT") or os.getcwd()
    sys.path.insert(0, root)
    imports.provide_packages()
    sys.argv[:] = [""]
    try:
        run(connection, ember)
    except BrokenPipeError:
        pass  # The server has gone; so do we.
    except InitFailed as failure:
        head = faults.describe(failure.error)
        faults.log(head)
        connection.send(frames.INIT_FAILED, 0, head)
        sys.exit(1)


class InitFailed(Exception):
    """Carries what init raised to the one place that reports it."""

    def __init__(self, error):
        super().__init__(str(error))
        self.error = error


def run(connection, ember):
    """From init to the end of the last request. Raises `InitFailed`."""
    found = find(os.environ.get("_HANDLER", ""))
    context.prepare()
    serve = _server_of(found)
    if ember is None:
        gc.freeze()  # What init made stays: no later collection walks it again.
        serve(connection, found, ready(found))
        return
    try:
        ember.settle(found)
        connection.send(frames.READY, 0, ready(found, ember.refusal))
        ember.wait()
        ember.restored()
    except faults.Fault as fault:
        raise InitFailed(fault) from None
    serve(connection, found, None)


def find(handler):
    """Imports the user's code and decides what to serve. Raises `InitFailed`."""
    takeover.begin()
    try:
        return applications.recognise(loading.load(handler))
    except takeover.Serving as taken:
        try:
            return applications.taken_over(taken.application, handler.rpartition(".")[0])
        except faults.Fault as fault:
            raise InitFailed(fault) from None
    except Exception as error:
        raise InitFailed(error) from None
    finally:
        takeover.end()


def ready(found, refusal=None):
    """The head of the Ready frame."""
    head = {"serves": found.kind, "found": found.why}
    if found.path is not None:
        head["path"] = found.path
    if refusal is not None:
        head["unshareable"] = refusal
    return head


def _server_of(found):
    """The function that serves it, imported: an ember's newborns import nothing."""
    if found.kind == applications.HANDLER:
        from . import handler

        return handler.serve
    logs.give_back()
    if found.kind == applications.WSGI:
        from . import wsgi

        return wsgi.serve
    from . import asgi

    def serve(connection, found, head):
        try:
            asgi.serve(connection.descriptor, found.value, head)
        except asgi.StartupFailed as failure:
            raise InitFailed(faults.Fault("Runtime.StartupFailed", str(failure))) from None

    return serve
