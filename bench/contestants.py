"""Those who are measured: Lambent's functions, and its peers as their configuration files set them.

A contestant serves one application. `cold()` is the time to the first byte when nothing of the
application runs; `prepare_warm()` makes it run; `address`, `host` and `roots` say where to send requests
and whose CPU time counts.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import client
import processes

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent / "examples"
LOOPBACK = "127.0.0.1"
START_SECONDS = 60
# Starts in a tight loop flatter the kernel's caches and its batching; real ones come one by one.
PAUSE_SECONDS = 0.05
# Exit status of `lambent serve` on a host that refuses namespaces.
NAMESPACES_REFUSED = 77


class LambentServer:
    """One `lambent serve` in a temporary directory."""

    def __init__(self, binary):
        self.binary = binary
        self.directory = tempfile.mkdtemp(prefix="lambent-bench-")
        self.options = []
        self.ready = None
        self._process = None

    def start(self):
        """Starts it; on a host that refuses namespaces in the reduced mode."""
        command = [self.binary, "serve", "--json", "--data-dir", f"{self.directory}/data", *self.options]
        for option in ("--listen", "--gateway-listen", "--admin-listen"):
            command += [option, f"{LOOPBACK}:0"]
        with open(f"{self.directory}/server.log", "a") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        line = self._process.stdout.readline()
        if line:
            self.ready = json.loads(line)
            return
        if self._process.wait() == NAMESPACES_REFUSED and not self.options:
            self.options = ["--isolation", "process"]
            self.start()
            return
        raise RuntimeError(f"lambent did not start:\n{Path(self.directory, 'server.log').read_text()}")

    def deploy(self, directory, name, *options):
        """`lambent deploy`; instances end after a second of idleness."""
        command = [self.binary, "--endpoint", f"http://{self.ready['listen']}"]
        command += [
            "--admin",
            f"http://{self.ready['admin']}",
            "deploy",
            str(directory),
            "--name",
            name,
            "--idle-seconds",
            "1",
            *options,
        ]
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if result.returncode:
            raise RuntimeError(f"lambent deploy {name} failed:\n{result.stdout}{result.stderr}")

    def wait_for_no_instance(self):
        """Waits until nothing runs below the broker."""
        wait_until(lambda: processes.programs_below(self.ready["broker_pid"]) == 0, "lambent scales to zero")
        time.sleep(PAUSE_SECONDS)

    def stop(self):
        """Ends it and removes its directory."""
        if self._process is not None:
            end(self._process)
        shutil.rmtree(self.directory, ignore_errors=True)


class LambentFunction:
    """One deployed function."""

    def __init__(self, server, label, name, directory, *options):
        self.label = label
        self._server, self._name, self._directory, self._options = server, name, directory, options

    def start(self):
        """Deploys it."""
        self._server.deploy(self._directory, self._name, *self._options)
        host, port = self._server.ready["gateway"].rsplit(":", 1)
        self.address = (host, int(port))
        self.host = f"{self._name}.localhost:{port}"
        self.roots = (self._server.ready["pid"], self._server.ready["broker_pid"])

    def cold(self):
        """From no instance of any function, with the server up."""
        self._server.wait_for_no_instance()
        return client.first_byte(self.address, self.host)

    def prepare_warm(self):
        """Only this function's instances are to be there while it is measured."""
        self._server.wait_for_no_instance()

    def finish_warm(self):
        """Nothing: its instances end by themselves."""

    def stop(self):
        """Nothing: the server goes as a whole."""


class Gunicorn:
    """gunicorn with the Flask application, started by the request as socket activation would."""

    label = "gunicorn"

    def __init__(self, python, site):
        self._python, self._site = python, site
        self._directory = tempfile.mkdtemp(prefix="lambent-bench-")
        self._process = None
        self.host = "localhost"

    def start(self):
        """Copies the application, so that its byte code can be cached beside it."""
        shutil.copy(EXAMPLES / "flask-hello/app.py", self._directory)

    def cold(self):
        """From no process; the listener is open, the request waits in it."""
        time.sleep(PAUSE_SECONDS)
        begin = time.perf_counter()
        self._launch()
        try:
            return time.perf_counter() - begin + client.first_byte(self.address, self.host)
        finally:
            end(self._process)

    def prepare_warm(self):
        """A running server with its workers up."""
        self._launch()
        client.first_byte(self.address, self.host)

    def finish_warm(self):
        """Ends it."""
        end(self._process)

    def stop(self):
        """Removes its directory."""
        shutil.rmtree(self._directory, ignore_errors=True)

    def _launch(self):
        with socket.create_server((LOOPBACK, 0), backlog=128) as listener:
            self.address = listener.getsockname()
            configuration = HERE / "peers/gunicorn/gunicorn.conf.py"
            bind = f"fd://{listener.fileno()}"
            self._process = subprocess.Popen(
                [self._python, "-m", "gunicorn", "--config", str(configuration), "--bind", bind, "app:app"],
                cwd=self._directory,
                env={**os.environ, "PYTHONPATH": str(self._site)},
                pass_fds=[listener.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.roots = (self._process.pid,)


class ServerlessOffline:
    """serverless-offline with the Node handler."""

    # It looks for idle instances twice in the second after which they end.
    IDLE_SECONDS = 3

    def __init__(self, modules, label, in_process):
        self.label = label
        self._modules, self._in_process = modules, in_process
        self._directory = tempfile.mkdtemp(prefix="lambent-bench-")
        self._process = None
        self._last_used = 0.0

    def start(self):
        """Starts it and waits until it answers."""
        shutil.copy(HERE / "functions/hello-node/index.mjs", self._directory)
        shutil.copy(HERE / "peers/serverless-offline/serverless.yml", self._directory)
        os.symlink(self._modules, f"{self._directory}/node_modules")
        port, lambda_port = free_port(), free_port()
        self.address, self.host = (LOOPBACK, port), "localhost"
        environment = {
            **os.environ,
            "BENCH_HTTP_PORT": str(port),
            "BENCH_LAMBDA_PORT": str(lambda_port),
            "BENCH_IN_PROCESS": str(self._in_process).lower(),
            "SLS_TELEMETRY_DISABLED": "1",
            "SLS_NOTIFICATIONS_MODE": "off",
        }
        self._process = subprocess.Popen(
            ["node", str(self._modules / ".bin/serverless"), "offline", "start"],
            cwd=self._directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.roots = (self._process.pid,)
        wait_until(self._answers, "serverless-offline answers")

    def cold(self):
        """From no instance, with the server up."""
        time.sleep(max(0.0, self._last_used + self.IDLE_SECONDS - time.monotonic()))
        try:
            return client.first_byte(self.address, self.host)
        finally:
            self._last_used = time.monotonic()

    def prepare_warm(self):
        """Nothing: it runs."""

    def finish_warm(self):
        """Remembers when its instance was last used."""
        self._last_used = time.monotonic()

    def stop(self):
        """Ends it and removes its directory."""
        if self._process is not None:
            end(self._process)
        shutil.rmtree(self._directory, ignore_errors=True)

    def _answers(self):
        try:
            client.first_byte(self.address, self.host)
            return True
        except OSError:
            return False


def wait_until(condition, what):
    """Waits for a condition; raises when it takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {START_SECONDS} s until {what}")
        time.sleep(0.02)


def end(process):
    """Ends a process that was started here, politely first."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port():
    """A port nobody listens on at the moment."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        return listener.getsockname()[1]
