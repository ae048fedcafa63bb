"""Goes through our own code with requests that nobody sent, over a socket pair of its own.

In an ember, before Ready: what is made or specialised when code runs for the first time is then there for
every newborn. The user's code is never called.
"""

import os
import sys

from . import context, frames

# From the eighth call on newer interpreters replace instructions by faster ones.
OFTEN = 16
# What a newborn needs: to have touched everything, and again with what the first time has made.
TWICE = 2
_EVENT = {"request_id": "", "deadline_ms": 0, "arn": ""}
_REQUEST = {
    "request_id": "",
    "deadline_ms": 0,
    "method": "GET",
    "target": "/",
    "headers": [["host", "localhost:80"], ["user-agent", "rehearsal"], ["accept", "*/*"]],
    "scheme": "http",
    "host": "localhost:80",
    "client": ["127.0.0.1", 1],
}
_PLAIN_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: rehearsal\r\nAccept: */*\r\n\r\n"


class _Found:
    """What the serving functions are given."""

    def __init__(self, value):
        self.value = value


def of_handler(times=OFTEN):
    """A Lambda handler that answers nothing."""
    from . import handler

    _serve(handler.serve, lambda event, context: {}, frames.encode(frames.EVENT, 1, _EVENT, b"{}") * times)


def of_wsgi(application, times=OFTEN):
    """A WSGI application: the given one, or the smallest."""
    from . import wsgi

    _serve(wsgi.serve, application or _smallest_wsgi, frames.encode(frames.REQUEST, 1, _REQUEST) * times)


def of_asgi(application, times=OFTEN):
    """An ASGI application: the given one, or the smallest. Loop and lifespan are begun and ended."""
    if sys.version_info < (3, 10):
        return  # The default loop, which there is only one of, is the newborn's.
    import _signal

    from . import asgi

    def serve(connection, found, ready):
        asgi.serve(os.dup(connection.descriptor), found.value, ready)

    before = _signal.getsignal(_signal.SIGTERM)
    try:
        _serve(serve, application or _smallest_asgi, frames.encode(frames.REQUEST, 1, _REQUEST) * times)
    finally:
        _signal.signal(_signal.SIGTERM, before)
        context.of_task = None


def of_werkzeug(application, times=OFTEN):
    """Werkzeug's own server: its handler of one connection, without threads and without its log."""
    import socket

    from werkzeug.serving import WSGIRequestHandler

    class Handler(WSGIRequestHandler):
        def log(self, type, message, *arguments):
            pass

    class Server:
        app = application or _smallest_wsgi
        ssl_context = None
        multithread, multiprocess, passthrough_errors = True, False, True
        server_address, _server_version = ("127.0.0.1", 1), "rehearsal"

    for _ in range(times):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.sendall(_PLAIN_REQUEST)
            ours.shutdown(socket.SHUT_WR)  # Else it waits for more before it closes.
            Handler(theirs, ("127.0.0.1", 1), Server)


def _serve(serve, value, requests):
    import _socket

    ours, theirs = _socket.socketpair()
    try:
        ours.sendall(requests)
        ours.shutdown(_socket.SHUT_WR)
        serve(frames.Connection(theirs.fileno()), _Found(value), None)
    finally:
        ours.close()
        theirs.close()
        context.enter(None)


def _smallest_wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"{}"]


async def _smallest_asgi(scope, receive, send):
    if scope["type"] == "http":
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"{}"})
