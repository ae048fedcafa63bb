"""The main job, end to end, on embedded defaults: `make demo`.

Starts a server in a temporary directory, deploys `examples/`, calls each function from no instance and
warm, sends a burst, shows instances rising and falling to zero, prints what it measured, cleans up.
Needs nothing but Python's standard library. Usage: demo.py PATH-TO-LAMBENT
"""

import concurrent.futures
import http.client
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BARS = " ▁▂▃▄▅▆▇█"
# Exit status of `lambent serve` on a host that refuses namespaces (docs/errors/exit-status.md).
NAMESPACES_REFUSED = 77


def say(text=""):
    print(text, flush=True)


class World:
    """A server in a temporary directory, and the command line against it."""

    def __init__(self, binary, directory):
        self.binary, self.directory = binary, directory
        self.isolation = []
        self.start()

    def start(self):
        command = [self.binary, "serve", "--json", "--data-dir", os.path.join(self.directory, "data")]
        for option in ("--listen", "--gateway-listen", "--admin-listen"):
            command += [option, "127.0.0.1:0"]
        log = open(os.path.join(self.directory, "server.log"), "a+")
        self.server = subprocess.Popen(
            command + self.isolation, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        )
        line = self.server.stdout.readline()
        if line:
            self.ready = json.loads(line)
            return
        status = self.server.wait()
        log.seek(0)
        message = log.read().strip()
        if status == NAMESPACES_REFUSED and not self.isolation:
            say(message)
            say("this host refuses namespaces: the demo goes on in the reduced mode, --isolation=process\n")
            self.isolation = ["--isolation", "process"]
            return self.start()
        sys.exit(f"{message}\nthe server did not start (exit status {status})")

    def lambent(self, *arguments):
        command = [self.binary, "--endpoint", f"http://{self.ready['listen']}"]
        command += ["--admin", f"http://{self.ready['admin']}", *map(str, arguments)]
        # One pipe for both, so that talk and data come in the order in which a terminal shows them.
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if result.returncode:
            sys.exit(f"$ lambent {' '.join(map(str, arguments))}\n{result.stdout}")
        return result.stdout

    def get(self, name, path="/"):
        """One request over a new connection; returns (status, body, seconds until the last byte)."""
        host, port = self.ready["gateway"].rsplit(":", 1)
        begin = time.perf_counter()
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        connection.request("GET", path, headers={"Host": f"{name}.localhost:{port}"})
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response.status, body, time.perf_counter() - begin

    def waiting(self):
        """What the server keeps for the next starts: embers, spares, interpreters that stand by."""
        host, port = self.ready["admin"].rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        connection.request("GET", "/v1/status")
        status = json.load(connection.getresponse())
        connection.close()
        embers = [template for function in status["functions"] for template in function["templates"]
                  if template["state"] == "alive"]
        return len(embers) + sum(function["spares"] for function in status["functions"]) + status["standby"]

    def instances(self):
        """Live instances: the programs below the broker, counted from /proc, without those that only wait."""
        return max(0, len(programs_below(self.ready["broker_pid"])) - self.waiting())

    def stop(self):
        self.server.terminate()
        return self.server.wait(timeout=60)


def programs_below(broker):
    """Every process below the broker that is not one of the platform's own (`lambent-init`, `lambent-shell`, ...)."""
    children, ours = {}, set()
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat") as stat:
                name, fields = stat.read().split("(", 1)[1].rsplit(")", 1)
        except (FileNotFoundError, ProcessLookupError):
            continue
        state, parent = fields.split()[:2]
        children.setdefault(int(parent), []).append(int(entry))
        if state == "Z" or name.startswith("lambent"):
            ours.add(int(entry))
    found, below = set(), [broker]
    while below:
        process = below.pop()
        below += children.get(process, [])
        if process != broker and process not in ours:
            found.add(process)
    return found


def table(rows):
    widths = [max(len(str(row[column])) for row in rows) for column in range(len(rows[0]))]
    for index, row in enumerate(rows):
        cells = [str(cell).ljust(width) if not column else str(cell).rjust(width)
                 for column, (cell, width) in enumerate(zip(row, widths))]
        say("  " + "   ".join(cells))
        if not index:
            say("  " + "   ".join("─" * width for width in widths))


def wait_for_zero(world, seconds):
    deadline = time.monotonic() + seconds
    while world.instances():
        if time.monotonic() > deadline:
            sys.exit(f"instances did not go: {world.instances()} left after {seconds} s")
        time.sleep(0.05)


def burst(world, name, path, total, at_once):
    """Sends a burst and records how many instances live while it runs and after it, until zero."""
    seen, done = [], threading.Event()

    def watch():
        while not done.is_set():
            seen.append(world.instances())
            done.wait(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        results = list(pool.map(lambda _: world.get(name, path), range(total)))
    wait_for_zero(world, 60)
    done.set()
    watcher.join()
    return results, [*seen, world.instances()]


def sparkline(values, width=64):
    step = max(1, len(values) // width)
    values = [max(values[at:at + step]) for at in range(0, len(values) - 1, step)] + values[-1:]
    top = max(values) or 1
    return "".join(BARS[(value * (len(BARS) - 1) + top - 1) // top] for value in values)


def main():
    binary = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="lambent-demo-") as directory:
        world = World(binary, directory)
        try:
            run(world)
        finally:
            status = world.stop()
    say(f"\nserver stopped (exit status {status}); nothing is left of it.")


def run(world):
    say(f"server: AWS API on {world.ready['listen']}, functions on {world.ready['gateway']}, "
        f"isolation: {world.ready['isolation']}\n")
    functions = ["flask-hello", "python-handler", "node-handler"]
    for name in functions:
        say(f"$ lambent deploy examples/{name}")
        say(world.lambent("deploy", ROOT / "examples" / name, "--idle-seconds", 1, "--max-instances", 20).rstrip())
        say()

    rows = [("function", "answer", "from no instance", "warm (median of 50)")]
    for name in functions:
        wait_for_zero(world, 60)
        status, body, cold = world.get(name)
        if status != 200:
            sys.exit(f"{name} answered {status}: {body!r}\n{world.lambent('logs', name)}")
        warm = statistics.median(world.get(name)[2] for _ in range(50))
        answer = body.decode().strip().splitlines()[0][:32]
        rows.append((name, answer, f"{cold * 1000:.1f} ms", f"{warm * 1000:.2f} ms"))
    wait_for_zero(world, 60)

    total, at_once = 300, 50
    say(f"burst: {total} requests, {at_once} at once, to python-handler (each sleeps 100 ms, at most 20 instances)")
    results, seen = burst(world, "python-handler", "/?sleep=0.1", total, at_once)
    failed = [result for result in results if result[0] != 200]
    say(f"  instances over time: |{sparkline(seen)}| peak {max(seen)}, at the end {seen[-1]}")
    say(f"  {world.waiting()} processes wait for the next starts: embers, spares, interpreters (`lambent explain NAME`)\n")
    rows.append(("burst", f"{total - len(failed)} of {total} ok", f"{max(seen)} instances",
                 f"{statistics.median(result[2] for result in results) * 1000:.0f} ms"))
    table(rows)
    if failed:
        sys.exit(f"{len(failed)} requests of the burst failed, the first with {failed[0][:2]}")


if __name__ == "__main__":
    main()
