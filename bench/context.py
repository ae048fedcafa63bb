"""What every table works with: the programs, the peers, how much is measured, and how long it may take.

A contestant that does not start is noted with its reason and left out; nothing it does ends the run.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import lambent
from load import Load

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent


@dataclass
class Size:
    """How much is measured. Seconds are a table's most: it stops there and says how far it came."""

    pairs: int
    starts_seconds: float
    warm_rounds: int
    warm_seconds: float
    load_seconds: float
    open_rate: float
    bursts: int
    embers: int
    functions: int
    instances: int
    sustained_seconds: float
    thaws: int
    peers: bool = True


FULL = Size(100, 380, 3, 180, 0.8, 500, 3, 200, 1000, 10, 8, 100)
QUICK = Size(12, 60, 1, 45, 0.6, 500, 1, 50, 200, 5, 3, 30)
SMOKE = Size(2, 20, 1, 10, 0.3, 100, 1, 3, 5, 2, 1, 5, peers=False)


@dataclass
class Context:
    """One run."""

    binary: str
    size: Size
    peers: Path
    load: Load | None
    notes: list = field(default_factory=list)
    python: str = field(default_factory=lambda: system_program("python3"))
    node: str = field(default_factory=lambda: system_program("node"))

    def server(self):
        """A Lambent server of its own, as a context manager."""
        return lambent.Server(self.binary)

    @property
    def site(self):
        """Python packages of the peers."""
        return self.peers / "site"

    @property
    def modules(self):
        """npm packages of the peers."""
        return self.peers / "node_modules"

    @property
    def processors(self):
        """How many processors there are: instances and workers of warm contestants."""
        return len(os.sched_getaffinity(0))


class Roster:
    """The contestants of one table: starts them, forgets those that do not, ends them all."""

    def __init__(self, failed):
        self._failed = failed
        self.ready = {}

    def add(self, key, contestant):
        """Starts one."""
        say(f"  start {contestant.label}")
        try:
            contestant.start()
            self.ready[key] = contestant
        except Exception as reason:  # Whatever it is: it is the contestant's row, not the run's end.
            self.fail(key, contestant.label, f"did not start: {reason}")
            with contextlib.suppress(Exception):
                contestant.stop()

    def fail(self, key, label, reason):
        """Notes why one takes no part, or no further part."""
        text = " ".join(str(reason).split())[:300]
        self._failed[label] = text
        gone = self.ready.pop(key, None)
        if gone is not None:
            with contextlib.suppress(Exception):
                gone.stop()
        say(f"  {label}: {text}")

    def __enter__(self):
        return self

    def __exit__(self, *_reason):
        for contestant in self.ready.values():
            with contextlib.suppress(Exception):
                contestant.stop()


class Deadline:
    """When a table stops, whatever is left."""

    def __init__(self, seconds):
        self._until = time.monotonic() + seconds

    def passed(self):
        """Whether it has."""
        return time.monotonic() > self._until


def rotated(names, number):
    """The names in an order that another one begins in every round."""
    names = list(names)
    turn = number % len(names) if names else 0
    return names[turn:] + names[:turn]


def system_program(name):
    """A program as the kernel starts it: links followed, a version manager's script avoided."""
    for candidate in (f"/usr/bin/{name}", shutil.which(name)):
        if candidate and os.path.exists(candidate):
            return os.path.realpath(candidate)
    return sys.executable if name == "python3" else name


def build_bootstrap(directory):
    """Compiles the `provided` function into a directory that can be deployed."""
    source = HERE / "functions/hello-provided/bootstrap.rs"
    target = Path(directory) / "bootstrap"
    command = ["rustc", "-O", "--edition", "2024", "-C", "strip=symbols", "-o", str(target), str(source)]
    subprocess.run(command, check=True, capture_output=True, cwd=REPOSITORY)
    return Path(directory)


def say(text):
    """Progress, for people."""
    print(f"bench: {text}", file=sys.stderr, flush=True)
