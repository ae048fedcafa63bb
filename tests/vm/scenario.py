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
    """A server on its data directory, started beside this process and then in a group of its own making."""

    def __init__(self, data):
        self.environment = {**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        self.log = open(f"{data}.log", "ab")
        options = ["--listen", "127.0.0.1:0", "--gateway-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
        begun = time.monotonic()
        self.process = subprocess.Popen(
            [LAMBENT, "serve", "--json", "--data-dir", data, *options],
            stdout=subprocess.PIPE, stderr=self.log, env=self.environment, preexec_fn=self.enter,
        )
        line = self.process.stdout.readline()
        check(line, f"the server starts: {pathlib.Path(f'{data}.log').read_text()}")
        self.ready = json.loads(line)
        atexit.register(self.process.kill)
        self.seconds = time.monotonic() - begun
        self.environment["LAMBENT_ENDPOINT"] = "http://" + self.ready["listen"]
        self.environment["LAMBENT_ADMIN"] = "http://" + self.ready["admin"]

    def enter(self):
        """A group of its own, as a service has it, below the given one."""
        own = GROUPS / SERVICE
        (own / "cgroup.procs").write_text("0")

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
        found = list(GROUPS.glob(f"**/lambent-{self.ready['name']}"))
        check(len(found) <= 1, f"one tree of groups, not {found}")
        return found[0] if found else None

    def sandboxes(self):
        """Groups in which something runs beside the init."""
        groups = [path for path in self.tree().iterdir() if path.is_dir()]
        return [path for path in groups if len((path / "cgroup.procs").read_text().split()) > 1]


def group_of(process):
    return pathlib.Path(f"/proc/{process}/cgroup").read_text().strip().removeprefix("0::/")


def burst(server):
    """More at once than there may be instances; the most sandboxes seen."""
    most = 0
    with concurrent.futures.ThreadPoolExecutor(50) as threads:
        requests = [threads.submit(server.get, "/?sleep=0.1") for _ in range(100)]
        while not all(request.done() for request in requests):
            most = max(most, len(server.sandboxes()))
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
        groups = list(GROUPS.glob(f"**/lambent-{name}"))
        loops = [path for path in pathlib.Path("/sys/block").glob("loop*/loop/backing_file")]
        return groups or loops or living(name)
    seconds = eventually(lambda: not left(), f"nothing is left ({name})")
    return f"{seconds * 1000:.0f} ms"


def living(name):
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cgroup"):
        try:
            if f"lambent-{name}" in path.read_text():
                found.append(path.parent.name)
        except OSError:
            pass
    return found


def life(data):
    server = Server(data)
    name = server.ready["name"]
    print(f"ready in {server.seconds * 1000:.0f} ms, isolation {server.ready['isolation']}")
    print(f"  server in        {group_of(server.process.pid)}")
    print(f"  broker in        {group_of(server.ready['broker_pid'])}")
    print(f"  sandboxes in     {server.tree().relative_to(GROUPS)}")
    server.run("deploy", str(EXAMPLE), "--max-instances", str(INSTANCES), "--idle-seconds", "1")
    answer = json.loads(server.run("invoke", "python-handler", "--payload", '{"name": "Ada"}'))
    check(answer == {"message": "Hello, Ada!"}, f"the answer is {answer}")
    print(f"deployed and invoked: {answer['message']}")
    check(len(server.sandboxes()) == 1, "one request, one instance")
    show_limits(server.sandboxes()[0])
    most = burst(server)
    print(f"burst: 100 requests, 50 at once, at most {most} instances of {INSTANCES} allowed")
    check(most == INSTANCES, "the burst reaches the cap and does not pass it")
    seconds = eventually(lambda: not server.sandboxes(), "idle instances end")
    print(f"zero instances {seconds:.1f} s after the burst")
    server.get()
    server.process.kill()
    server.process.wait()
    print(f"server killed: nothing left after {nothing_left(name)}")
    server = Server(data)
    check(b"Hello" in server.get(), "the next server on the data answers")
    os.kill(server.ready["broker_pid"], signal.SIGKILL)
    status = server.process.wait()
    check(status != 0, "the server ends with its broker, and says so")
    print(f"broker killed: server ended with status {status}, nothing left after {nothing_left(name)}")
    server = Server(data)
    check(b"Hello" in server.get(), "the next server on the data answers")
    for process in (server.process.pid, server.ready["broker_pid"]):
        os.kill(process, signal.SIGSTOP)
    for process in (server.ready["broker_pid"], server.process.pid):
        os.kill(process, signal.SIGKILL)
    server.process.wait()
    server = Server(data)
    check(b"Hello" in server.get(), "the next server on the data answers")
    print("both killed: the next server answers")
    server.process.terminate()
    check(server.process.wait() == 0, "an orderly end")
    print(f"stopped: nothing left after {nothing_left(name)}")


SERVICE = group_of("self") + "/service"
EXAMPLE = None


def main():
    global EXAMPLE
    own = GROUPS / group_of("self")
    # This process goes to one group and the server to another: groups with processes have no controlled children.
    for name in ("service", "test"):
        (own / name).mkdir(exist_ok=True)
    (own / "test" / "cgroup.procs").write_text("0")
    (own / "cgroup.subtree_control").write_text("+memory +cpu +pids")
    with tempfile.TemporaryDirectory() as home:
        EXAMPLE = pathlib.Path(home) / "python-handler"
        shutil.copytree("/payload/python-handler", EXAMPLE)
        life(home + "/data")


main()
