"""Freeze and thaw: the first byte of an idle instance that was frozen, and of the same one right after.

That it was frozen is read from its group in the kernel before the call. Interleaved with bare starts of
the interpreter, like every start.
"""

import time

import processes
from context import HERE, Deadline, say
from figures import median_ratio, spell, spread, table
from lambent import Function
from launching import pause, run_seconds

NAME = "thaw"
FUNCTIONS = 10
FREEZE_SECONDS = 5


def measure(context, data):
    """Fills `data` as it goes."""
    data |= {"thawed": [], "next": [], "floors": [], "not_frozen": 0, "failed": {}}
    try:
        with context.server() as server:
            functions = [
                Function(
                    server, "", f"thaw-{number}", HERE / "functions/hello-python", idle_seconds=600, freeze=1
                )
                for number in range(FUNCTIONS)
            ]
            for function in functions:
                function.start()
                function.call()
            _rounds(context, server, functions, data)
    except Exception as reason:
        data["failed"]["Lambent, thaw"] = str(reason)[-300:]


def _rounds(context, server, functions, data):
    deadline = Deadline(context.size.thaws * 0.6 + FREEZE_SECONDS)
    while len(data["thawed"]) < context.size.thaws and not deadline.passed():
        frozen = _await_frozen(server, len(functions))
        say(f"  {frozen} frozen")
        if frozen < len(functions):
            data["not_frozen"] += len(functions) - frozen
            if not frozen:
                raise RuntimeError(f"nothing was frozen within {FREEZE_SECONDS} s of quiet")
        for function in functions:
            pause()
            floor = run_seconds([context.python, "-I", "-c", "pass"])
            pause()
            data["thawed"].append(function.call().first)
            data["floors"].append(floor)
            pause()
            data["next"].append(function.call().first)


def _await_frozen(server, count):
    deadline = time.monotonic() + FREEZE_SECONDS
    while True:
        frozen = processes.frozen(server.programs())
        if frozen >= count or time.monotonic() > deadline:
            return frozen
        time.sleep(0.1)


# === the page ===


def render(_context, data):
    """The section of the page."""
    ratio = spell(median_ratio(list(zip(data["thawed"], data["floors"], strict=False))))
    rows = [
        (
            "frozen instance: thaw and first byte",
            len(data["thawed"]),
            *spread(data["thawed"], digits=2),
            ratio,
        ),
        ("the same instance 50 ms later", len(data["next"]), *spread(data["next"], digits=2), ""),
        ("`python3 -I -c pass`, start to end", len(data["floors"]), *spread(data["floors"], digits=2), ""),
    ]
    text = table(("", "n", "min (ms)", "median", "p90", "÷ interpreter start"), rows)
    if data["not_frozen"]:
        text += f"\n{data['not_frozen']} calls may have met an instance that was not frozen.\n"
    return text


def plots(_context, _data):
    """None."""
    return ()
