"""Collects what the bench measured and writes it as a page. Measures nothing itself."""

import datetime
import json
import os
import platform
import statistics
import subprocess
from pathlib import Path

# Which pairs are like for like: ours, theirs.
PAIRS = (("flask-shim", "gunicorn"), ("flask-own", "gunicorn"), ("node", "threads"), ("node", "in-process"))

INTRODUCTION = """# Benchmarks

<!-- Written by bench/run.py (`make bench`). Do not edit. -->

How long until the first byte when nothing runs, and what one more request costs when everything is warm:
Lambent against gunicorn with Flask, and against serverless-offline, on one machine in one run. Figures are
what they are; the machine below was not quiet for our sake.
"""

METHOD = """## How it is measured

* Every round asks every contestant once for a first byte from no instance and then for {requests} warm
  requests, in an order that rotates. Ratios are taken within a round; the table has their median, so that
  what else the machine did falls on both sides alike. Below 1 Lambent is the cheaper one.
* **From no instance** is the time from opening a connection to the first byte of the answer, a pause of
  {pause:.0f} ms after the last process has gone. Lambent and serverless-offline have their server up and no
  instance (Lambent's are counted in `/proc`, not asked of its API). gunicorn cannot have none: its process
  is started by the request on an open listener, as socket activation does. serverless-offline in process
  has no instances at all; its line says how fast it finds a module that it keeps loaded.
* **Warm** requests go one at a time over one kept-alive connection. CPU time is that of the whole tree of
  the contestant's processes, its server and all its instances, by thread from `/proc/*/task/*/schedstat`.
  Memory is the tree's proportional set size, for Lambent with the server and the one instance.
* The client is `bench/client.py`, the same for all, and counts for nobody.
* The peers' configurations, each with why it is its best: `bench/peers/`.

Repeat it with `make bench`, or `python3 bench/run.py --lambent PATH --rounds N`.
"""


class Results:
    """All figures of a run."""

    def __init__(self, options):
        self._options = options
        self._labels = {}
        self._cold = {}
        self._latencies = {}
        self._cpu = {}
        self._memory = {}
        self._interpreters = {"python": [], "node": []}
        self._facts = []

    def add(self, key, label):
        """A contestant takes part."""
        self._labels[key] = label
        for table in (self._cold, self._latencies, self._cpu, self._memory):
            table[key] = []

    def interpreter(self, name, seconds):
        """A bare start of an interpreter."""
        self._interpreters[name].append(seconds)

    def cold(self, key, seconds):
        """A first byte from no instance."""
        self._cold[key].append(seconds)

    def warm(self, key, latencies, cpu, memory):
        """A round of warm requests."""
        self._latencies[key].append(latencies)
        self._cpu[key].append(cpu)
        self._memory[key].append(memory)

    def describe(self, server, python, peers):
        """Notes the machine and the versions of everything."""
        modules = [_package_version(peers, name) for name in ("serverless", "serverless-offline")]
        self._facts = [
            ("Lambent", f"{_first_line([server.binary, '--version'])}, isolation {server.ready['isolation']}"),
            ("Machine", f"{_processor()}, {os.cpu_count()} CPUs, {_memory_size()}"),
            ("System", f"{platform.system()} {platform.release()}"),
            ("Python side", _first_line([python, "-c", _VERSIONS], PYTHONPATH=str(peers / "site"))),
            ("Node side", f"Node.js {_first_line(['node', '--version'])}, {', '.join(modules)}"),
            ("Run", f"{datetime.date.today()}, {self._options.rounds} rounds of {self._options.requests} requests"),
        ]

    def page(self):
        """The whole page."""
        parts = [INTRODUCTION, "## First byte from no instance (ms)\n", self._cold_table()]
        parts += ["## Warm requests\n", self._warm_table(), "## Ratios\n", self._ratio_table()]
        method = METHOD.format(requests=self._options.requests, pause=50)
        parts += [method, "## The machine and the versions\n", table(("", ""), self._facts)]
        return "\n".join(parts)

    def _cold_table(self):
        rows = [(self._labels[key], *_spread(values, 1e3)) for key, values in self._cold.items()]
        for name, command in (("python", "`python3 -I -c pass`"), ("node", "`node -e 0`")):
            rows.append((f"for comparison: {command}, start to end", *_spread(self._interpreters[name], 1e3)))
        return table(("", "min", "median", "p90"), rows)

    def _warm_table(self):
        rows = []
        for key, label in self._labels.items():
            latencies = [latency for one in self._latencies[key] for latency in one]
            low, middle, _ = _spread(latencies, 1e6, 0)
            least, median, _ = _spread(self._cpu[key], 1e6, 0)
            rows.append((label, low, middle, least, median, f"{statistics.median(self._memory[key]) / 2**20:.0f}"))
        header = ("", "latency min (µs)", "median", "CPU per request min (µs)", "median", "memory (MiB)")
        return table(header, rows)

    def _ratio_table(self):
        rows = []
        for ours, theirs in PAIRS:
            rows.append(
                (
                    f"{self._labels[ours]} / {self._labels[theirs]}",
                    _ratio(self._cold[ours], self._cold[theirs]),
                    _ratio(*([statistics.median(one) for one in self._latencies[key]] for key in (ours, theirs))),
                    _ratio(self._cpu[ours], self._cpu[theirs]),
                )
            )
        for ours, interpreter in (("flask-shim", "python"), ("python", "python"), ("node", "node")):
            ratio = _ratio(self._cold[ours], self._interpreters[interpreter])
            rows.append((f"{self._labels[ours]} / bare start of {interpreter}", ratio, "", ""))
        return table(("", "first byte from no instance", "warm latency", "CPU per request"), rows)


def table(header, rows):
    """A Markdown table."""
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


_VERSIONS = """
import platform
from importlib.metadata import version
print(f"Python {platform.python_version()}, Flask {version('flask')}, gunicorn {version('gunicorn')}")
"""


def _spread(values, scale, digits=1):
    ordered = sorted(values)
    nearly_last = ordered[min(len(ordered) - 1, int(len(ordered) * 0.9))]
    return tuple(f"{value * scale:.{digits}f}" for value in (ordered[0], statistics.median(ordered), nearly_last))


def _ratio(ours, theirs):
    return f"{statistics.median(our / their for our, their in zip(ours, theirs)):.2f}"


def _first_line(command, **environment):
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    return (result.stdout.strip() or result.stderr.strip() or "unknown").splitlines()[0]


def _package_version(peers, name):
    description = Path(peers, "node_modules", name, "package.json")
    return f"{name} {json.loads(description.read_text())['version']}"


def _processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_size():
    total = Path("/proc/meminfo").read_text().split()[1]
    return f"{int(total) / 2**20:.0f} GiB of memory"
