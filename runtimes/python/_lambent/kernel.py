"""System calls that Python has no function for: the Landlock domain of a newborn.

`_ctypes` is used without the `ctypes` package, whose import costs every ember 1 ms and half a MiB. It is
no isolation layer: who skips it weakens only instances of the same function (docs/adr/0006-embers.md).
"""

import os

# The same on every architecture that has Landlock and that Python runs on here.
_CREATE_RULESET = 444
_RESTRICT_SELF = 446
_MACHINES = ("x86_64", "aarch64")
# The first version of the interface that knows scopes.
_VERSION_WITH_SCOPES = 6
_ASK_VERSION = 1
# struct landlock_ruleset_attr: no file system rights, no network rights, scopes: abstract sockets and signals.
_SCOPES = bytes(16) + (3).to_bytes(8, "little")


class Unavailable(Exception):
    """This kernel or this Python cannot do it; says why, for people."""


def libc_function(name):
    """A function of libc that takes and gives integers or bytes. Raises `Unavailable`."""
    try:
        import _ctypes

        address = _ctypes.dlsym(_ctypes.dlopen(None, 0), name)
        call = _ctypes.call_cdeclfunction
    except (ImportError, AttributeError, OSError) as error:
        raise Unavailable(f"this Python cannot call {name} of the C library: {error}") from None
    return lambda *arguments: call(address, arguments)


class Domain:
    """A rule set that each newborn enters: a new domain every time, apart from all others.

    Made in the ember, once; the descriptor is the rule set's and is closed with the first entry.
    """

    def __init__(self):
        machine = os.uname().machine
        if machine not in _MACHINES:
            raise Unavailable(f"Landlock's system calls are not known for {machine}")
        self._call = libc_function("syscall")
        version = self._call(_CREATE_RULESET, 0, 0, _ASK_VERSION)
        if version < _VERSION_WITH_SCOPES:
            raise Unavailable(f"the kernel's Landlock is version {max(version, 0)}, scopes need {_VERSION_WITH_SCOPES}")
        self.descriptor = self._call(_CREATE_RULESET, _SCOPES, len(_SCOPES), 0)
        if self.descriptor < 0:
            raise Unavailable("the kernel refused a Landlock rule set")

    def enter(self):
        """Confines this process and what it starts. Raises `OSError`."""
        if self._call(_RESTRICT_SELF, self.descriptor, 0) != 0:
            raise OSError("landlock_restrict_self was refused")
        os.close(self.descriptor)
