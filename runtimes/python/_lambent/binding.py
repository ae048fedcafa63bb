"""Keeps instances apart where there are no network namespaces (`--isolation=process`).

Every function then shares the host's network, and two programs that both listen on 127.0.0.1:5000
would collide. A bind to loopback or to any address becomes a bind to `LAMBENT_BIND_ADDRESS`, which the
server chose for this instance; a connection of the process to a port it bound itself follows. It is
no security boundary: a program that asks the kernel directly is not stopped.
"""

import functools
import os
from weakref import WeakValueDictionary

from . import imports

_ANY_OR_LOOPBACK = {"", "0.0.0.0", "localhost", "::", "::1", "0:0:0:0:0:0:0:0", "0:0:0:0:0:0:0:1"}

# Sockets of this process by the port they are bound to; those that are closed count no more.
_bound = WeakValueDictionary()


def prepare(on_listen=None):
    """Covers `bind`, `connect` and `listen` of `socket.socket` once it is imported.

    `on_listen(host, port)` is called when a TCP socket begins to listen.
    """
    address = os.environ["LAMBENT_BIND_ADDRESS"]
    imports.after("socket", functools.partial(_cover, address, on_listen))


def _cover(address, on_listen, module):
    original = module._socket.socket
    inet, inet6, stream = module.AF_INET, module.AF_INET6, module.SOCK_STREAM

    def bind(self, name):
        if self.family == inet and _is_ours(name[0]):
            name = (address, *name[1:])
        elif self.family == inet6 and _is_ours(name[0]):
            _bind_mapped(self, name)
            return
        original.bind(self, name)
        _remember(self)

    def _bind_mapped(self, name):
        if name[1] and _is_bound(name[1]):
            # The same server has just bound the IPv4 side of the pair; this one need not be reached.
            original.bind(self, ("::1", 0))
            return
        self.setsockopt(module.IPPROTO_IPV6, module.IPV6_V6ONLY, 0)
        original.bind(self, (f"::ffff:{address}", *name[1:]))
        _remember(self)

    def _remember(self):
        if self.family in (inet, inet6):
            _bound[self.getsockname()[1]] = self

    def follow(self, name):
        if self.family == inet and _is_ours(name[0]) and _is_bound(name[1]):
            return (address, *name[1:])
        return name

    def connect(self, name):
        return original.connect(self, follow(self, name))

    def connect_ex(self, name):
        return original.connect_ex(self, follow(self, name))

    def listen(self, *backlog):
        original.listen(self, *backlog)
        if on_listen is not None and self.type == stream and self.family in (inet, inet6):
            host, port = self.getsockname()[:2]
            if host != "::1":
                on_listen(host.replace("::ffff:", ""), port)

    for method in (bind, connect, connect_ex, listen):
        setattr(module.socket, method.__name__, method)


def _is_ours(host):
    return isinstance(host, str) and (host in _ANY_OR_LOOPBACK or host.startswith("127."))


def _is_bound(port):
    known = _bound.get(port)
    return known is not None and known.fileno() >= 0
