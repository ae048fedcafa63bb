"""Peers that are servers with functions in them: serverless-offline and ministack.

"Cold" is their first byte with the server up and no instance of the function, as for Lambent.
"""

import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import client
import lambda_api
from launching import LOOPBACK, end, free_port, pause
from processes import wait_until

HERE = Path(__file__).resolve().parent
# Reads of a configuration that the emulators need before they answer.
START_SECONDS = 60


class Emulator:
    """A server process with files of its own."""

    host, path = "localhost", "/"

    def __init__(self):
        self.directory = Path(tempfile.mkdtemp(prefix="lambent-bench-"))
        self._process = None

    def launch(self, command, environment):
        """Starts the server quietly."""
        log = open(self.directory / "server.log", "w")
        with log:
            self._process = subprocess.Popen(
                command,
                cwd=self.directory,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        self.roots = (self._process.pid,)

    def await_answer(self, what):
        """Waits until the server answers; raises with what it wrote when it has ended."""

        def answers():
            if self._process.poll() is not None:
                raise RuntimeError(f"it ended: {(self.directory / 'server.log').read_text()[-500:]}")
            try:
                client.first_byte(self.address, self.host, self.path)
                return True
            except OSError:
                return False

        wait_until(answers, what, START_SECONDS, 0.1)

    def prepare_warm(self):
        """One request, so that there is an instance."""
        client.first_byte(self.address, self.host, self.path)

    def finish_warm(self):
        """Nothing: it runs on."""

    def stop(self):
        """Ends it and removes its files."""
        if self._process is not None:
            end(self._process)
        shutil.rmtree(self.directory, ignore_errors=True)


class ServerlessOffline(Emulator):
    """serverless-offline with the Node handler, as many functions of it as are to be cold."""

    # It looks for idle instances twice in the second after which they end.
    IDLE_SECONDS = 3
    FUNCTIONS = 8

    def __init__(self, modules, label, in_process):
        super().__init__()
        self.label = label
        self._modules, self._in_process = modules, in_process
        self._used = [0.0] * self.FUNCTIONS
        self._turn = 0

    def start(self):
        """Starts it and waits until it answers."""
        shutil.copy(HERE / "functions/hello-node/index.mjs", self.directory)
        shutil.copy(HERE / "functions/sleep-node/sleep.mjs", self.directory)
        shutil.copy(HERE / "peers/serverless-offline/serverless.yml", self.directory)
        (self.directory / "functions.json").write_text(json.dumps(self._functions()))
        os.symlink(self._modules, self.directory / "node_modules")
        port = free_port()
        self.address = (LOOPBACK, port)
        environment = {
            "BENCH_HTTP_PORT": str(port),
            "BENCH_LAMBDA_PORT": str(free_port()),
            "BENCH_IN_PROCESS": str(self._in_process).lower(),
            "SLS_TELEMETRY_DISABLED": "1",
            "SLS_NOTIFICATIONS_MODE": "off",
        }
        self.launch(["node", str(self._modules / ".bin/serverless"), "offline", "start"], environment)
        self.await_answer("serverless-offline answers")

    def cold(self):
        """From no instance of the next function."""
        turn = self._turn = (self._turn + 1) % self.FUNCTIONS
        time.sleep(max(0.0, self._used[turn] + self.IDLE_SECONDS - time.monotonic()))
        pause()
        try:
            return client.first_byte(self.address, self.host, f"/{turn}")
        finally:
            self._used[turn] = time.monotonic()

    def _functions(self):
        paths = ["/", "/sleep"] + [f"/{number}" for number in range(self.FUNCTIONS)]
        return {f"f{number}": _function(path) for number, path in enumerate(paths)}


def _function(path):
    handler = "sleep.handler" if path == "/sleep" else "index.handler"
    return {"handler": handler, "events": [{"httpApi": {"method": "GET", "path": path}}]}


class Ministack(Emulator):
    """ministack with the Python handler behind a function URL, run by its local executor (no Docker)."""

    label = "ministack, Python handler"

    def __init__(self, python, site):
        super().__init__()
        self._python, self._site = python, site
        self._renewed = 0

    def start(self):
        """Starts it and deploys the functions."""
        port = free_port()
        self.address = (LOOPBACK, port)
        lines = (HERE / "peers/ministack/ministack.env").read_text().splitlines()
        environment = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
        environment |= {"GATEWAY_PORT": str(port), "BIND_HOST": LOOPBACK, "PYTHONPATH": str(self._site)}
        environment |= {"TMPDIR": str(self.directory), "HOME": str(self.directory)}
        self.launch([self._python, "-m", "ministack"], environment)
        self._api = lambda_api.LambdaApi(self.address)
        self.path = "/_ministack/health"
        self.await_answer("ministack answers")
        self.path = self.create("hello", "hello-python")
        self.sleep_path = self.create("sleep", "sleep-python")
        client.first_byte(self.address, self.host, self.path)

    def create(self, name, directory):
        """Deploys a handler; the path of its function URL."""
        packed = lambda_api.archive(HERE / "functions" / directory)
        self._api.create(name, packed, "python3.11", "lambda_function.lambda_handler")
        url = self._api.url(name)
        return f"/_aws/lambda-url/{url.split('//')[1].split('.')[0]}/"

    def cold(self):
        """From no worker: a change of the configuration ends those there were."""
        self._renewed += 1
        body = {"Environment": {"Variables": {"BENCH_ROUND": str(self._renewed)}}}
        self._api.call("PUT", f"{lambda_api.FUNCTIONS}/hello/configuration", body)
        pause()
        return client.first_byte(self.address, self.host, self.path)
