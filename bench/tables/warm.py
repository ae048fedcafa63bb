"""Warm requests: latency and throughput at 1, 8 and 64 connections, at a fixed rate, and what each costs.

Every round asks every contestant the same, in an order that rotates; only the one that is measured runs
under load, the others are idle or ended. CPU time is that of the whole process tree, client excluded.
Lambent has as many instances as gunicorn has workers: one per processor.
"""

import shutil
import tempfile

import processes
from context import HERE, REPOSITORY, Deadline, Roster, build_bootstrap, rotated, say
from emulators import Ministack, ServerlessOffline
from figures import median, spell, table
from lambent import Function
from plot import lines
from servers import Echo, Gunicorn, Workerd

NAME = "warm"
CONNECTIONS = (1, 8, 64)
OPEN_CONNECTIONS = 64
OURS = ("python", "node", "flask", "provided")
# Its answers come in a 20th of a second each: more connections than these only wait for their timeouts.
MOST_CONNECTIONS = {"ministack": 8}


def measure(context, data):
    """Fills `data` as it goes."""
    data |= {"labels": {}, "closed": {}, "open": {}, "memory": {}, "shim": [], "failed": {}, "rounds": 0}
    if context.load is None:
        data["failed"]["all warm contestants"] = "the generator of load is not built (bench/load)"
        return
    scratch = tempfile.mkdtemp(prefix="lambent-bench-")
    try:
        with context.server() as server, Roster(data["failed"]) as roster:
            for key, contestant in _contestants(context, server, scratch).items():
                roster.add(key, contestant)
            data["labels"] = {key: contestant.label for key, contestant in roster.ready.items()}
            _rounds(context, roster, data)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _contestants(context, server, scratch):
    functions = HERE / "functions"
    most = ("--max-instances", str(context.processors))

    def function(label, name, directory, *options):
        # Kept: what is measured is the way of a request, not the way of an instance.
        return Function(server, f"Lambent, {label}", name, directory, *most, *options, idle_seconds=600)

    made = {
        "python": function("Python handler", "warm-python", functions / "hello-python"),
        "node": function("Node handler", "warm-node", functions / "hello-node"),
        "echo": Echo(context.load.program),
    }
    if not context.size.peers:
        return made
    made["flask"] = function("Flask by frames", "warm-flask", functions / "hello-flask", "--server", "shim")
    try:
        build_bootstrap(scratch)
        made["provided"] = function(
            "`provided` program", "warm-provided", scratch, "--runtime", "provided.al2023"
        )
    except Exception as reason:
        say(f"  no `provided` row: {reason}")
    threads = ServerlessOffline(context.modules, "serverless-offline, worker threads", False)
    return made | {
        "gunicorn": Gunicorn(context.python, context.site),
        "workerd": Workerd(context.modules),
        "threads": threads,
        "in-process": ServerlessOffline(context.modules, "serverless-offline, in process", True),
        "ministack": Ministack(context.python, context.peers / "ministack"),
    }


def _rounds(context, roster, data):
    deadline = Deadline(context.size.warm_seconds)
    for number in range(context.size.warm_rounds):
        for key in rotated(roster.ready, number * 3):
            if deadline.passed():
                return
            contestant = roster.ready.get(key)
            if contestant is None:
                continue
            say(f"  round {number + 1}: {contestant.label}")
            try:
                _one(context, contestant, key, data)
            except Exception as reason:
                roster.fail(key, contestant.label, f"stopped in round {number + 1}: {reason}")
            if key == "python":
                _shim(context, data)
        data["rounds"] = number + 1


def _one(context, contestant, key, data):
    contestant.prepare_warm()
    try:
        for connections in CONNECTIONS:
            if connections <= MOST_CONNECTIONS.get(key, connections):
                seen = context.load.closed(contestant, connections, context.size.load_seconds)
                data["closed"].setdefault(key, {}).setdefault(connections, []).append(_kept(seen))
        seen = context.load.open(
            contestant, context.size.open_rate, OPEN_CONNECTIONS, context.size.load_seconds * 2
        )
        data["open"].setdefault(key, []).append(_kept(seen))
        memory = processes.proportional_bytes(processes.tree(*contestant.roots))
        data["memory"].setdefault(key, []).append(memory)
    finally:
        contestant.finish_warm()


def _shim(context, data):
    """As many shims as instances, driven over their socket pairs: what the platform could reach at most."""
    command = [context.python, str(REPOSITORY / "runtimes/python/bootstrap.py")]
    handler = "lambda_function.lambda_handler"
    try:
        directory = HERE / "functions/hello-python"
        seen = context.load.shim(directory, handler, context.processors, context.size.load_seconds, command)
        data["shim"].append(_kept(seen))
    except Exception as reason:
        data["failed"]["shim driven directly"] = str(reason)[-300:]


def _kept(seen):
    return {
        "requests": seen.requests,
        "per_second": seen.per_second,
        "errors": seen.errors,
        "latency": seen.latency,
        "cpu": seen.cpu if seen.requests else None,
    }


# === the page ===


def figure(data, key, connections, what):
    """The median over rounds of one figure of the closed loop."""
    found = data["closed"].get(key, {}).get(connections, [])
    return median([_pick(one, what) for one in found if _pick(one, what) is not None])


def open_figure(data, key, what):
    """The same of the open loop."""
    return median([_pick(one, what) for one in data["open"].get(key, []) if _pick(one, what) is not None])


def _pick(seen, what):
    if not seen["requests"]:
        return None
    return seen["latency"][what] if what in seen["latency"] else seen[what]


def render(context, data):
    """The section of the page."""
    latency = [f"p50 / p99 (µs), {n}" for n in CONNECTIONS]
    header = ("", *(f"requests/s, {n}" for n in CONNECTIONS), *latency, "errors")
    text = "As fast as answers come, at so many connections:\n\n"
    text += table(header, [_closed_line(data, key) for key in data["labels"]])
    header = ("", *(f"CPU µs per request, {n}" for n in CONNECTIONS), "memory of all it runs (PSS, MiB)")
    text += "\n" + table(header, [_cost_line(data, key) for key in data["labels"]])
    text += f"\nAt a fixed rate of {context.size.open_rate} requests a second, latency from when each was due:\n\n"
    rows = [_open_line(data, key, label) for key, label in data["labels"].items()]
    text += table(("", "min (µs)", "p50", "p90", "p99", "CPU µs/req", "errors"), rows)
    if data["shim"]:
        best = median([one["per_second"] for one in data["shim"]])
        cpu = median([one["cpu"] for one in data["shim"]])
        text += f"\nThe Python shim driven over its socket pair without the platform, {context.processors} at once: "
        text += f"{spell(best, 0)} requests a second, {spell(cpu, 0)} µs of CPU each.\n"
    return text + f"\n{data['rounds']} rounds.\n"


def plots(context, data):
    """Latency and throughput over connections."""
    for what, name, title, unit in (
        ("p50", "warm-latency.svg", "Latency of warm requests, median", "µs"),
        ("per_second", "warm-throughput.svg", "Throughput of warm requests", "per second"),
    ):
        series = {}
        for key, label in data["labels"].items():
            points = [(n, figure(data, key, n, what)) for n in CONNECTIONS]
            series[label.replace("`", "")] = [point for point in points if point[1]]
        yield name, lines(title, series, "connections", unit)


def _closed_line(data, key):
    throughput = [spell(figure(data, key, n, "per_second"), 0) for n in CONNECTIONS]
    latency = [
        f"{spell(figure(data, key, n, 'p50'), 0)} / {spell(figure(data, key, n, 'p99'), 0)}"
        for n in CONNECTIONS
    ]
    errors = sum(one["errors"] for runs in data["closed"].get(key, {}).values() for one in runs)
    return (data["labels"][key], *throughput, *latency, errors)


def _cost_line(data, key):
    cpu = [spell(figure(data, key, n, "cpu"), 0) for n in CONNECTIONS]
    return (data["labels"][key], *cpu, spell(median(data["memory"].get(key, [])), 0, 1 / 2**20))


def _open_line(data, key, label):
    latency = [spell(open_figure(data, key, what), 0) for what in ("min", "p50", "p90", "p99")]
    errors = sum(one["errors"] for one in data["open"].get(key, []))
    return (label, *latency, spell(open_figure(data, key, "cpu"), 0), errors)
