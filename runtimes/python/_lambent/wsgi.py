"""Serves a WSGI application (PEP 3333): one Request frame in, Head, Chunks and End out.

One request at a time, in the main thread. What the application yields is sent as it is yielded; an
answer that is complete at once goes out in one system call. No access log is written.
"""

import sys
from io import BytesIO
from types import GeneratorType
from urllib.parse import unquote_to_bytes

from . import context, faults, frames

# Their body, if an application gives one, must not be sent.
_WITHOUT_BODY = {204, 304}
_BLOCK = 65536
# How many names of headers are remembered with their keys: clients may send as many as they like.
_REMEMBERED_NAMES = 512


def serve(connection, found, ready):
    """Until the server goes. `ready` is said first, unless it was said."""
    if ready is not None:
        connection.send(frames.READY, 0, ready)
    application = found.value
    while (frame := connection.receive()) is not None:
        kind, stream, head, body = frame
        if kind == frames.REQUEST:
            context.enter(head.get("request_id"))
            respond(connection, stream, head, body, application)
        else:
            connection.refuse(kind, stream, "a web application is called with requests")


def respond(connection, stream, head, body, application):
    """Handles one Request frame; the stream is ended when this returns."""
    response = _Response(connection, stream, head["method"])
    try:
        result = application(environment(head, body), response.start)
        close = getattr(result, "close", None)
        try:
            for data in result:
                if not response.write(data):
                    break
            if close is not None and _may_linger(result):
                # The client has its answer before `close` works on; the instance is free after it.
                response.flush()
        finally:
            if close is not None:
                close()
        response.finish()
    except BrokenPipeError as error:
        # The application's own pipe, or ours: only ours is the end.
        if connection.cancelled(stream):
            raise
        response.fail(error)
    except Exception as error:
        response.fail(error)
    finally:
        connection.finished(stream)


class _Response:
    """One answer. Invariant: exactly one of End and Failed is sent, and nothing after it."""

    __slots__ = ("_connection", "_stream", "_method", "_head", "_declared", "_bodiless", "_held", "_head_sent")

    def __init__(self, connection, stream, method):
        self._connection = connection
        self._stream = stream
        self._method = method
        self._head = None
        self._declared = None
        self._bodiless = False
        self._held = b""
        self._head_sent = False

    def start(self, status, headers, exc_info=None):
        """The `start_response` of the specification."""
        if exc_info:
            try:
                if self._head_sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self._head is not None:
            raise AssertionError("start_response was called twice without exc_info")
        code = int(status[:3])
        self._head = {"status": code, "headers": list(headers)}
        self._bodiless = self._method == "HEAD" or code in _WITHOUT_BODY or code < 200
        self._declared = None
        for name, value in headers:
            if len(name) == 14 and name.lower() == "content-length":
                self._declared = int(value)
        return self.write

    def write(self, data):
        """Sends body bytes; False: the client has gone and the application may stop."""
        if self._head is None:
            raise AssertionError("the application wrote before it called start_response")
        if not data or self._bodiless:
            return True
        if self._head_sent:
            if self._connection.cancelled(self._stream):
                return False
            self._connection.write(frames.encode_body(frames.CHUNK, self._stream, data))
        elif len(data) == self._declared:
            # The whole body: the application is about to return, one write will do.
            self._held = data
            self._declared = None
        else:
            self._send_head(data)
        return True

    def flush(self):
        """Sends what is held; the stream stays open."""
        if self._head is None:
            raise AssertionError("the application returned without calling start_response")
        if not self._head_sent:
            self._send_head(self._held)

    def finish(self):
        """Ends the stream."""
        end = frames.encode(frames.END, self._stream)
        if self._head_sent:
            self._connection.write(end)
        elif self._head is None:
            raise AssertionError("the application returned without calling start_response")
        else:
            self._send_head(self._held, end)

    def fail(self, error):
        """Ends the stream with an error; before the head it is an answer, after it a broken body."""
        failure = faults.describe(error)
        faults.log(failure)
        self._connection.send(frames.FAILED, self._stream, failure)

    def _send_head(self, data, end=b""):
        self._head_sent = True
        first, rest = data[: frames.LONGEST_CHUNK], data[frames.LONGEST_CHUNK :]
        out = frames.encode(frames.HEAD, self._stream, self._head, first)
        if rest:
            out += frames.encode_body(frames.CHUNK, self._stream, rest)
        self._connection.write(out + end)


class FileWrapper:
    """The specification's `wsgi.file_wrapper`: a file as blocks."""

    def __init__(self, file, size=_BLOCK):
        self._file = file
        self._size = size
        if hasattr(file, "close"):
            self.close = file.close

    def __iter__(self):
        return self

    def __next__(self):
        data = self._file.read(self._size)
        if data:
            return data
        raise StopIteration


_CONSTANT = {
    "SCRIPT_NAME": "",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "wsgi.version": (1, 0),
    "wsgi.input_terminated": True,
    "wsgi.multithread": False,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
    "wsgi.file_wrapper": FileWrapper,
}
# Keys of the environment by names of headers; no key: the header is left out.
_keys = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH", "transfer-encoding": "", "proxy": ""}


def environment(head, body):
    """The WSGI environment of one request."""
    target = head["target"]
    path, _, query = target.partition("?")
    scheme = head.get("scheme") or "http"
    named_host = head.get("host")
    host, port = _split_host(named_host or "localhost", scheme)
    client, client_port = head.get("client") or ("127.0.0.1", 0)
    environ = _CONSTANT.copy()
    environ["REQUEST_METHOD"] = head["method"]
    environ["PATH_INFO"] = unquote_to_bytes(path).decode("latin-1") if "%" in path else path
    environ["QUERY_STRING"] = query
    environ["REQUEST_URI"] = environ["RAW_URI"] = target
    environ["SERVER_NAME"] = host
    environ["SERVER_PORT"] = port
    environ["REMOTE_ADDR"] = str(client)
    environ["REMOTE_PORT"] = str(client_port)
    environ["wsgi.url_scheme"] = scheme
    environ["wsgi.input"] = BytesIO(body)
    environ["wsgi.errors"] = sys.stderr
    for name, value in head["headers"]:
        key = _keys.get(name)
        if key is None:
            key = _remember(name)
        if key:
            if key in environ:
                separator = "; " if key == "HTTP_COOKIE" else ","
                value = f"{environ[key]}{separator}{value}"
            environ[key] = value
    if body:
        # The server read the whole body, whatever its transfer coding was.
        environ["CONTENT_LENGTH"] = str(len(body))
    if named_host and "HTTP_HOST" not in environ:
        environ["HTTP_HOST"] = named_host
    return environ


def _remember(name):
    # A name with `_` would be taken for the one with `-`; `proxy` would be taken for a setting.
    key = "" if "_" in name else f"HTTP_{name.upper().replace('-', '_')}"
    if len(_keys) < _REMEMBERED_NAMES:
        _keys[name] = key
    return key


def _split_host(host, scheme):
    name, colon, port = host.rpartition(":")
    if colon and port.isdigit():
        return name, port
    return host, "443" if scheme == "https" else "80"


def _may_linger(result):
    """Whether `close` may do more than let go. Werkzeug's iterator always has one, and its callbacks
    rarely do anything: not if its generator is exhausted and its response was given nothing to call."""
    callbacks = getattr(result, "_callbacks", None)
    if type(result).__name__ != "ClosingIterator" or not isinstance(callbacks, list):
        return True
    return not all(_does_nothing(callback) for callback in callbacks)


def _does_nothing(callback):
    owner = getattr(callback, "__self__", None)
    if type(owner) is GeneratorType:
        return owner.gi_frame is None
    is_theirs = (getattr(callback, "__module__", None) or "").startswith("werkzeug.")
    return is_theirs and getattr(owner, "_on_close", None) == [] and type(owner.response) is list
