"""An ember: a process that has run init and is forked for each instance (docs/protocols/ember.md).

Made where `LAMBENT_EMBER_FD` names a control socket. It waits on that socket and on its frames. Orders
make newborns; a request in the frames means that it is not shared: it serves, and never forks after.
It never runs the user's code while it waits, and ends with status 0 when either socket ends.

All that a newborn needs is prepared before: its path is the start of an instance.
"""

import gc
import os
import sys

from . import context, kernel, quietfork, randomness, snapshot, text

_ORDER_BYTES = 65536
_DESCRIPTORS = 4
_DESCRIPTOR_BYTES = 4
_SIGCHLD = 17
_NOT_BORN = 70
# In an order's environment: the newborn is kept until it is needed, so what it does now costs nobody time.
_SPARE = "LAMBENT_SPARE"
_QUIET_MILLISECONDS = 25


def from_environment(connection):
    """The ember that this process is to become, or None. Called before the user's code runs."""
    number = os.environ.pop("LAMBENT_EMBER_FD", None)
    if number is None:
        return None
    quietfork.prepare()
    randomness.prepare()
    return Ember(int(number), connection)


class Ember:
    """Invariant: after `wait` has returned this process is an instance, and never forks for us again."""

    def __init__(self, descriptor, connection):
        # The C modules, not the packages around them: those cost memory in each ember.
        import _socket

        os.set_inheritable(descriptor, False)
        self._control = _socket.socket(fileno=descriptor)
        self._flags = _socket.MSG_CMSG_CLOEXEC
        self._room = _socket.CMSG_SPACE(_DESCRIPTORS * _DESCRIPTOR_BYTES)
        self._connection = connection
        self._children = set()
        self._domain = None
        self._renewals = ()
        self._directory = None
        self._found = None
        self._is_warm = False
        self._child_handler = None
        self._wakeup = -1
        # What may keep this process from being forked, as a sentence for people.
        self.refusal = None

    def settle(self, found=None):
        """The last work before Ready. Raises the `Fault` of a before-snapshot hook."""
        self._found = found
        if found is not None and "django" in sys.modules:
            from . import late

            late.import_routes(found)
        snapshot.before()
        try:
            self._domain = kernel.Domain()
            kernel.libc_function("fflush")(0)
        except kernel.Unavailable as unavailable:
            self.refusal = str(unavailable)
        self._directory = os.getcwd()
        for stream in (sys.stdout, sys.stderr):
            # What is still held would be written again by each newborn.
            stream.flush()
        self._freeze()

    def _freeze(self):
        """Leaves nothing that a newborn's collector would walk, nor open files that only cycles hold."""
        self._renewals = randomness.renewals()
        gc.collect()
        gc.freeze()

    def _warm(self):
        """Does for all later newborns what the first had to do itself. Once, when nobody waits."""
        from . import late

        late.prepare(self._found)
        self._freeze()

    def wait(self, listening=None):
        """Returns in an instance: True in a newborn, False in this process if it is not shared.

        `listening` is the descriptor that the newborn's own listener takes.
        """
        import _signal
        from select import POLLHUP, POLLIN, poll

        waiting = poll()
        control, frames = self._control.fileno(), self._connection.descriptor
        waiting.register(control, POLLIN)
        waiting.register(frames, POLLIN)
        # A running loop would be woken by the ends of newborns, and theirs with it.
        self._wakeup = _signal.set_wakeup_fd(-1)
        before = _signal.signal(_SIGCHLD, self._reap)
        self._child_handler = _signal.SIG_DFL if before is None else before
        quiet = None
        while True:
            ready = dict(waiting.poll(quiet))
            if control in ready:
                if self._obey(listening):
                    return True
                # The first start waits for its init already, and orders of a burst come at once.
                quiet = None if self._is_warm else _QUIET_MILLISECONDS
            elif ready.get(frames, 0) & POLLHUP:
                self._end()
            elif frames in ready:
                self.leave()
                _signal.signal(_SIGCHLD, self._child_handler)
                _signal.set_wakeup_fd(self._wakeup)
                return False
            else:
                quiet, self._is_warm = None, True
                self._warm()

    @staticmethod
    def restored():
        """The first thing in an instance. Raises the `Fault` of an after-restore hook."""
        randomness.rest()
        snapshot.after()

    def _obey(self, listening):
        """Carries out one order. True in the newborn."""
        order, descriptors = self._receive()
        try:
            if self._domain is None or len(descriptors) < (3 if listening is None else 4):
                return False
            try:
                child = quietfork.fork()
            except OSError:
                return False  # No room for a process: the broker sees that there is no hello.
            if child == 0:
                self._be_born(order, descriptors, listening)
                descriptors = ()
                return True
            self._children.add(child)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        self._reap()
        return False

    def _receive(self):
        packet, ancillary, _, _ = self._control.recvmsg(_ORDER_BYTES, self._room, self._flags)
        if not packet:
            self._end()
        descriptors = []
        for _, _, data in ancillary:
            for start in range(0, len(data) - len(data) % _DESCRIPTOR_BYTES, _DESCRIPTOR_BYTES):
                descriptors.append(int.from_bytes(data[start : start + _DESCRIPTOR_BYTES], sys.byteorder))
        return text.loads(packet.decode()), descriptors

    def _be_born(self, order, descriptors, listening):
        """Makes an instance of a newborn. Closes what the order brought."""
        import _signal

        try:
            self._control.close()
            _signal.signal(_SIGCHLD, self._child_handler)
            if self._wakeup != -1:
                _signal.set_wakeup_fd(self._wakeup)
            frames, output, hello = descriptors[:3]
            os.dup2(output, 1)
            os.dup2(output, 2)
            self._connection.replace(frames)
            if listening is not None:
                os.dup2(descriptors[3], listening, False)
            self._domain.enter()
            quietfork.identify()
            for renew in self._renewals:
                renew()
            self._return()
            environment = order["environment"]
            is_spare = environment.pop(_SPARE, None) is not None
            for name, value in environment.items():
                os.environ[name] = value
            context.renew(environment)
            for descriptor in (frames, output, *descriptors[3:]):
                os.close(descriptor)
            os.write(hello, b"h")
            os.close(hello)
            if is_spare:
                self._touch()
        except BaseException as error:
            # Half an instance must never run the user's code, nor the ember's loop.
            _say(f"lambent: a newborn could not begin: {type(error).__name__}: {error}")
            os._exit(_NOT_BORN)

    def _touch(self):
        """In a spare: goes through our own code, so that the first request finds its pages there. After the
        hello, because the next order waits for that."""
        from . import late, rehearsal

        late.rehearse(self._found, rehearsal.TWICE)

    def _return(self):
        """To the directory of init; the newborn's own root has no `/tmp` of the ember's."""
        try:
            os.chdir(self._directory)
        except OSError:
            os.chdir(os.environ.get("LAMBDA_TASK_ROOT") or "/")

    def leave(self):
        """Never forks from here on. The broker sees the end of the control socket."""
        self._control.close()
        if self._domain is not None:
            os.close(self._domain.descriptor)

    def _reap(self, *_signal):
        """Collects newborns that have ended. Children of the user's are not ours to collect."""
        for child in tuple(self._children):
            try:
                ended, _ = os.waitpid(child, os.WNOHANG)
            except ChildProcessError:
                ended = child
            if ended:
                self._children.discard(child)

    @staticmethod
    def _end():
        # No exit handlers: an ember was never an instance.
        os._exit(0)


def _say(line):
    try:
        os.write(2, f"{line}\n".encode())
    except OSError:
        pass
