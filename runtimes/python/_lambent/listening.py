"""Makes an ember of a program with a server of its own, at the moment when it would begin to listen.

The hook is in `socket.socket.listen`, in the program's process and main thread: the first TCP socket that
is about to listen has been bound and never will listen itself. The process says Ready and waits there; each
newborn gets a listener of its own over that socket's descriptor, returns from `listen` and serves as if
nothing had happened. A program that listens without this method (uvloop) or in a process that it has
started is never held here: it serves itself, as it would without an ember.
"""

import os
import stat
import sys
from _thread import get_ident

from . import frames, imports, loops


def prepare(ember, connection):
    """Covers `listen` once `socket` is imported."""
    gate = _Gate(ember, connection)
    imports.after("socket", gate.cover)


class _Gate:
    """Lets the first listener through once; invariant: after that every `listen` is the original."""

    def __init__(self, ember, connection):
        self._ember = ember
        self._connection = connection
        self._process = os.getpid()
        self._thread = get_ident()

    def cover(self, module):
        """Puts itself in front of `socket.socket.listen`."""
        original = module.socket.listen
        tcp = (module.AF_INET, module.AF_INET6)

        def listen(self_, *backlog):
            if self._ember is None or self_.family not in tcp or self_.type != module.SOCK_STREAM:
                return original(self_, *backlog)
            if os.getpid() != self._process or get_ident() != self._thread or not self_.getsockname()[1]:
                return original(self_, *backlog)
            host, port = self_.getsockname()[:2]
            ember, self._ember = self._ember, None
            loop = loops.running()
            reason = _refusal(loop)
            if reason is not None:
                ember.leave()
                original(self_, *backlog)
                self._say(frames.LISTENING, {"host": host, "port": port, "unshareable": reason})
            elif self._hold(ember, loop, self_.fileno(), host, port):
                # A newborn's socket listens already, but whether it blocks was a property of the old one.
                self_.settimeout(self_.gettimeout())
            else:
                original(self_, *backlog)
                self._say(frames.LISTENING, {"host": host, "port": port})

        listen.__doc__, listen.__wrapped__ = original.__doc__, original
        module.socket.listen = listen

    def _hold(self, ember, loop, descriptor, host, port):
        """True in a newborn. False: the program listens itself, as the only instance."""
        ember.settle(None)
        found = f"{sys.argv[0]}: a server of its own on port {port}"
        head = {"serves": "own", "found": found, "listens": [host, port]}
        if ember.refusal is not None:
            head["unshareable"] = ember.refusal
        self._say(frames.READY, head)
        born = ember.wait(descriptor)
        if born and loop is not None:
            loops.renew(loop)
        ember.restored()
        return born

    def _say(self, kind, head):
        try:
            self._connection.send(kind, 0, head)
        except OSError:
            pass  # Who knows the port from the kernel has closed its end: the program goes on.


def _refusal(loop):
    """Why this process must not be forked, as far as it can be seen from inside."""
    if _is_within("gunicorn.arbiter"):
        return "gunicorn's arbiter remembers its process id: name the application to Lambent instead"
    bound = _count_bound()
    if bound != 1:
        return f"it is bound to {bound} addresses: bind to one, for instance 0.0.0.0"
    return loops.refusal(loop) if loop is not None else None


def _is_within(module_name):
    frame = sys._getframe()
    while frame is not None:
        if frame.f_globals.get("__name__") == module_name:
            return True
        frame = frame.f_back
    return False


def _count_bound():
    """TCP sockets of this process that are bound to a port and not connected."""
    import _socket

    count = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                continue
        except OSError:
            continue  # The directory that was listed.
        copy = _socket.socket(fileno=os.dup(int(name)))
        if copy.family in (_socket.AF_INET, _socket.AF_INET6) and copy.type == _socket.SOCK_STREAM:
            count += bool(copy.getsockname()[1]) and not _is_connected(copy)
        copy.close()
    return count


def _is_connected(socket):
    try:
        socket.getpeername()
    except OSError:
        return False
    return True
