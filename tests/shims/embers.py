"""Drives a shim as an ember, in the broker's place: orders with descriptors over a real control socket.
Not a test itself. The newborns run where the ember does; roots and the sharing rule are the sandbox's."""

import array
import contextlib
import json
import os
import select
import signal
import socket
import tempfile
from pathlib import Path

from harness import SECONDS, Peer, Shim

# As `poll` and as `ppoll` say it.
_NO_LIMIT = (0xFFFFFFFF, 0)


class Newborn(Peer):
    """One instance forked from an ember: its frames, its output, and its hello."""

    def __init__(self, ember, environment, listener=None):
        server, frames = socket.socketpair()
        super().__init__(server)
        ember.case.addCleanup(server.close)
        self._output = tempfile.NamedTemporaryFile(prefix="lambent-newborn-")
        ember.case.addCleanup(self._output.close)
        self.hello, hello = socket.socketpair()
        ember.case.addCleanup(self.hello.close)
        self.hello.settimeout(SECONDS)
        descriptors = [frames.fileno(), self._output.fileno(), hello.fileno()]
        if listener is not None:
            descriptors.append(listener.fileno())
        order = {"order": "fork", "environment": environment, "listener": listener is not None}
        with frames, hello:
            ember.control.sendmsg(
                [json.dumps(order).encode()],
                [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))],
            )

    def born(self):
        """Waits for the hello, as the broker does before it tells the server."""
        assert self.hello.recv(2) == b"h", self.output()
        assert self.hello.recv(1) == b""
        return self

    def output(self):
        return Path(self._output.name).read_text()


class Ember(Shim):
    """A shim with a control socket. `control` is the broker's end."""

    def __init__(self, case, files, handler, environment=(), **options):
        self.case = case
        self.control, inherited = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        case.addCleanup(self.control.close)
        with inherited:
            number = inherited.fileno()
            environment = {"LAMBENT_EMBER_FD": str(number), **dict(environment)}
            super().__init__(case, files, handler, environment, pass_fds=[number], **options)

    def _end(self):
        # Instances outlive their ember; those with a server of their own have no socket that ends them.
        if self.process.poll() is None:
            for child in self.children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
        super()._end()

    def order(self, listener=None, **environment):
        """An instance that has been ordered."""
        return Newborn(self, environment, listener)

    def fork(self, listener=None, **environment):
        """An instance, once it has said hello."""
        return self.order(listener, **environment).born()

    def wait_until_warm(self):
        """After the first hello: until it has done what it does then, and waits in `poll` without a limit again."""
        state = Path(f"/proc/{self.process.pid}/syscall")
        # Number, descriptors, their count, limit, ...; less where it is in no system call.
        while len(call := state.read_text().split()) < 4 or int(call[3], 16) & 0xFFFFFFFF not in _NO_LIMIT:
            assert self.process.poll() is None, self.output()
            os.sched_yield()

    def children(self):
        """Process ids of what it has forked and not yet reaped, the dead among them."""
        task = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        try:
            return [int(child) for child in task.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            return []  # It has just ended.

    def wait_until_childless(self):
        """Until every newborn is reaped: their ends are waited for, not slept for."""
        while children := self.children():
            for child in children:
                wait_for_end(child)
            os.sched_yield()


def wait_for_end(process):
    """Until a process that is not a child of this one has ended."""
    if not hasattr(os, "pidfd_open"):
        return  # Python 3.8: the caller looks again.
    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        return
    select.select([descriptor], [], [], SECONDS)
    os.close(descriptor)
