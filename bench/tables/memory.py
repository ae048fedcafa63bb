"""Memory: per idle and frozen instance, per ember, and the server's with many functions that never run.

All from `/proc`. An instance is counted as the kernel sees it: a process below the broker that is not the
broker's own file. Proportional set size (PSS) shares what is shared; an ember's own memory is its private
pages, clean and dirty, and its page tables.
"""

import threading
import time

import kinds
import processes
from context import HERE, say
from figures import table
from fleet import Fleet
from lambent import RETIRED_AFTER_SECONDS, Function

NAME = "memory"
MIB = 2**20
# What a freeze may take after its second of quiet.
FREEZE_SECONDS = 5


def measure(context, data):
    """Fills `data` as it goes."""
    data |= {"instances": {}, "embers": {}, "idle": {}, "failed": {}}
    for name, part in (
        ("instances", _instances),
        ("functions that never run", _deployed),
        ("embers", _embers),
    ):
        say(f"  {name}")
        try:
            part(context, data)
        except Exception as reason:
            data["failed"][f"Lambent, memory of {name}"] = str(reason)[-300:]


def _instances(context, data):
    functions = HERE / "functions"
    sorts = {"Python handler": (functions / "hello-python",), "Node handler": (functions / "hello-node",)}
    if context.size.peers:
        sorts["Python handler with numpy and pandas"] = (functions / "pandas-python",)
        sorts["Flask by frames"] = (functions / "hello-flask", "--server", "shim")
    for label, (directory, *options) in sorts.items():
        with context.server() as server:
            function = Function(
                server, label, "memory", directory, *options, idle_seconds=600, freeze=1, concurrency=1
            )
            function.start()
            function.call()
            time.sleep(0.5)
            before = _total(server)
            _crowd(function, context.size.instances)
            time.sleep(0.3)
            busy = _total(server)
            data["instances"][label] = {"idle": _each(before, busy), "instances": busy[0] - before[0]}
            frozen = _await_frozen(server, busy[0])
            data["instances"][label] |= {"frozen": _each(before, _total(server)), "frozen_count": frozen}


def _crowd(function, count):
    """So many requests at once that waiting for a place takes longer than any start."""
    threads = [threading.Thread(target=function.call, args=(kinds.HOLD,)) for _ in range(8 * count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _await_frozen(server, count):
    deadline = time.monotonic() + FREEZE_SECONDS
    while processes.frozen(server.programs()) < count and time.monotonic() < deadline:
        time.sleep(0.1)
    return processes.frozen(server.programs())


def _total(server):
    programs = server.programs()
    return len(programs), processes.proportional_bytes(programs)


def _each(before, after):
    """Bytes per process that came in between."""
    return (after[1] - before[1]) / (after[0] - before[0]) if after[0] > before[0] else None


def _deployed(context, data):
    with context.server() as server:
        fleet = Fleet(server, "hello-python", runtime(context), context.size.functions)
        empty = processes.resident_bytes(server.ready["pid"])
        fleet.create(reachable=False)
        time.sleep(1)
        data["idle"] = {
            "functions": context.size.functions,
            "empty": empty,
            "server": processes.resident_bytes(server.ready["pid"]),
            "broker": processes.resident_bytes(server.ready["broker_pid"]),
            "programs": len(server.programs()),
            "standbys": _commands(server),
        }


def _embers(context, data):
    with context.server() as server:
        fleet = Fleet(server, "hello-python", runtime(context), context.size.embers, idle_seconds=1)
        fleet.create()
        nothing = server.programs()
        for name in fleet.names:
            fleet.call(name)
        time.sleep(RETIRED_AFTER_SECONDS + 1)
        kept = [process for process in server.programs() if process not in nothing]
        spares = [process for process in kept if processes.frozen([process])]
        programs = [process for process in kept if process not in spares]
        below = [
            process for process in processes.tree(server.ready["broker_pid"])[1:] if process not in spares
        ]
        data["embers"] = {
            "functions": context.size.embers,
            "programs": len(programs),
            "spares": len(spares),
            "spares_own": processes.own_bytes(spares),
            "own": processes.own_bytes(programs),
            "pss": processes.proportional_bytes(programs),
            "all_own": processes.own_bytes(below),
        }


def runtime(context):
    """The identifier of the runtime whose version the host has."""
    import subprocess

    command = [context.python, "-I", "-c", "import sys; print('python%d.%d' % sys.version_info[:2])"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _commands(server):
    """What runs although nothing was called: interpreters that wait for a function."""
    names = []
    for process in server.programs():
        try:
            with open(f"/proc/{process}/comm") as file:
                names.append(file.read().strip())
        except OSError:
            continue
    return sorted(names)


# === the page ===


def render(_context, data):
    """The section of the page."""
    rows = [
        (label, found["instances"], _mib(found["idle"]), found["frozen_count"], _mib(found["frozen"]))
        for label, found in data["instances"].items()
    ]
    header = ("idle instances", "n", "PSS each (MiB)", "of these frozen", "PSS each (MiB)")
    text = table(header, rows)
    embers, idle = data["embers"], data["idle"]
    if embers:
        text += f"\n{embers['functions']} functions called once and their instances retired: {embers['programs']} "
        text += f"embers and {embers['spares']} frozen spares are kept. Private pages and page tables of an ember: "
        text += f"{_mib(_per(embers, 'own'))} MiB, {_mib(_per(embers, 'all_own'))} MiB with everything else below "
        text += "the broker (its inits and pools) divided among them; PSS "
        text += (
            f"{_mib(_per(embers, 'pss'))} MiB. The spares have {_mib(embers['spares_own'])} MiB together.\n"
        )
    if idle:
        waiting = f" ({', '.join(idle['standbys'])})" if idle["standbys"] else ""
        text += f"\n{idle['functions']} functions deployed and never called: the server has {_mib(idle['server'])} MiB "
        text += f"resident ({_mib(idle['empty'])} before), its broker {_mib(idle['broker'])}; "
        text += f"{idle['programs']} other processes{waiting}.\n"
    return text


def plots(_context, _data):
    """None."""
    return ()


def _per(embers, what):
    return embers[what] / max(1, embers["programs"])


def _mib(value):
    return "–" if value is None else f"{value / MIB:.1f}"
