"""The life of a shim: prepare, load what the handler names, say Ready, serve until the server goes.

Created by `bootstrap.py`, once per process. It ends when the server closes the socket (status 0),
when init fails (`InitFailed`, status 1), or when the user's code ends the process.
"""

import gc
import os
import sys

from . import applications, context, faults, frames, loading, logs, takeover


def main():
    """Runs the shim in this process."""
    connection = frames.Connection(int(os.environ.pop("LAMBENT_FRAMES_FD", "3")))
    logs.unbuffer()
    logs.prepare()
    takeover.prepare()
    if "LAMBENT_BIND_ADDRESS" in os.environ:
        from . import binding

        binding.prepare()
    root = os.environ.get("LAMBDA_TASK_ROOT") or os.getcwd()
    sys.path.insert(0, root)
    sys.argv[:] = [""]
    try:
        found = find(os.environ.get("_HANDLER", ""))
        serve = _server_of(found)
        gc.freeze()  # What init made stays: no later collection walks it again.
        serve(connection, found)
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


def ready(found):
    """The head of the Ready frame."""
    head = {"serves": found.kind, "found": found.why}
    if found.path is not None:
        head["path"] = found.path
    return head


def _server_of(found):
    if found.kind == applications.HANDLER:
        return _serve_handler
    logs.give_back()
    if found.kind == applications.WSGI:
        return _serve_wsgi
    return _serve_asgi


def _serve_handler(connection, found):
    from .handler import invoke

    connection.send(frames.READY, 0, ready(found))
    while (frame := connection.receive()) is not None:
        kind, stream, head, body = frame
        if kind == frames.EVENT:
            invoke(connection, stream, head, body, found.value)
        else:
            _refuse(connection, kind, stream, "a handler is called with events")


def _serve_wsgi(connection, found):
    from .wsgi import respond

    connection.send(frames.READY, 0, ready(found))
    while (frame := connection.receive()) is not None:
        kind, stream, head, body = frame
        if kind == frames.REQUEST:
            context.enter(head.get("request_id"))
            respond(connection, stream, head, body, found.value)
        else:
            _refuse(connection, kind, stream, "a web application is called with requests")


def _serve_asgi(connection, found):
    from .asgi import StartupFailed, serve

    try:
        serve(connection.descriptor, found.value, ready(found))
    except StartupFailed as failure:
        raise InitFailed(faults.Fault("Runtime.StartupFailed", str(failure))) from None


def _refuse(connection, kind, stream, why):
    connection.send(frames.FAILED, stream, faults.describe(faults.Fault("Runtime.Protocol", f"frame {kind}: {why}")))
