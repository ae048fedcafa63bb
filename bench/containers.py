"""crun and runc as they are measured: a container around `true`, and around a Python hello server.

No daemon is asked; the runtime itself is started, which is the least that anything built on it costs.
"""

import itertools
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

import client
from apart import Apart
from launching import end_spawned, listening, pause, run_seconds, spawn_on
from peers.oci import bundle

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
OCI = Path(__file__).resolve().parent / "peers/oci"


class Container:
    """One runtime and one program."""

    def __init__(self, runtime, python, *options):
        name = " ".join((runtime, *options))
        self.label = f"{name}: Python hello server"
        self.true_label = f"{name}: `true`, start to end"
        self._runtime, self._python, self._options = runtime, python, options
        self._directory = Path(tempfile.mkdtemp(prefix="lambent-bench-"))
        self._numbers = itertools.count()
        self._apart = None

    def start(self):
        """Writes both bundles and tries each once."""
        self._program = shutil.which(self._runtime, path=PATH)
        if not self._program:
            raise RuntimeError(f"{self._runtime} is not installed")
        command = [self._python, "-I", "/var/task/hello.py"]
        bundle.write(self._directory / "hello", OCI, command)
        bundle.write(self._directory / "true", OCI, ["/usr/bin/true"])
        try:
            self.true()
        except RuntimeError:
            self._apart = Apart()
            self.true()
        self.cold()

    def cold(self):
        """From nothing to the first byte."""
        return self._apart.run(self._cold) if self._apart else self._cold()

    def _cold(self):
        pause()
        with listening() as listener:
            address = listener.getsockname()
            begin = time.perf_counter()
            process = spawn_on(listener, self._command("hello", "--preserve-fds", "1"))
        try:
            opened = time.perf_counter() - begin
            answer = client.first_byte(address, "localhost")
            answer.first += opened
            return answer
        finally:
            # It ends by itself after its answer, and takes its container away.
            self._await(process)

    def true(self):
        """Seconds from the start of the runtime to its end."""
        pause()
        command = self._command("true")
        return self._apart.run(run_seconds, command) if self._apart else run_seconds(command)

    def stop(self):
        """Removes the bundles."""
        if self._apart is not None:
            self._apart.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _command(self, name, *options):
        identity = f"lambent-bench-{os.getpid()}-{id(self)}-{next(self._numbers)}"
        return [
            self._program,
            *self._options,
            "run",
            *options,
            "--bundle",
            str(self._directory / name),
            identity,
        ]

    def _await(self, process):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if os.waitpid(process, os.WNOHANG)[0]:
                return
            time.sleep(0.002)
        end_spawned(process, signal.SIGTERM)
