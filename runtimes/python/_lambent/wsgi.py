"""Serves a WSGI application (PEP 3333): one Request frame in, Head, Chunks and End out.

One request at a time, in the main thread. What the application yields is sent as it is yielded; an
answer that is complete at once goes out in one system call. No access log is written.
"""

import sys
from io import BytesIO
from urllib.parse import unquote_to_bytes

from . import faults, frames

# Their body, if an application gives one, must not be sent.
_WITHOUT_BODY = {204, 304}
_BLOCK = 65536


def respond(connection, stream, head, body, application):
    """Handles one Request frame; the stream is ended when this returns."""
    response = _Response(connection, stream, head["method"])
    try:
        result = application(environment(head, body), response.start)
        try:
            for data in result:
                if not response.write(data):
                    break
            if hasattr(result, "close"):
                # The client has its answer before `close` works on; the instance is free after it.
                response.flush()
        finally:
            if hasattr(result, "close"):
                result.close()
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
        self._head = {"status": code, "headers": [[name, value] for name, value in headers]}
        self._bodiless = self._method == "HEAD" or code in _WITHOUT_BODY or code < 200
        self._declared = None
        for name, value in headers:
            if name.lower() == "content-length":
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


def environment(head, body):
    """The WSGI environment of one request."""
    target = head["target"]
    path, _, query = target.partition("?")
    host, port = _split_host(head.get("host") or "localhost", head.get("scheme") or "http")
    client = head.get("client") or ["127.0.0.1", 0]
    environ = {
        "REQUEST_METHOD": head["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "REQUEST_URI": target,
        "RAW_URI": target,
        "SERVER_NAME": host,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": str(client[0]),
        "REMOTE_PORT": str(client[1]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": head.get("scheme") or "http",
        "wsgi.input": BytesIO(body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
    }
    for name, value in head["headers"]:
        _add_header(environ, name, value)
    if body:
        # The server read the whole body, whatever its transfer coding was.
        environ["CONTENT_LENGTH"] = str(len(body))
    if "HTTP_HOST" not in environ and head.get("host"):
        environ["HTTP_HOST"] = head["host"]
    return environ


def _add_header(environ, name, value):
    # A name with `_` would be taken for the one with `-`; `proxy` would be taken for a setting.
    if "_" in name or name in ("transfer-encoding", "proxy"):
        return
    key = name.upper().replace("-", "_")
    if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        key = f"HTTP_{key}"
    if key in environ:
        separator = "; " if key == "HTTP_COOKIE" else ","
        value = f"{environ[key]}{separator}{value}"
    environ[key] = value


def _split_host(host, scheme):
    name, colon, port = host.rpartition(":")
    if colon and port.isdigit():
        return name, port
    return host, "443" if scheme == "https" else "80"
