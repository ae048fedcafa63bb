"""Lambent as it is measured: one `lambent serve` in a temporary directory, and functions deployed on it.

Started anew for every table, so that a table that goes wrong spoils no other. Ends with its broker and
everything below. What it says of itself is not believed: instances are counted in `/proc`, and only the
label of a start is read from an answer, because nobody outside can tell a spare from an ember.
"""

import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import client
import lambda_api
import processes
from launching import LOOPBACK, end

# Exit status of `lambent serve` on a host that refuses namespaces.
NAMESPACES_REFUSED = 77
# A first call may meet a function that has not settled.
ATTEMPTS = 5
# An instance is retired a second after its last request; this much later it is certainly gone.
RETIRED_AFTER_SECONDS = 1.5


class Server:
    """One `lambent serve`."""

    label = "Lambent"

    def __init__(self, binary):
        self.binary = binary
        self.directory = tempfile.mkdtemp(prefix="lambent-bench-")
        self.options = []
        self.ready = None
        self.api = None
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
            self.api = lambda_api.LambdaApi(address(self.ready["listen"]))
            return self
        if self._process.wait() == NAMESPACES_REFUSED and not self.options:
            self.options = ["--isolation", "process"]
            return self.start()
        raise RuntimeError(f"lambent did not start: {self.log()}")

    @property
    def gateway(self):
        """Where functions are reached."""
        return address(self.ready["gateway"])

    @property
    def roots(self):
        """Whose CPU time and memory count: the server, its broker and all below them."""
        return self.ready["pid"], self.ready["broker_pid"]

    def programs(self):
        """Embers, spares, standbys and instances: everything below the broker but its own file."""
        return processes.programs(self.ready["broker_pid"])

    def deploy(self, directory, name, *options):
        """`lambent deploy`."""
        command = [self.binary, "--endpoint", f"http://{self.ready['listen']}"]
        command += [
            "--admin",
            f"http://{self.ready['admin']}",
            "deploy",
            str(directory),
            "--name",
            name,
            *options,
        ]
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if result.returncode:
            raise RuntimeError(f"lambent deploy {name} failed: {result.stdout}{result.stderr}")

    def log(self):
        """The end of what it wrote."""
        return Path(self.directory, "server.log").read_text()[-2000:]

    def stop(self):
        """Ends it and removes its directory."""
        if self.api is not None:
            self.api.close()
        if self._process is not None:
            end(self._process)
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_reason):
        self.stop()


class Function:
    """One deployed function; its tags say how it is kept."""

    def __init__(self, server, label, name, directory, *options, **tags):
        self.label, self.name = label, name
        self._server, self._directory, self._options = server, directory, options
        self._tags = {"lambent:headers": "on"}
        self._tags |= {f"lambent:{tag.replace('_', '-')}": str(value) for tag, value in tags.items()}
        self._renewed = 0
        self._environment = {}
        self._used = 0.0
        self.path = "/"

    def start(self):
        """Deploys it."""
        self._server.deploy(self._directory, self.name, *self._options)
        self._server.api.tag(self.name, self._tags)
        configuration = self._server.api.call("GET", f"{lambda_api.FUNCTIONS}/{self.name}/configuration")
        self._environment = configuration.get("Environment", {}).get("Variables", {})
        self.address = self._server.gateway
        self.host = f"{self.name}.localhost:{self.address[1]}"
        self.roots = self._server.roots

    def call(self, path="/"):
        """One request on a connection of its own."""
        try:
            return client.first_byte(self.address, self.host, path)
        finally:
            self._used = time.monotonic()

    def warm_up(self):
        """One request that may take a few attempts; raises what the last one came to."""
        for attempt in range(ATTEMPTS):
            try:
                return self.call()
            except OSError:
                if attempt == ATTEMPTS - 1:
                    raise
                time.sleep(0.5)

    def retire(self):
        """Waits until its instances have been idle for so long that they are gone."""
        time.sleep(max(0.0, self._used + RETIRED_AFTER_SECONDS - time.monotonic()))

    def renew(self):
        """Makes another version live, of which nothing has ever run."""
        self._renewed += 1
        self._server.api.renew(self.name, {**self._environment, "BENCH_ROUND": str(self._renewed)})

    def prepare_warm(self):
        """Makes it run."""
        self.warm_up()

    def finish_warm(self):
        """Nothing: its instances end by themselves."""

    def stop(self):
        """Nothing: the server goes as a whole."""


def address(text):
    """Host and port of `HOST:PORT`."""
    host, port = text.rsplit(":", 1)
    return host, int(port)
