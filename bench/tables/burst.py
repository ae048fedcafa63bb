"""Bursts: everybody at once, to a function of which nothing runs, whose handler waits for 100 ms.

100 first calls without a limit of its own, and 1,000 with at most 100 instances. Measured from the
moment at which all connections, opened before, send: the time to the last answer, errors, and how many
instances there were, counted in `/proc` when the last answer has come (embers, which have forked others,
and frozen spares are not instances).
"""

import processes
from context import HERE, Roster, say
from emulators import Ministack, ServerlessOffline
from figures import median, spell, table
from lambent import Function

NAME = "burst"
SHAPES = ((100, "100 first calls"), (1000, "1,000 first calls, at most 100 instances"))
PEER_CONNECTIONS = 100
MOST_INSTANCES = 100


def measure(context, data):
    """Fills `data` as it goes."""
    data |= {"rows": {}, "failed": {}}
    if context.load is None:
        data["failed"]["bursts"] = "the generator of load is not built (bench/load)"
        return
    for number in range(context.size.bursts):
        for calls, name in SHAPES:
            try:
                _lambent(context, calls, name, number, data)
            except Exception as reason:
                data["failed"][f"Lambent, {name}"] = str(reason)[-300:]
    if context.size.peers:
        _peers(context, data)


def _lambent(context, calls, name, number, data):
    say(f"  Lambent, {name}, {number + 1}")
    with context.server() as server:
        tags = {"idle_seconds": 600, "max_instances": MOST_INSTANCES}
        function = Function(server, "", "sleep", HERE / "functions/sleep-python", **tags)
        function.start()
        # Fresh in the first round: nothing of the function is there. Then with what is kept of it.
        if number:
            function.call()
        seen = context.load.burst(function, calls)
        programs = processes.without_embers(server.programs())
        instances = len(programs) - processes.frozen(programs)
    kept = "kept ember or instance" if number else "nothing kept"
    _note(data, f"Lambent, {name}", kept, seen, instances)


def _peers(context, data):
    with Roster(data["failed"]) as roster:
        roster.add("offline", ServerlessOffline(context.modules, "serverless-offline", False))
        roster.add("ministack", Ministack(context.python, context.peers / "ministack"))
        for key, peer in list(roster.ready.items()):
            say(f"  {peer.label}, {PEER_CONNECTIONS} first calls")
            peer.path = getattr(peer, "sleep_path", "/sleep")
            try:
                seen = context.load.burst(peer, PEER_CONNECTIONS)
                _note(data, f"{peer.label}, {PEER_CONNECTIONS} first calls", "nothing kept", seen, None)
            except Exception as reason:
                roster.fail(key, peer.label, reason)


def _note(data, label, kept, seen, instances):
    row = data["rows"].setdefault(f"{label}|{kept}", {"label": label, "kept": kept, "runs": []})
    row["runs"].append(
        {
            "last": seen.seconds,
            "p50": seen.latency["p50"] / 1e6,
            "answers": seen.requests,
            "errors": seen.errors,
            "instances": instances,
        }
    )


# === the page ===


def render(_context, data):
    """The section of the page."""
    header = ("", "before", "last answer (s)", "median answer (s)", "answers", "errors", "most instances")
    return table(header, [_line(row) for row in data["rows"].values()])


def plots(_context, _data):
    """None."""
    return ()


def _line(row):
    runs = row["runs"]
    last, middle = (spell(median([run[what] for run in runs]), 2) for what in ("last", "p50"))
    instances = [run["instances"] for run in runs if run["instances"] is not None]
    errors, answers = sum(run["errors"] for run in runs), sum(run["answers"] for run in runs)
    return row["label"], row["kept"], last, middle, answers, errors, max(instances) if instances else "–"
