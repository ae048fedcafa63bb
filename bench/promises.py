"""What the engine promised as a ratio or a size, beside what this run has measured. Nothing is left out.

A promise whose figures this run does not have is "not measured": never held, never quietly dropped.
"""

from figures import NOTHING, median, median_ratio, spell, table
from tables import warm

MIB = 2**20
HANDLER, NODE = "Lambent, Python handler", "Lambent, Node handler"
PANDAS = "Lambent, Python handler with numpy and pandas"
FRAMES, OWN = "Lambent, Flask by frames", "Lambent, Flask on its own socket (`app.run()`)"


def render(results):
    """The table."""
    rows = []
    for name, function in (("starts", _starts), ("warm", _warm), ("burst", _burst), ("memory", _memory)):
        rows += function(results.get(name) or {})
    return table(("promise", "measured", "holds?"), rows)


def _line(text, value, limit, unit="", at_least=False, digits=2):
    if value is None:
        return text, NOTHING, "not measured"
    holds = value >= limit if at_least else value <= limit
    return text, f"{spell(value, digits)}{unit}", "yes" if holds else "**no**"


# === starts ===


def _starts(data):
    rows = data.get("rows", {})

    def ratio(label, start):
        return median_ratio(rows.get(f"{label}|{start}", {}).get("pairs", []))

    def imports(label, start):
        return median_ratio(
            [(theirs, ours) for ours, theirs in rows.get(f"{label}|{start}", {}).get("imports", [])]
        )

    lines = [
        _line("numpy+pandas from ember ≤ 0.5 × interpreter start", ratio(PANDAS, "ember"), 0.5),
        _line("Flask by frames from ember ≤ 0.5 ×", ratio(FRAMES, "ember"), 0.5),
        _line(
            "numpy+pandas from ember ≥ 20 × faster than importing them",
            imports(PANDAS, "ember"),
            20,
            " ×",
            True,
            1,
        ),
        _line(
            "Flask by frames from ember ≥ 20 × faster than importing it",
            imports(FRAMES, "ember"),
            20,
            " ×",
            True,
            1,
        ),
        _line("`app.run()` on its own socket from ember ≤ 1.0 ×", ratio(OWN, "ember"), 1.0),
    ]
    spares = {label: ratio(label, "spare") for label in (HANDLER, PANDAS, FRAMES, OWN)}
    lines += [
        _line(f"spare ≤ 0.15 ×: {label}", found, 0.15)
        for label, found in spares.items()
        if found or label != OWN
    ]
    bare = "bare (no process of that language), handler without imports ≤ 1.5 ×"
    lines.append(_line(bare, ratio(HANDLER, "bare"), 1.5))
    lines.append(_line("Node standby ≤ 0.5 × `node -e 0`", ratio(NODE, "standby"), 0.5))
    return lines


# === warm ===


def _warm(data):
    if not data.get("closed"):
        return [_line("warm requests", None, 0)]
    lines = [
        _line(
            f"CPU per request ÷ workerd's ≤ 1, {label}, {_connections(n)}",
            _over(data, key, "workerd", n, "cpu"),
            1,
        )
        for key, label in (("python", "Python handler"), ("node", "Node handler"))
        for n in warm.CONNECTIONS
    ]
    shim = median([one["per_second"] for one in data["shim"]])
    best = _best(data, "python")
    share = best / shim if best and shim else None
    lines.append(_line("throughput ≥ 80 % of the shim driven directly", share, 0.8, at_least=True))
    flask, gunicorn = _best(data, "flask"), _best(data, "gunicorn")
    against = flask / gunicorn if flask and gunicorn else None
    lines.append(_line("the same Flask application ≥ 1.0 × gunicorn's throughput", against, 1.0, " ×", True))
    p50, p99 = (_milliseconds(warm.open_figure(data, "python", what)) for what in ("p50", "p99"))
    echo = _milliseconds(warm.open_figure(data, "echo", "p99"))
    lines.append(_line("latency p50 at a fixed rate, all of it taken as overhead, ≤ 0.3 ms", p50, 0.3, " ms"))
    lines.append(_line("latency p99 at a fixed rate ≤ 2 ms", p99, 2.0, " ms"))
    over = p99 / echo if p99 and echo else None
    lines.append(_line("latency p99 at a fixed rate ≤ 3 × the bare hyper echo's", over, 3.0, " ×"))
    return lines


def _connections(number):
    return "1 connection" if number == 1 else f"{number} connections"


def _over(data, ours, theirs, connections, what):
    one, other = (warm.figure(data, key, connections, what) for key in (ours, theirs))
    return one / other if one and other else None


def _best(data, key):
    found = [warm.figure(data, key, n, "per_second") for n in warm.CONNECTIONS]
    return max((value for value in found if value), default=None)


def _milliseconds(microseconds):
    return None if microseconds is None else microseconds / 1e3


# === bursts and memory ===


def _burst(data):
    runs = [
        run
        for row in data.get("rows", {}).values()
        for run in row["runs"]
        if row["label"].startswith("Lambent, 1,000")
    ]
    if not runs:
        return [_line("1,000 simultaneous first calls", None, 0)]
    text = "1,000 simultaneous first calls of a 100 ms handler, at most 100 instances"
    return [
        _line(
            f"{text}: last answer ≤ 2.0 s (the worst of {len(runs)} runs)",
            max(run["last"] for run in runs),
            2,
            " s",
        ),
        _line(f"{text}: errors and missing answers: 0", sum(_missing(run) for run in runs), 0, digits=0),
        _line(f"{text}: ≤ 100 instances", max(run["instances"] for run in runs), 100, digits=0),
    ]


def _missing(run):
    """Refused, broken or never answered."""
    return max(run["errors"], 1000 - run["answers"])


def _memory(data):
    embers, idle = data.get("embers") or {}, data.get("idle") or {}
    count = embers.get("programs", 0)
    each = embers["all_own"] / count / MIB if count else None
    functions = embers.get("functions", 200)
    lines = [
        _line(
            f"{functions} embers alive at once: ≤ 3 MiB each, everything below the broker included",
            each,
            3,
            " MiB",
        )
    ]
    alive = f"{functions} embers alive at once: as many processes"
    lines.append(_line(alive, embers.get("programs"), functions, at_least=True, digits=0))
    deployed = f"{idle.get('functions', 1000)} functions deployed and idle"
    programs = idle.get("programs") if idle else None
    lines.append(_line(f"{deployed}: 0 function processes", programs, 0, digits=0))
    server = idle["server"] / MIB if idle else None
    lines.append(_line(f"{deployed}: server ≤ 60 MiB resident", server, 60, " MiB", digits=1))
    return lines
