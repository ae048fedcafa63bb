"""The generator of load: `bench/load`, a program of the repository, run once per measurement.

Closed loop, open loop (latency from when a request was due), burst, and a shim driven without the
platform. It reads the CPU time of the server's processes itself, around exactly the time that counts. Its
own CPU time counts for nobody, but it needs some: on two processors it takes part of what servers get,
from all of them alike.
"""

import json
import subprocess
from dataclasses import dataclass

TIMEOUT_SECONDS = 120


@dataclass
class Seen:
    """What one load has seen. Latencies are microseconds; `cpu` is microseconds per request."""

    requests: int
    per_second: float
    errors: int
    latency: dict
    cpu: float | None
    seconds: float


class Load:
    """The program."""

    def __init__(self, program):
        self.program = program

    def closed(self, contestant, connections, seconds, warm_up=0.3):
        """Each connection sends its next request when it has its answer."""
        return self._run("closed", *_target(contestant, connections, seconds, warm_up))

    def open(self, contestant, rate, connections, seconds, warm_up=0.3):
        """Requests are due at a fixed rate, whatever the answers do."""
        return self._run("open", "--rate", str(rate), *_target(contestant, connections, seconds, warm_up))

    def burst(self, contestant, connections):
        """Every connection, opened before, sends one request at the same moment."""
        return self._run("burst", *_target(contestant, connections, 0, 0))

    def shim(self, directory, handler, shims, seconds, command):
        """Shims driven over their socketpairs, without a platform."""
        options = ["--directory", str(directory), "--handler", handler, "--shims", str(shims)]
        return self._run("shim", *options, "--seconds", str(seconds), "--", *command)

    def _run(self, *arguments):
        result = subprocess.run(
            [self.program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
        )
        if result.returncode:
            raise RuntimeError(f"the load failed: {result.stderr.strip()[-300:]}")
        report = json.loads(result.stdout)
        return Seen(
            report["requests"],
            report["per_second"],
            report["errors"],
            report["latency_us"],
            report.get("cpu_us_per_request"),
            report["seconds"],
        )


def _target(contestant, connections, seconds, warm_up):
    host, port = contestant.address
    options = ["--address", f"{host}:{port}", "--host", contestant.host, "--path", contestant.path]
    options += ["--connections", str(connections), "--seconds", str(seconds), "--warm-up", str(warm_up)]
    return [*options, *(part for root in contestant.roots for part in ("--tree", str(root)))]
