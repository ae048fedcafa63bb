"""One server from its start to its violent ends, with figures from the kernel's own files. Run inside the virtual
machine of scripts/test-vm, in the control group that the scenario is about; ends with status 1 at the first surprise."""

import atexit
import concurrent.futures
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

LAMBENT = "/payload/bin/lambent"
GROUPS = pathlib.Path("/sys/fs/cgroup")
INSTANCES = 5


def check(condition, what):
    if not condition:
        sys.exit(f"failed: {what}")


def eventually(condition, what, seconds=20):
    begun = time.monotonic()
    while not condition():
        check(time.monotonic() - begun < seconds, f"{what} within {seconds} s")
        time.sleep(0.01)
    return time.monotonic() - begun


class Server:
    """A server on a data directory, started in a control group."""

    def __init__(self, data, group):
        self.environment = {**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        self.log = open(f"{data}.log", "ab")
        options = ["--listen", "127.0.0.1:0", "--gateway-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
        # Once the first server has made itself a leaf, that is where the next ones are started (DelegateSubgroup=).
        leaf = group / "lambent-processes"
        enter = (leaf if leaf.exists() else group) / "cgroup.procs"
        begun = time.monotonic()
        self.process = subprocess.Popen(
            [LAMBENT, "serve", "--json", "--data-dir", data, *options],
            stdout=subprocess.PIPE, stderr=self.log, env=self.environment, preexec_fn=lambda: enter.write_text("0"),
        )
        line = self.process.stdout.readline()
        check(line, f"the server starts: {pathlib.Path(f'{data}.log').read_text()}")
        self.ready = json.loads(line)
        atexit.register(self.process.kill)
        self.seconds = time.monotonic() - begun
        self.environment["LAMBENT_ENDPOINT"] = "http://" + self.ready["listen"]
        self.environment["LAMBENT_ADMIN"] = "http://" + self.ready["admin"]

    def run(self, *words):
        done = subprocess.run([LAMBENT, *words], env=self.environment, capture_output=True, text=True)
        check(done.returncode == 0, f"lambent {' '.join(words)}: {done.stderr}")
        return done.stdout

    def get(self, path="/"):
        request = urllib.request.Request(f"http://{self.ready['gateway']}{path}")
        request.add_header("Host", "python-handler.localhost")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()

    def tree(self):
        """The directory in which its sandboxes' groups are."""
        found = trees(self.ready["name"])
        check(len(found) <= 1, f"one tree of groups, not {found}")
        return found[0] if found else None

    def sandboxes(self):
        """Groups in which something runs beside the init."""
        groups = [path for path in self.tree().iterdir() if path.is_dir()]
        return [path for path in groups if any(not is_init(pid) for pid in text(path / "cgroup.procs").split())]


def trees(name):
    """The directories of a broker, wherever they are; os.walk minds no directory that has just gone."""
    return [pathlib.Path(place) for place, _, _ in os.walk(GROUPS) if place.endswith(f"/lambent-{name}")]


def text(path):
    """A file of the kernel's; empty when what it is about has just gone."""
    try:
        return path.read_text()
    except OSError:
        return ""


def is_init(pid):
    """Whether a process is the first of its pid namespace, or gone."""
    lines = text(pathlib.Path(f"/proc/{pid}/status")).splitlines()
    ids = [line.split()[1:] for line in lines if line.startswith("NSpid:")]
    return not ids or (len(ids[0]) > 1 and ids[0][-1] == "1")


def group_of(process):
    return pathlib.Path(f"/proc/{process}/cgroup").read_text().strip().removeprefix("0::/")


def burst(server):
    """More at once than there may be instances; the most sandboxes that were there together: a look takes its time, so
    what is seen by two in a row was there between them."""
    most, before = 0, set()
    with concurrent.futures.ThreadPoolExecutor(50) as threads:
        requests = [threads.submit(server.get, "/?sleep=0.1") for _ in range(100)]
        while not all(request.done() for request in requests):
            now = set(server.sandboxes())
            most, before = max(most, len(now & before)), now
    check(all(b"Hello, World!" in request.result() for request in requests), "every request is answered")
    return most


def show_limits(group):
    read = lambda name: " ".join((group / name).read_text().split())
    for name in ("memory.max", "memory.swap.max", "cpu.max", "cpu.weight", "pids.max"):
        if (group / name).exists():
            print(f"  {name:<16} {read(name)}")
    print(f"  memory.current   {int(read('memory.current')) >> 10} KiB, peak {int(read('memory.peak')) >> 10} KiB")
    check(read("memory.max") == str(512 << 20), "the function's memory limit is the group's")
    check(read("cpu.max") != "max 100000" and read("pids.max") != "max", "CPU and processes are limited")


def nothing_left(name):
    def left():
        groups = trees(name)
        loops = list(pathlib.Path("/sys/block").glob("loop*/loop/backing_file"))
        return groups or loops or living(name)
    seconds = eventually(lambda: not left(), f"nothing is left ({name})")
    return f"{seconds * 1000:.0f} ms"


def living(name):
    return [path for path in pathlib.Path("/proc").glob("[0-9]*/cgroup") if f"lambent-{name}" in text(path)]


def life(home, group):
    data = home + "/data"
    server = Server(data, group)
    name = server.ready["name"]
    print(f"ready in {server.seconds * 1000:.0f} ms, isolation {server.ready['isolation']}")
    print(f"  server in        {group_of(server.process.pid)}")
    print(f"  broker in        {group_of(server.ready['broker_pid'])}")
    print(f"  sandboxes in     {server.tree().relative_to(GROUPS)}")
    server.run("deploy", home + "/python-handler", "--max-instances", str(INSTANCES), "--idle-seconds", "1")
    answer = json.loads(server.run("invoke", "python-handler", "--payload", '{"name": "Ada"}'))
    check(answer == {"message": "Hello, Ada!"}, f"the answer is {answer}")
    print(f"deployed and invoked: {answer['message']}")
    check(len(server.sandboxes()) == 1, "one request, one instance")
    show_limits(server.sandboxes()[0])
    eventually(lambda: not server.sandboxes(), "the idle instance ends")
    most = burst(server)
    print(f"burst: 100 requests, 50 at once, at most {most} instances of {INSTANCES} allowed")
    check(most == INSTANCES, "the burst reaches the cap and does not pass it")
    seconds = eventually(lambda: not server.sandboxes(), "idle instances end")
    print(f"zero instances {seconds:.1f} s after the burst")
    server.get()
    server.process.kill()
    server.process.wait()
    print(f"server killed: nothing left after {nothing_left(name)}")
    server = Server(data, group)
    check(b"Hello" in server.get(), "the next server on the data answers")
    os.kill(server.ready["broker_pid"], signal.SIGKILL)
    status = server.process.wait()
    check(status != 0, "the server ends with its broker, and says so")
    print(f"broker killed: server ended with status {status}, nothing left after {nothing_left(name)}")
    server = Server(data, group)
    check(b"Hello" in server.get(), "the next server on the data answers")
    for process in (server.process.pid, server.ready["broker_pid"]):
        os.kill(process, signal.SIGSTOP)
    for process in (server.ready["broker_pid"], server.process.pid):
        os.kill(process, signal.SIGKILL)
    server.process.wait()
    server = Server(data, group)
    check(b"Hello" in server.get(), "the next server on the data answers")
    print("both killed: the next server answers")
    server.process.terminate()
    check(server.process.wait() == 0, "an orderly end")
    print(f"stopped: nothing left after {nothing_left(name)}")


def main():
    own = GROUPS / group_of("self")
    # This process goes to one group and the server to another: groups with processes have no controlled children.
    for name in ("service", "test"):
        (own / name).mkdir(exist_ok=True)
    (own / "test" / "cgroup.procs").write_text("0")
    (own / "cgroup.subtree_control").write_text("+memory +cpu +pids")
    with tempfile.TemporaryDirectory() as home:
        shutil.copytree("/payload/python-handler", home + "/python-handler")
        life(home, own / "service")


main()
