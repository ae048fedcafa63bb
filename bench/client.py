"""One connection, one request at a time, HTTP/1.1 by hand.

Written for the bench so that the client is the same for everyone and its cost is known. It times first
bytes and makes slow calls; it is not the generator of load (that is `load.py`). Its CPU time counts for
nobody: CPU time is read from the server's processes only.
"""

import socket
import time
from dataclasses import dataclass, field

TIMEOUT_SECONDS = 60
START_HEADER = "x-lambent-start"
# What a start is called when the answer does not say what it was.
UNKNOWN = "unknown"


@dataclass
class Answer:
    """What came back. Times are seconds since the request was sent or, for `first_byte`, since the connect."""

    first: float
    headers: dict = field(default_factory=dict)
    body: bytes = b""

    @property
    def start(self):
        """How the instance that answered came to be: Lambent says it, others do not."""
        return self.headers.get(START_HEADER, UNKNOWN)


class Connection:
    """A kept-alive connection to one server."""

    def __init__(self, address, host, path="/"):
        self._socket = socket.create_connection(address, TIMEOUT_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request = request_bytes(host, path)

    def get(self):
        """One request; gives its answer. Raises unless that is 200."""
        begin = time.perf_counter()
        self._socket.sendall(self._request)
        data = self._receive()
        first = time.perf_counter() - begin
        while b"\r\n\r\n" not in data:
            data += self._receive()
        head, _, body = data.partition(b"\r\n\r\n")
        if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200")):
            raise ConnectionError(f"not 200 but {head[:200]!r} {body[:500]!r}")
        headers = parse_headers(head)
        return Answer(first, headers, self._finish(headers, body))

    def close(self):
        """Ends the connection."""
        self._socket.close()

    def _finish(self, headers, body):
        if headers.get("transfer-encoding") == "chunked":
            while not body.endswith(b"0\r\n\r\n"):
                body += self._receive()
            return body
        length = int(headers["content-length"])
        while len(body) < length:
            body += self._receive()
        return body

    def _receive(self):
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection before its answer was whole")
        return data


def request_bytes(host, path="/"):
    """The request that every measured server gets."""
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n".encode()


def parse_headers(head):
    """The fields of a response's head, names in lower case."""
    lines = head.decode("latin-1").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def first_byte(address, host, path="/"):
    """An answer whose `first` counts from opening the connection."""
    begin = time.perf_counter()
    connection = Connection(address, host, path)
    opened = time.perf_counter() - begin
    try:
        answer = connection.get()
    finally:
        connection.close()
    answer.first += opened
    return answer
