"""Threads that see the machine without the unified tree of cgroups, for a runtime that refuses to see it.

crun does not start where cgroup version 1 is in use and the unified tree beside it has controllers. The
host is not changed for its sake: a few threads of the bench each get a mount namespace of their own, take
the unified tree away there, and start the runtime, which then finds plain version 1 and works as it always
does. Nothing is added to what is timed. Lambent never runs in these threads.
"""

import ctypes
import os
from concurrent.futures import ThreadPoolExecutor

UNIFIED = b"/sys/fs/cgroup/unified"
CLONE_FS, CLONE_NEWNS = 0x200, 0x20000
THREADS = 4
MS_REC, MS_PRIVATE, MNT_DETACH = 0x4000, 0x40000, 2


class Apart:
    """Runs functions in threads of its own."""

    def __init__(self):
        self._threads = ThreadPoolExecutor(THREADS, initializer=_leave)

    def run(self, function, *arguments):
        """The function's result."""
        return self._threads.submit(function, *arguments).result()

    def stop(self):
        """Ends the threads; their namespaces go with them."""
        self._threads.shutdown()


def _leave():
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.unshare(CLONE_FS | CLONE_NEWNS))
    _check(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))
    _check(libc.umount2(UNIFIED, MNT_DETACH))


def _check(status):
    if status:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
