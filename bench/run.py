"""`make bench`: Lambent against its peers, in one run, interleaved; writes docs/benchmarks.md.

Runs the tables one after the other and writes the page after each, so that an interrupted run leaves what
it has measured. A contestant that fails is a row, a table that fails is a note; neither ends the run.
Needs nothing but Python's standard library, the Lambent binary, the generator of load beside it, and what
scripts/bench-setup installs.

Usage: run.py --lambent PATH [--quick | --smoke] [--only starts,warm,...] [--output FILE]
"""

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path

import page
from context import FULL, HERE, QUICK, SMOKE, Context, say
from load import Load
from tables import burst, memory, starts, sustained, thaw, warm

TABLES = (starts, warm, burst, memory, sustained, thaw)


def main():
    """Runs the bench; exit status 1 where it was interrupted or, in the smoke form, anything went wrong."""
    options = read_options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    context = make_context(options)
    asked = options.only.split(",") if options.only else [module.NAME for module in TABLES]
    results, begin, whole = {}, time.monotonic(), False
    try:
        for module in TABLES:
            if module.NAME in asked:
                run_table(context, module, results)
                save(context, results, options, begin, len(results) == len(TABLES))
        whole = len(results) == len(TABLES)
    except KeyboardInterrupt:
        say("interrupted: writing what there is")
        return 1
    finally:
        text = save(context, results, options, begin, whole)
    print(text)
    say(f"written to {options.output} after {(time.monotonic() - begin) / 60:.1f} minutes")
    return options.smoke and any(data.get("failed") for data in results.values())


def run_table(context, module, results):
    """One table; what it has measured is there even if it fails."""
    say(page.TITLES[module.NAME])
    data = results[module.NAME] = {"failed": {}}
    try:
        module.measure(context, data)
    except Exception as reason:
        data["failed"]["the table"] = (
            f"stopped: {type(reason).__name__}: {' '.join(str(reason).split())[:300]}"
        )
        say(f"  the table stopped: {reason}")


def save(context, results, options, begin, whole):
    """The page, and on request the raw figures."""
    if options.raw:
        Path(options.raw).write_text(json.dumps(results))
    return page.write(context, TABLES, results, Path(options.output), time.monotonic() - begin, whole)


def make_context(options):
    """The programs and how much is measured."""
    size = SMOKE if options.smoke else QUICK if options.quick else FULL
    binary = Path(options.lambent).resolve()
    program = Path(options.load or binary.parent / "lambent-load")
    load = Load(str(program)) if program.exists() else None
    peers = Path(os.environ.get("LAMBENT_TEST_ENV", Path.home() / ".cache/lambent/test-env")) / "peers"
    return Context(str(binary), size, peers, load)


def read_options():
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure Lambent against its peers")
    parser.add_argument("--lambent", required=True, help="path of the lambent binary")
    parser.add_argument("--load", help="path of the generator of load [default: beside the binary]")
    parser.add_argument("--quick", action="store_true", help="fewer of everything: four minutes")
    parser.add_argument(
        "--smoke", action="store_true", help="no peers, a minute: whether the bench itself works"
    )
    parser.add_argument(
        "--only", help="tables to measure, by comma: " + ",".join(module.NAME for module in TABLES)
    )
    parser.add_argument("--raw", help="write all figures there as JSON")
    parser.add_argument("--output", default=HERE.parent / "docs/benchmarks.md", help="the page to write")
    options = parser.parse_args()
    names = [module.NAME for module in TABLES]
    unknown = [name for name in (options.only or "").split(",") if name and name not in names]
    if unknown:
        parser.error(f"unknown table `{unknown[0]}`: the tables are {', '.join(names)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
