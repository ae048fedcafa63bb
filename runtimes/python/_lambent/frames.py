"""Native frames: reads and writes them on the inherited socket. Knows nothing of what they mean.

A `Connection` belongs to the main thread; it blocks, and it ends when the server's end is closed.
`Decoder` and `encode` are the layout alone, for the event loop of the ASGI side.
"""

import os
from struct import Struct

from . import faults, text

EVENT = 1
REQUEST = 2
CANCEL = 3
ASSIGN = 4
READY = 16
INIT_FAILED = 17
RESULT = 18
FAILED = 19
HEAD = 20
CHUNK = 21
END = 22
LISTENING = 23
WAITING = 24

# A longer frame ends the connection.
LONGEST_FRAME = 64 * 1024 * 1024
# What a longer body is cut into, so that the server can pass on the first part early.
LONGEST_CHUNK = 1024 * 1024

# Below malloc's threshold for mapping fresh pages, which would cost more than the read.
_READ = 65536
_PREFIX = Struct(">IBII")
# What follows the length field and comes before the head.
_FIXED = _PREFIX.size - 4
# A frame without a head, up to its body: the length of `{}` and the thing itself.
_HEADLESS = Struct(">IBII2s")
_EMPTY_HEAD = b"{}"


class Decoder:
    """Cuts a byte stream into frames. Holds at most one incomplete frame."""

    def __init__(self):
        self._buffer = bytearray()

    def __bool__(self):
        return bool(self._buffer)

    def feed(self, data):
        """Adds bytes as they came."""
        self._buffer += data

    def next(self):
        """The next whole frame as (kind, stream, head, body), or None. The head is a dictionary."""
        buffer = self._buffer
        if len(buffer) < 13:
            return None
        length, kind, stream, head_length = _PREFIX.unpack_from(buffer)
        if length > LONGEST_FRAME or head_length + _FIXED > length:
            raise ConnectionError(f"frame of kind {kind} has the impossible length {length}")
        end = 4 + length
        if len(buffer) < end:
            return None
        head = text.loads(buffer[13 : 13 + head_length].decode())
        body = bytes(memoryview(buffer)[13 + head_length : end])
        del buffer[:end]
        return kind, stream, head, body


class Connection:
    """The shim's end of the socket, blocking."""

    def __init__(self, descriptor):
        self.descriptor = descriptor
        # Programs the user starts must not inherit it.
        os.set_inheritable(descriptor, False)
        # The server may have made the pair non-blocking.
        os.set_blocking(descriptor, True)
        self._decoder = Decoder()
        self._waiting = []
        self._cancelled = set()

    def replace(self, descriptor):
        """Goes on with another socket under the number of this one. Nothing may have been read yet."""
        os.dup2(descriptor, self.descriptor, False)
        os.set_blocking(self.descriptor, True)

    def receive(self):
        """The next frame that is not a Cancel, or None once the server has gone."""
        if not self._waiting and not self._decoder:
            # Nearly always one read brings one frame: no need to take it through the decoder.
            data = self._read()
            if not data:
                return None
            if len(data) >= 13:
                length, kind, stream, head_length = _PREFIX.unpack_from(data)
                end = 13 + head_length
                if length + 4 == len(data) >= end and kind != CANCEL:
                    return kind, stream, text.loads(data[13:end].decode()), data[end:]
            self._decoder.feed(data)
        while True:
            frame = self._waiting.pop(0) if self._waiting else self._decoder.next()
            if frame is None:
                data = self._read()
                if not data:
                    return None
                self._decoder.feed(data)
            elif frame[0] != CANCEL:
                return frame

    def cancelled(self, stream):
        """Whether the client of `stream` has gone, as far as the server has said by now. Never waits."""
        from select import select

        while select([self.descriptor], [], [], 0)[0]:
            data = self._read()
            if not data:
                return True
            self._decoder.feed(data)
        while (frame := self._decoder.next()) is not None:
            if frame[0] == CANCEL:
                self._cancelled.add(frame[1])
            else:
                self._waiting.append(frame)
        return stream in self._cancelled

    def finished(self, stream):
        """Forgets what is known of a stream that has ended."""
        self._cancelled.discard(stream)

    def send(self, kind, stream, head=None, body=b""):
        """Writes one frame."""
        self.write(encode(kind, stream, head, body))

    def refuse(self, kind, stream, why):
        """Ends a stream that began with a frame of the wrong kind."""
        fault = faults.Fault("Runtime.Protocol", f"frame {kind}: {why}")
        self.send(FAILED, stream, faults.describe(fault))

    def write(self, data):
        """Writes encoded frames, all of them."""
        written = os.write(self.descriptor, data)
        if written < len(data):
            view = memoryview(data)[written:]
            while view:
                view = view[os.write(self.descriptor, view) :]

    def _read(self):
        try:
            return os.read(self.descriptor, _READ)
        except ConnectionResetError:
            return b""


def encode(kind, stream, head=None, body=b""):
    """One frame as bytes."""
    if head is None and len(body) < LONGEST_CHUNK:
        return _HEADLESS.pack(11 + len(body), kind, stream, 2, _EMPTY_HEAD) + body
    head = _EMPTY_HEAD if head is None else text.dumps(head)
    length = _FIXED + len(head) + len(body)
    if length > LONGEST_FRAME:
        raise ValueError(f"{len(body)} bytes do not fit in one frame of {LONGEST_FRAME}")
    return b"".join((_PREFIX.pack(length, kind, stream, len(head)), head, body))


def encode_body(kind, stream, body):
    """Body bytes as one frame of `kind`, after as many Chunks as their length needs."""
    frames = []
    while len(body) > LONGEST_CHUNK:
        frames.append(encode(CHUNK, stream, None, body[:LONGEST_CHUNK]))
        body = body[LONGEST_CHUNK:]
    frames.append(encode(kind, stream, None, body))
    return b"".join(frames)
