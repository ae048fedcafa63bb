"""`make bench`: Lambent against its peers, in one run, interleaved; writes docs/benchmarks.md.

Two questions: how long until the first byte when nothing runs, and what does one more request cost when
everything is warm. Each round asks every contestant both, in an order that rotates, so that what else the
machine does falls on all alike; ratios are taken within a round and their median is reported. Needs
nothing but Python's standard library, the Lambent binary and what scripts/bench-setup installs.

Usage: run.py --lambent PATH [--rounds N] [--requests N] [--output FILE]
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import client
import contestants
import processes
import report

HERE = Path(__file__).resolve().parent
WARM_UP_REQUESTS = 100


def main():
    """Runs the bench."""
    options = read_options()
    python = system_python()
    peers = Path(os.environ.get("LAMBENT_TEST_ENV", Path.home() / ".cache/lambent/test-env")) / "peers"
    server = contestants.LambentServer(str(Path(options.lambent).resolve()))
    all_contestants = {}
    results = report.Results(options)
    try:
        server.start()
        results.describe(server, python, peers)
        all_contestants = make_contestants(server, python, peers)
        for key, contestant in all_contestants.items():
            say(f"start {contestant.label}")
            contestant.start()
            results.add(key, contestant.label)
        run_rounds(all_contestants, python, results, options)
    finally:
        for contestant in all_contestants.values():
            contestant.stop()
        server.stop()
    text = results.page()
    Path(options.output).write_text(text)
    print(text)
    say(f"written to {options.output}")


def read_options():
    parser = argparse.ArgumentParser(description="Measure Lambent against its peers")
    parser.add_argument("--lambent", required=True, help="path of the lambent binary")
    parser.add_argument("--rounds", type=int, default=20, help="rounds of all contestants")
    parser.add_argument("--requests", type=int, default=1000, help="warm requests per contestant and round")
    parser.add_argument("--output", default=HERE.parent / "docs/benchmarks.md", help="the page to write")
    return parser.parse_args()


def make_contestants(server, python, peers):
    """Everyone, by the key that ratios are made with."""
    flask = contestants.EXAMPLES / "flask-hello"
    functions = HERE / "functions"
    modules = peers / "node_modules"
    function = contestants.LambentFunction
    return {
        "flask-shim": function(server, "Lambent, Flask by frames", "flask-shim", flask, "--server", "shim"),
        "flask-own": function(server, "Lambent, Flask's own server", "flask-own", flask, "--server", "own"),
        "gunicorn": contestants.Gunicorn(python, peers / "site"),
        "python": function(server, "Lambent, Python handler", "hello-python", functions / "hello-python"),
        "node": function(server, "Lambent, Node handler", "hello-node", functions / "hello-node"),
        "threads": contestants.ServerlessOffline(modules, "serverless-offline, worker threads", False),
        "in-process": contestants.ServerlessOffline(modules, "serverless-offline, in process", True),
    }


def run_rounds(all_contestants, python, results, options):
    for contestant in all_contestants.values():
        contestant.cold()  # Not counted: fills caches of files and byte code, for everyone once.
    names = list(all_contestants)
    for number in range(options.rounds):
        say(f"round {number + 1} of {options.rounds}")
        turn = number % len(names)
        order = names[turn:] + names[:turn]
        results.interpreter("python", bare_start([python, "-I", "-c", "pass"]))
        results.interpreter("node", bare_start(["node", "-e", "0"]))
        for name in order:
            results.cold(name, all_contestants[name].cold())
        for name in order:
            results.warm(name, *warm(all_contestants[name], options.requests))


def warm(contestant, requests):
    """Latencies of warm requests, CPU seconds per request, and memory at the end."""
    contestant.prepare_warm()
    connection = client.Connection(contestant.address, contestant.host)
    try:
        for _ in range(WARM_UP_REQUESTS):
            connection.get()
        before = processes.cpu_times(*contestant.roots)
        latencies = [connection.get() for _ in range(requests)]
        after = processes.cpu_times(*contestant.roots)
        memory = processes.memory_bytes(*contestant.roots)
    finally:
        connection.close()
        contestant.finish_warm()
    return latencies, processes.cpu_seconds(before, after) / requests, memory


def bare_start(command):
    """Seconds that an interpreter takes to do nothing: the floor of every start."""
    time.sleep(contestants.PAUSE_SECONDS)
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def system_python():
    """The interpreter that functions get: the system's. A version manager's shim would not be fair."""
    for candidate in ("/usr/bin/python3", shutil.which("python3")):
        if candidate and os.path.exists(candidate):
            return os.path.realpath(candidate)
    return sys.executable


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
