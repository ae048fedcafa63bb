"""The load generator: one connection, one request at a time, HTTP/1.1 by hand.

Written for the bench so that the client is the same for everyone and its cost is known. It is not
counted: CPU time is read from the server's processes only.
"""

import socket
import time

TIMEOUT_SECONDS = 60


class Connection:
    """A kept-alive connection to one server."""

    def __init__(self, address, host):
        self._socket = socket.create_connection(address, TIMEOUT_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request = f"GET / HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n".encode()
        self._left = b""

    def get(self):
        """One request; gives the seconds until its first byte. Raises unless the answer is 200."""
        begin = time.perf_counter()
        self._socket.sendall(self._request)
        data = self._receive()
        first = time.perf_counter() - begin
        while b"\r\n\r\n" not in data:
            data += self._receive()
        head, _, body = data.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise ConnectionError(f"not 200 but {head[:200]!r} {body[:500]!r}")
        self._finish(head.lower(), body)
        return first

    def close(self):
        """Ends the connection."""
        self._socket.close()

    def _finish(self, head, body):
        if b"transfer-encoding: chunked" in head:
            while not body.endswith(b"0\r\n\r\n"):
                body += self._receive()
            return
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
        while len(body) < length:
            body += self._receive()

    def _receive(self):
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection before its answer was whole")
        return data


def first_byte(address, host):
    """Seconds from opening a connection to the first byte of the answer."""
    begin = time.perf_counter()
    connection = Connection(address, host)
    opened = time.perf_counter() - begin
    try:
        return opened + connection.get()
    finally:
        connection.close()
