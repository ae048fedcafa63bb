"""Sustained starts: how many a second, wave after wave, every request to a function that has no instance.

All functions of a fleet are called once per wave by a few callers at a time; between waves their instances
are retired. The labels of the answers say what the starts were; a warm answer is not a start and not
counted. Beside it, bare interpreters and containers started by as many callers.
"""

import threading
import time
from collections import Counter

from containers import Container
from context import Deadline, Roster, say
from figures import median, spell, table
from fleet import Fleet
from lambent import RETIRED_AFTER_SECONDS
from launching import run_seconds
from tables.memory import runtime

NAME = "sustained"
CALLERS = 4
PEER_SECONDS = 1.5


def measure(context, data):
    """Fills `data` as it goes."""
    data |= {"waves": [], "peers": {}, "failed": {}, "callers": CALLERS}
    try:
        _lambent(context, data)
    except Exception as reason:
        data["failed"]["Lambent, sustained starts"] = str(reason)[-300:]
    python = [context.python, "-I", "-c", "pass"]
    data["peers"]["`python3 -I -c pass`"] = _rate(lambda: run_seconds(python))
    with Roster(data["failed"]) as roster:
        if context.size.peers:
            roster.add("runc", Container("runc", context.python))
            roster.add("crun", Container("crun", context.python, "--cgroup-manager=disabled"))
        for container in roster.ready.values():
            say(f"  {container.true_label}")
            data["peers"][container.true_label.replace(", start to end", "")] = _rate(container.true)


def _lambent(context, data):
    with context.server() as server:
        fleet = Fleet(server, "hello-python", runtime(context), context.size.embers // 2 + 2, idle_seconds=1)
        fleet.create()
        deadline = None
        while deadline is None or not deadline.passed():
            say(f"  wave {len(data['waves']) + 1}")
            data["waves"].append(_wave(fleet))
            deadline = deadline or Deadline(context.size.sustained_seconds * 2)
            time.sleep(RETIRED_AFTER_SECONDS)


def _wave(fleet):
    """One request to every function; seconds, and how many of each start."""
    labels, errors = Counter(), Counter()
    left = iter(fleet.names)
    lock = threading.Lock()

    def work():
        while True:
            with lock:
                name = next(left, None)
            if name is None:
                return
            try:
                labels[fleet.call(name).start] += 1
            except OSError as reason:
                errors[str(reason)[:80]] += 1

    begin = time.perf_counter()
    _together(work)
    return {"seconds": time.perf_counter() - begin, "labels": dict(labels), "errors": dict(errors)}


def _rate(start):
    """Starts per second by as many callers; a container's runtime is asked one at a time by each."""
    counts = []

    def work():
        until, count = time.perf_counter() + PEER_SECONDS, 0
        while time.perf_counter() < until:
            start()
            count += 1
        counts.append(count)

    begin = time.perf_counter()
    _together(work)
    return sum(counts) / (time.perf_counter() - begin)


def _together(work):
    threads = [threading.Thread(target=work) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# === the page ===


def rates(data, first):
    """Starts per second of the first wave, or of all later ones."""
    waves = data["waves"][:1] if first else data["waves"][1:]
    return [sum(_starts(wave).values()) / wave["seconds"] for wave in waves]


def render(_context, data):
    """The section of the page."""
    rows = []
    for name, first in (("Lambent, first wave", True), ("Lambent, later waves", False)):
        waves = data["waves"][:1] if first else data["waves"][1:]
        starts, errors = Counter(), 0
        for wave in waves:
            starts.update(_starts(wave))
            errors += sum(wave["errors"].values())
        shares = ", ".join(f"{count} {label}" for label, count in starts.most_common())
        rows.append((name, spell(median(rates(data, first)), 0), shares or "–", errors))
    rows += [(name, spell(rate, 0), "", "") for name, rate in data["peers"].items()]
    return (
        table(("", "starts per second", "starts", "errors"), rows)
        + f"\n{data['callers']} callers at a time.\n"
    )


def plots(_context, _data):
    """None."""
    return ()


def _starts(wave):
    return {label: count for label, count in wave["labels"].items() if label != "warm"}
