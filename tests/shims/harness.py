"""Drives a real shim over a real socket pair, as the server does. Not a test itself.

An application is a dictionary of files, written to a directory of its own. `Shim` starts the process
with the interpreter that runs the tests (or node), reads and writes frames, and ends what it started.
"""

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
RUNTIMES = REPOSITORY / "runtimes"
# A directory with flask and fastapi, as made by scripts/test-setup.
SITE = os.environ.get("LAMBENT_TEST_SITE", "")
SECONDS = 30

EVENT, REQUEST, CANCEL = 1, 2, 3
READY, INIT_FAILED, RESULT, FAILED, HEAD, CHUNK, END, LISTENING = range(16, 24)
REQUEST_ID = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"


class Peer:
    """The server's end of one instance's frames."""

    def __init__(self, connection):
        connection.settimeout(SECONDS)
        self.socket = connection

    def output(self):
        """What the process has written so far."""
        raise NotImplementedError

    def receive(self):
        """The next frame as (kind, stream, head, body); None at the end."""
        start = self._exactly(4)
        if start is None:
            return None
        rest = self._exactly(struct.unpack(">I", start)[0])
        kind, stream, head_length = struct.unpack_from(">BII", rest)
        return kind, stream, json.loads(rest[9 : 9 + head_length]), rest[9 + head_length :]

    def send(self, kind, stream, head, body=b""):
        """Writes one frame."""
        head = json.dumps(head).encode()
        self.socket.sendall(struct.pack(">IBII", 9 + len(head) + len(body), kind, stream, len(head)) + head + body)

    def ready(self):
        """The head of Ready, which must be the first frame."""
        frame = self.receive()
        assert frame is not None and frame[0] == READY, f"{frame}\n{self.output()}"
        return frame[2]

    def invoke(self, payload, stream=1, seconds=3.0, **head):
        """Sends an Event and gives the frame that ends it."""
        self.send_event(payload, stream, seconds, **head)
        return self.receive()

    def send_event(self, payload, stream=1, seconds=3.0, **head):
        """Sends an Event. `payload` is text, or a value."""
        text = payload if isinstance(payload, str) else json.dumps(payload)
        deadline = int((time.time() + seconds) * 1000)
        arn = "arn:aws:lambda:us-east-1:000000000000:function:hello:7"
        self.send(EVENT, stream, {"request_id": REQUEST_ID, "deadline_ms": deadline, "arn": arn, **head}, text.encode())

    def result(self, payload, **head):
        """The value that the handler answers a payload with."""
        frame = self.invoke(payload, **head)
        assert frame is not None and frame[0] == RESULT, f"{frame}\n{self.output()}"
        return json.loads(frame[3])

    def failure(self, payload, **head):
        """The head of the failure that a payload leads to."""
        frame = self.invoke(payload, **head)
        assert frame is not None and frame[0] == FAILED, f"{frame}\n{self.output()}"
        return frame[2]

    def send_request(self, method="GET", target="/", headers=(), body=b"", stream=1):
        """Sends a Request."""
        head = {
            "request_id": REQUEST_ID,
            "deadline_ms": int((time.time() + 3) * 1000),
            "method": method,
            "target": target,
            "headers": [["host", "web.localhost:8080"], *headers],
            "scheme": "http",
            "host": "web.localhost:8080",
            "client": ["192.0.2.7", 40000],
        }
        self.send(REQUEST, stream, head, body)

    def request(self, *arguments, **options):
        """Sends a Request and gives the whole answer as (status, headers, body)."""
        self.send_request(*arguments, **options)
        kind, _, head, body = self.receive()
        assert kind == HEAD, f"{kind} {head}\n{self.output()}"
        while True:
            kind, _, _, more = self.receive()
            body += more
            if kind == END:
                return head["status"], head["headers"], body
            assert kind == CHUNK, f"{kind}\n{self.output()}"

    def close(self):
        """The server goes."""
        self.socket.close()

    def _exactly(self, length):
        data = b""
        while len(data) < length:
            more = self.socket.recv(length - len(data))
            if not more:
                return None
            data += more
        return data


class Shim(Peer):
    """One shim process and the server's end of its socket."""

    def __init__(self, case, files, handler, environment=(), arguments=(), node=False, pass_fds=()):
        self.root = Path(tempfile.mkdtemp(prefix="lambent-shim-"))
        case.addCleanup(shutil.rmtree, self.root, True)
        for name, content in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(content))
        self.output_path = self.root / ".output"
        server, inherited = socket.socketpair()
        super().__init__(server)
        case.addCleanup(server.close)
        program = (
            ["node", RUNTIMES / "node/bootstrap.mjs"]
            if node
            else [sys.executable, "-B", RUNTIMES / "python/bootstrap.py"]
        )
        with open(self.output_path, "wb") as output:
            self.process = subprocess.Popen(
                [*map(str, program), *arguments],
                env=self._environment(inherited.fileno(), handler, dict(environment)),
                pass_fds=[inherited.fileno(), *pass_fds],
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        inherited.close()
        case.addCleanup(self._end)

    def _environment(self, descriptor, handler, more):
        return {
            "PATH": os.environ["PATH"],
            "HOME": "/tmp",
            "_HANDLER": handler,
            "LAMBDA_TASK_ROOT": str(self.root),
            "LAMBENT_FRAMES_FD": str(descriptor),
            "AWS_LAMBDA_FUNCTION_NAME": "hello",
            "AWS_LAMBDA_FUNCTION_VERSION": "7",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/hello",
            "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
            **more,
        }

    def init_failed(self):
        """The head of InitFailed, which must be the first frame and the end of the process."""
        frame = self.receive()
        assert frame is not None and frame[0] == INIT_FAILED, f"{frame}\n{self.output()}"
        assert self.wait() == 1
        return frame[2]

    def output(self):
        """What the process has written so far."""
        return self.output_path.read_text()

    def wait(self):
        """The exit status."""
        return self.process.wait(SECONDS)

    def _end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


class WithSite(unittest.TestCase):
    """Tests that need Flask and FastAPI. Without them each says by name that it was not run."""

    def setUp(self):
        if not SITE:
            print(f"not run: {self.id()}: set LAMBENT_TEST_SITE to a directory with flask and fastapi", file=sys.stderr)
            self.skipTest("LAMBENT_TEST_SITE is not set")
        self.site = {"PYTHONPATH": SITE}


class WithNode(unittest.TestCase):
    """Tests that need Node.js. Without it each says by name that it was not run."""

    def setUp(self):
        if shutil.which("node") is None:
            print(f"not run: {self.id()}: install Node.js 18 or later", file=sys.stderr)
            self.skipTest("there is no node")

    def shim(self, files, handler="index.handler", **options):
        """A Node shim."""
        return Shim(self, files, handler, node=True, **options)
