"""Starts: how long until the first byte when no instance runs, by how the instance came to be.

Every round goes through all contestants in an order that rotates; right before each start, 50 ms apart,
the interpreter that runs it is started bare, and the ratio is taken within that pair. Lambent's label
(spare, ember, standby, bare) is read from its answer: what is written down is what the start was, not
what was hoped for. Says nothing about throughput.
"""

import shutil
import tempfile

import kinds
import processes
from containers import Container
from context import Deadline, Roster, rotated, say
from emulators import Ministack, ServerlessOffline
from figures import median, median_ratio, spell, spread, table
from launching import pause, run_seconds
from plot import bars
from servers import Gunicorn, Workerd

NAME = "starts"
LABELS = ("spare", "ember", "standby", "bare", "unknown", "cold")
# Slow ones are asked in every so manieth round only: the run has an end.
EVERY = {"gunicorn": 4, "workerd": 4, "ministack": 5, "offline": 4, "runc": 4, "crun": 3, "crun-bare": 3}
FRESH_EVERY = {"pandas": 5, "flask": 5, "flask-own": 5}
IMPORTS_EVERY = {"numpy, pandas": 5, "flask": 4}
# So many failures in a row, and a contestant is left out.
PATIENCE = 5


def measure(context, data):
    """Fills `data` as it goes, so that an interrupted run has its figures."""
    data |= {
        "rows": {},
        "floors": {},
        "imports": {},
        "true": {},
        "failed": {},
        "errors": {},
        "warm": 0,
        "rounds": 0,
    }
    scratch = tempfile.mkdtemp(prefix="lambent-bench-")
    try:
        with context.server() as server, Roster(data["failed"]) as roster:
            for key, kind in kinds.make(context, server, scratch).items():
                roster.add(key, kind)
                _check_interpreter(server, kind, data)
            for key, peer in _peers(context).items():
                roster.add(key, peer)
            _rounds(context, roster, data)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _peers(context):
    if not context.size.peers:
        return {}
    return {
        "crun": Container("crun", context.python),
        "crun-bare": Container("crun", context.python, "--cgroup-manager=disabled"),
        "runc": Container("runc", context.python),
        "gunicorn": Gunicorn(context.python, context.site),
        "workerd": Workerd(context.modules),
        "offline": ServerlessOffline(context.modules, "serverless-offline, Node handler", False),
        "ministack": Ministack(context.python, context.peers / "ministack"),
    }


def _rounds(context, roster, data):
    deadline = Deadline(context.size.starts_seconds)
    failures = dict.fromkeys(roster.ready, 0)
    for number in range(context.size.pairs):
        if number % 10 == 0:
            say(f"  round {number + 1}")
        # Those whose instances have to be retired first come twice, with everybody else in between.
        ours = [key for key, one in roster.ready.items() if isinstance(one, kinds.Kind)]
        others = [key for key in roster.ready if key not in ours and number % EVERY.get(key, 1) == 0]
        steps = [(key, _kept) for key in rotated(ours, number)]
        steps += [(key, _peer) for key in rotated(others, number)]
        steps += [(key, _crowded) for key in rotated(ours, number)]
        for key, step in steps:
            if deadline.passed():
                return
            contestant = roster.ready.get(key)
            if contestant is None:
                continue
            try:
                step(context, contestant, key, number, data)
                failures[key] = 0
            except Exception as reason:
                failures[key] += 1
                data["errors"][contestant.label] = data["errors"].get(contestant.label, 0) + 1
                if failures[key] >= PATIENCE:
                    roster.fail(key, contestant.label, f"left out after round {number + 1}: {reason}")
        data["rounds"] = number + 1


def _kept(_context, kind, key, number, data):
    """What is kept answers; in some rounds, what the imports cost that this spares."""
    kind.rest()
    floor = _floor(kind.floor, data)
    answer = kind.quiet()
    kind.imported = None
    modules = kind.imports and kind.imports[-1].rpartition("import ")[2]
    if modules and number % IMPORTS_EVERY[modules] == 0:
        pause()
        kind.imported = run_seconds(kind.imports)
        data["imports"].setdefault(modules, []).append(kind.imported)
    _note(data, kind.label, answer, floor, imported=kind.imported)


def _crowded(_context, kind, key, number, data):
    """Another one while the first is held, then one of a version that is new."""
    if kind.holds:
        kind.rest()
        floor = _floor(kind.floor, data)
        _note(data, kind.label, kind.crowded(), floor, imported=kind.imported)
    if number % FRESH_EVERY.get(key, 1) == 0:
        kind.renew()
        floor = _floor(kind.floor, data)
        _note(data, kind.label, kind.quiet(), floor)


def _peer(context, peer, key, _number, data):
    if isinstance(peer, Container):
        data["true"].setdefault(peer.true_label, []).append(peer.true())
    node = key in ("offline", "workerd")
    floor = _floor([context.node, "-e", "0"] if node else [context.python, "-I", "-c", "pass"], data)
    _note(data, peer.label, peer.cold(), floor, "cold")


def _floor(command, data):
    pause()
    seconds = run_seconds(command)
    name = " ".join([command[0].rpartition("/")[2], *command[1:]])
    data["floors"].setdefault(name, []).append(seconds)
    return seconds


def _note(data, label, answer, floor, start=None, imported=None):
    start = start or answer.start
    if start == "warm":
        data["warm"] += 1  # Not a start: it took an instance that was still there.
        return
    row = data["rows"].setdefault(f"{label}|{start}", {"label": label, "start": start, "pairs": []})
    row["pairs"].append((answer.first, floor))
    if imported:
        row.setdefault("imports", []).append((answer.first, imported))


def _check_interpreter(server, kind, data):
    """That what is called the interpreter start is a start of what the instance runs."""
    running = {processes.executable(process) for process in server.programs()}
    if kind.holds and processes.file_identity(kind.floor[0]) not in running:
        data["failed"][kind.floor[0]] = (
            f"no instance was seen running it: ratios may mean little ({kind.label})"
        )


# === the page ===


def render(context, data):
    """The section of the page."""
    rows = sorted(data["rows"].values(), key=lambda row: (_order(row), median(_ours(row))))
    lines = [_line(row) for row in rows]
    lines += [
        (f"`{name}`, start to end", "", len(values), *spread(values), "") for name, values in _bare(data)
    ]
    header = ("", "start", "n", "min", "median", "p90", "÷ interpreter start, median of pairs")
    return table(header, lines) + _remarks(data)


def plots(context, data):
    """One bar per row, from the fastest."""
    rows = [row for row in data["rows"].values() if row["pairs"]]
    named = [(_name(row), median(_ours(row)) * 1e3) for row in rows]
    named += [(name, median(values) * 1e3) for name, values in _bare(data)]
    ours = tuple(_name(row) for row in rows if row["start"] != "cold")
    yield "starts.svg", bars("Start to first byte, median (ms, log scale)", sorted(named, key=_second), ours)


def _name(row):
    label = row["label"].replace("`", "")
    return label if row["start"] == "cold" else f"{label}: {row['start']}"


def _second(pair):
    return pair[1]


def _bare(data):
    yield from data["floors"].items()
    for modules, values in data["imports"].items():
        yield f"python3 -I -c 'import {modules}'", values
    for label, values in data["true"].items():
        yield label.replace("`", "").replace(", start to end", ""), values


def _order(row):
    return (row["start"] == "cold", row["label"], LABELS.index(row["start"]) if row["start"] in LABELS else 9)


def _ours(row):
    return [ours for ours, _ in row["pairs"]]


def _line(row):
    start = "" if row["start"] == "cold" else row["start"]
    ratio = spell(median_ratio(row["pairs"]))
    return row["label"], start, len(row["pairs"]), *spread(_ours(row)), ratio


def _remarks(data):
    text = f"\n{data['rounds']} rounds."
    if data["warm"]:
        text += f" {data['warm']} calls met an instance that was still there and are not counted."
    for label, count in data["errors"].items():
        text += f" {count} calls of {label} failed."
    return text + "\n"
