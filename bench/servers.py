"""Peers that are one server process with one application in it: gunicorn, workerd and the hyper echo.

None of them has instances. "Cold" is a start of the whole server on a listener that is already open, as
socket activation does, so the first request waits in the kernel and no poll is lost.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import client
from lambent import address as parse_address
from launching import LOOPBACK, end, end_spawned, listening, pause, spawn_on

HERE = Path(__file__).resolve().parent


class OnListener:
    """A server that inherits its listener."""

    host, path = "localhost", "/"

    def __init__(self):
        self._directory = tempfile.mkdtemp(prefix="lambent-bench-")
        self._process = None

    def start(self):
        """Lays out its files; nothing runs yet. Fails here rather than in a round when it cannot serve."""
        self.lay_out(Path(self._directory))
        self.cold()

    def cold(self):
        """From no process."""
        pause()
        begin = time.perf_counter()
        self._launch()
        try:
            opened = time.perf_counter() - begin
            answer = client.first_byte(self.address, self.host)
            answer.first += opened
            return answer
        finally:
            self.finish_warm()

    def prepare_warm(self):
        """A running server."""
        self._launch()
        client.first_byte(self.address, self.host)

    def finish_warm(self):
        """Ends it."""
        if self._process is not None:
            end_spawned(self._process, self.ends_by)
            self._process = None

    def stop(self):
        """Ends it and removes its files."""
        self.finish_warm()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _launch(self):
        command, environment = self.command()
        with listening() as listener:
            self.address = listener.getsockname()
            self._process = spawn_on(listener, command, environment, self._directory)
        self.roots = (self._process,)


class Gunicorn(OnListener):
    """gunicorn with the same Flask application."""

    label = "gunicorn, Flask"
    ends_by = signal.SIGTERM

    def __init__(self, python, site):
        super().__init__()
        self._python, self._site = python, site

    def lay_out(self, directory):
        """Copies the application, so that its byte code can be cached beside it."""
        shutil.copy(HERE / "functions/hello-flask/app.py", directory)

    def command(self):
        """Descriptor 3 is the listener."""
        configuration = str(HERE / "peers/gunicorn/gunicorn.conf.py")
        command = [self._python, "-m", "gunicorn", "--config", configuration, "--bind", "fd://3", "app:app"]
        return command, {**os.environ, "PYTHONPATH": str(self._site)}


class Workerd(OnListener):
    """workerd with the same answer as the Node handler's."""

    label = "workerd"
    ends_by = signal.SIGKILL

    def __init__(self, modules):
        super().__init__()
        self._modules = modules

    def lay_out(self, directory):
        """Copies the configuration and the worker."""
        for file in ("config.capnp", "worker.js"):
            shutil.copy(HERE / "peers/workerd" / file, directory)
        # The package's own entry is a script of Node; the program lies in the package of the platform.
        found = sorted(self._modules.glob("@cloudflare/workerd-*/bin/workerd"))
        if not found:
            raise RuntimeError("the workerd package has no program for this platform")
        self._program = str(found[0])

    def command(self):
        """Descriptor 3 is the listener."""
        return [self._program, "serve", "config.capnp", "--socket-fd", "http=3"], dict(os.environ)


class Echo:
    """A bare hyper server: what the stack below the gateway costs by itself."""

    label = "bare hyper echo"
    host, path = "localhost", "/"

    def __init__(self, load):
        self._load = load
        self._process = None

    def start(self):
        """Starts it."""
        command = [self._load, "echo", "--listen", f"{LOOPBACK}:0"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the echo server said nothing")
        self.address = parse_address(line.strip().split('"')[3])
        self.roots = (self._process.pid,)

    def prepare_warm(self):
        """Nothing: it runs."""

    def finish_warm(self):
        """Nothing."""

    def stop(self):
        """Ends it."""
        if self._process is not None:
            end(self._process)
