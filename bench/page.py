"""Writes docs/benchmarks.md and its plots from what the tables have measured. Measures nothing itself.

Works with whatever there is: a table that was not asked for or did not finish is named as such.
"""

import machine
import promises
from figures import table

INTRODUCTION = """# Benchmarks

<!-- Written by bench/run.py (`make bench`). Do not edit. -->

Lambent beside its peers, on one machine, in one run: how long until the first byte when nothing runs, what one
more request costs when everything is warm, bursts, and memory. Figures are what they are; those that do not
flatter us are in the tables like the others. The machine was not quiet for our sake: minima are the quiet cost,
medians an upper bound, and ratios are taken within interleaved pairs or at least within the run.
"""

PROMISES = """The engine's promises that are ratios or sizes, judged by this run's medians (bursts by the worst run). `×` is
of an interpreter start.
"""

METHOD = """## How it is measured

* **Interleaved.** Rounds go through all contestants in an order that rotates, so that what else the machine does
  falls on all alike. Each table has a Lambent server of its own.
* **A start** is timed from opening a connection (or, for a peer that is a process, from starting it on a listener
  that is already open, as socket activation does) to the first byte of the answer, 50 ms after the start before
  it: tight loops flatter. *Interpreter start* is `-I -c pass` of the binary that the instances run, started
  right before each start; the ratio is taken in that pair, and the table has the median of ratios.
* **Labels.** *spare*: a fork that was placed and frozen beforehand; *ember*: a fork of the process that has run the
  function's init; *standby*: an interpreter that waited without knowing a function; *bare*: none of these. They are
  what the answer's `x-lambent-start` says. Spares and embers come from functions whose instances have been
  retired, or while a slow request holds what was kept; bare and standby from a version published a moment before.
* **Warm** requests come from `bench/load`, one thread per connection, each kept alive. CPU time is that of the whole
  tree of the contestant's processes (server, broker, instances), from `/proc/*/task/*/schedstat`; the client counts
  for nobody. Lambent has as many instances per function as gunicorn has workers: one per processor; its memory in
  that table is that of the server, its pools and all functions called so far, as they share one server. In the open
  loop, latency runs from when a request was due, and answers after the end do not count.
* **Memory** is read from `/proc/*/smaps_rollup` and `/proc/*/status`. Instances are counted there, too, never by
  asking Lambent.
* **Peers.** Their settings, each with why they are its best: [bench/peers](../bench/peers). serverless-offline and
  workerd run JavaScript, gunicorn runs the same Flask application, crun and runc run a Python server of ten lines
  in a root made of the host's read-only `/usr`, as Lambent's is. ministack, an emulator of AWS's services, runs
  functions without Docker by its `local` executor: a kept subprocess for each concurrent call, without a sandbox,
  which unpacks the code at each start; it is measured for what that gives.

Repeat it with `make bench` (a quarter of an hour) or `make bench BENCH=--quick` (four minutes);
`BENCH='--only starts,warm'` picks tables, `BENCH='--raw FILE'` writes every figure as JSON.
"""

TITLES = {
    "starts": "Starts to first byte (ms)",
    "warm": "Warm requests",
    "burst": "Bursts",
    "memory": "Memory",
    "sustained": "Starts per second, sustained",
    "thaw": "Freeze and thaw",
}


def write(context, tables, results, path, seconds, whole):
    """Writes the page and the plots; gives the page's text."""
    parts = [INTRODUCTION]
    if not whole:
        parts.append("**This run was cut short or picked tables: what is missing was not measured.**\n")
    parts += ["## Promises\n", PROMISES, promises.render(results)]
    images = path.parent / "images"
    images.mkdir(parents=True, exist_ok=True)
    for table_module in tables:
        data = results.get(table_module.NAME)
        parts.append(f"## {TITLES[table_module.NAME]}\n")
        if data is None:
            parts.append("Not measured in this run.\n")
            continue
        parts += _section(context, table_module, data, images)
    parts.append(METHOD)
    parts += ["## The machine and the versions\n", table(("", ""), machine.facts(context, seconds))]
    text = "\n".join(parts)
    path.write_text(text)
    return text


def _section(context, module, data, images):
    try:
        parts = [module.render(context, data)]
        for name, drawing in module.plots(context, data):
            (images / f"bench-{name}").write_text(drawing)
            parts.append(f"![{TITLES[module.NAME]}](images/bench-{name})\n")
    except Exception as reason:  # Half a table of an interrupted run may lack what its page needs.
        parts = [f"Not enough was measured for this table ({type(reason).__name__}: {reason}).\n"]
    if data.get("failed"):
        parts.append(table(("not, or not all, in the table", "why"), data["failed"].items()))
    return parts
