"""Serves an ASGI application: an event loop over the frames' socket, one task per request.

Lifespan: `startup` is awaited before Ready, `shutdown` after the server's end is closed. Where init is
shared, Ready comes earlier, and each instance has a loop and a lifespan of its own: what `startup` opens
belongs to one loop and cannot be forked. An application that knows no lifespan is served without.
Requests run concurrently, as many as the server sends; a Cancel is `http.disconnect`, and from then on
the application's `send` raises OSError.
"""

import asyncio
import signal
import socket
import sys
from contextvars import ContextVar
from urllib.parse import unquote

from . import context, faults, frames

_VERSION = {"version": "3.0", "spec_version": "2.4"}
# How long `lifespan.shutdown` may take once the server has gone.
_SHUTDOWN_SECONDS = 5


class StartupFailed(Exception):
    """The application said `lifespan.startup.failed`."""


def serve(descriptor, application, ready):
    """Runs until the server goes. `ready` is said after startup, unless it was said. Raises `StartupFailed`."""
    context.of_task = ContextVar("lambent_request_id", default=None)
    serving = _serve(descriptor, application, ready)
    if sys.version_info < (3, 10):
        # Locks and events that the module made at import belong to the default loop there.
        asyncio.get_event_loop().run_until_complete(serving)
    else:
        asyncio.run(serving)


async def _serve(descriptor, application, ready):
    state = {}
    lifespan = _Lifespan(application, state)
    await lifespan.start()
    loop = asyncio.get_running_loop()
    end = socket.socket(fileno=descriptor)
    end.setblocking(False)
    _, server = await loop.create_unix_connection(lambda: _Server(application, state), sock=end)
    loop.add_signal_handler(signal.SIGTERM, server.gone.set)
    if ready is not None:
        server.send(frames.encode(frames.READY, 0, ready))
    await server.gone.wait()
    await lifespan.stop()


class _Server(asyncio.BufferedProtocol):
    """The frames' side: cuts frames, starts a task for each Request, and holds back writers.

    It brings its own buffer, because a plain protocol gets a newly mapped 256 KiB for each read.
    """

    def __init__(self, application, state):
        self.gone = asyncio.Event()
        self._application = application
        self._state = state
        self._decoder = frames.Decoder()
        self._buffer = memoryview(bytearray(65536))
        self._running = {}
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport = None

    def connection_made(self, transport):
        self._transport = transport

    def get_buffer(self, sizehint):
        return self._buffer

    def buffer_updated(self, nbytes):
        self._decoder.feed(self._buffer[:nbytes])
        while (frame := self._decoder.next()) is not None:
            self._accept(*frame)

    def connection_lost(self, exc):
        self.gone.set()
        self._writable.set()

    def pause_writing(self):
        self._writable.clear()

    def resume_writing(self):
        self._writable.set()

    def send(self, data):
        """Queues encoded frames."""
        self._transport.write(data)

    async def drained(self):
        """Done once the server keeps up again."""
        if not self._writable.is_set():
            await self._writable.wait()

    def finished(self, stream):
        """A request's stream has ended."""
        self._running.pop(stream, None)

    def _accept(self, kind, stream, head, body):
        if kind == frames.REQUEST:
            exchange = _Exchange(self, stream, head, body)
            # The dictionary keeps the task from being collected.
            task = asyncio.get_running_loop().create_task(exchange.run(self._application, self._state))
            self._running[stream] = (exchange, task)
        elif kind == frames.CANCEL:
            if stream in self._running:
                self._running[stream][0].disconnect()
        else:
            fault = faults.Fault("Runtime.Protocol", f"frame {kind}: a web application is called with requests")
            self.send(frames.encode(frames.FAILED, stream, faults.describe(fault)))


class _Exchange:
    """One request and its answer. Invariant: exactly one of End and Failed is sent, last."""

    def __init__(self, server, stream, head, body):
        self._server = server
        self._stream = stream
        self._request = head
        self._body = body
        self._over = asyncio.Event()
        self._gone = False
        self._head = None
        self._head_sent = False
        self._complete = False

    async def run(self, application, state):
        """Calls the application and ends the stream."""
        context.enter(self._request.get("request_id"))
        try:
            await application(_scope(self._request, state), self.receive, self.send)
            if self._head is None and not self._gone:
                raise RuntimeError("the application returned without an answer")
            self._end()
        except Exception as error:
            self._fail(error)
        finally:
            self._server.finished(self._stream)

    def disconnect(self):
        """The client has gone."""
        self._gone = True
        self._over.set()

    async def receive(self):
        """The application's `receive`: the whole body once, then the disconnect when it comes."""
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        """The application's `send`."""
        if self._gone:
            raise OSError("the client has disconnected")
        kind = message["type"]
        if kind == "http.response.start":
            if self._head is not None:
                raise RuntimeError("http.response.start was sent twice")
            headers = [[_text(name), _text(value)] for name, value in message.get("headers", ())]
            self._head = {"status": message["status"], "headers": headers}
        elif kind == "http.response.body":
            self._send_body(bytes(message.get("body", b"")), message.get("more_body", False))
            await self._server.drained()
        else:
            raise RuntimeError(f"unexpected message {kind}")

    def _send_body(self, body, more):
        if self._head is None or self._complete:
            raise RuntimeError("http.response.body is out of order")
        if self._request["method"] == "HEAD":
            body = b""
        out = b""
        if not self._head_sent:
            self._head_sent = True
            out = frames.encode(frames.HEAD, self._stream, self._head, body[: frames.LONGEST_CHUNK])
            body = body[frames.LONGEST_CHUNK :]
        if not more:
            self._complete = True
            out += frames.encode_body(frames.END, self._stream, body)
            self._over.set()
        elif body:
            out += frames.encode_body(frames.CHUNK, self._stream, body)
        self._server.send(out)

    def _end(self):
        if not self._complete:
            self._complete = True
            out = b"" if self._head_sent or self._head is None else frames.encode(frames.HEAD, self._stream, self._head)
            self._server.send(out + frames.encode(frames.END, self._stream))

    def _fail(self, error):
        if self._gone:
            # What an application raises because its client left is not its failure.
            self._end()
            return
        failure = faults.describe(error)
        faults.log(failure)
        if not self._complete:
            self._complete = True
            self._server.send(frames.encode(frames.FAILED, self._stream, failure))


class _Lifespan:
    """The application's lifespan task, from startup to shutdown."""

    def __init__(self, application, state):
        self._application = application
        self._scope = {"type": "lifespan", "asgi": _VERSION, "state": state}
        self._inbox = asyncio.Queue()
        self._started = None
        self._task = None

    async def start(self):
        """Done once the application has started. Raises `StartupFailed`."""
        loop = asyncio.get_running_loop()
        self._started = loop.create_future()
        self._inbox.put_nowait({"type": "lifespan.startup"})
        self._task = loop.create_task(self._run())
        await self._started

    async def stop(self):
        """Done once the application has shut down, or had its time."""
        if self._task.done():
            return
        self._inbox.put_nowait({"type": "lifespan.shutdown"})
        await asyncio.wait({self._task}, timeout=_SHUTDOWN_SECONDS)

    async def _run(self):
        try:
            await self._application(self._scope, self._inbox.get, self._send)
        except Exception as error:
            if self._started.done():
                faults.log(faults.describe(error))
        finally:
            # An application that raises before it answers knows no lifespan.
            if not self._started.done():
                self._started.set_result(None)

    async def _send(self, message):
        kind = message["type"]
        if kind == "lifespan.startup.complete":
            self._settle(None)
        elif kind == "lifespan.startup.failed":
            self._settle(StartupFailed(message.get("message") or "the application's startup failed"))
        elif kind == "lifespan.shutdown.failed":
            print(f"[ERROR] lifespan shutdown failed: {message.get('message', '')}")

    def _settle(self, error):
        if self._started.done():
            return
        if error is None:
            self._started.set_result(None)
        else:
            self._started.set_exception(error)


def _scope(head, state):
    target = head["target"]
    path, _, query = target.partition("?")
    scheme = head.get("scheme") or "http"
    host, colon, port = (head.get("host") or "localhost").rpartition(":")
    if not (colon and port.isdigit()):
        host, port = head.get("host") or "localhost", "443" if scheme == "https" else "80"
    client = head.get("client")
    return {
        "type": "http",
        "asgi": _VERSION,
        "http_version": "1.1",
        "method": head["method"],
        "scheme": scheme,
        "path": unquote(path),
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in head["headers"]],
        "client": (client[0], client[1]) if client else None,
        "server": (host, int(port)),
        "state": dict(state),
    }


def _text(value):
    return value if isinstance(value, str) else value.decode("latin-1")
