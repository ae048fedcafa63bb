"""What an ember weighs and what a fork costs beside an instance that runs its own init, for three functions.

Writes the file that `lambent simulate --measured` reads. Needs a running server and the broker's processes visible:

    lambent serve --ephemeral &
    python3 bench/ratios.py --admin http://127.0.0.1:4567 --api http://127.0.0.1:4566 \\
        --gateway http://127.0.0.1:8080 --lambent target/release/lambent > ratios.json

Memory is what a process has to itself (private pages, page tables) plus its part of what is shared, from
`smaps_rollup`, summed over the processes of a sandbox: nothing comes from the server but which sandbox is which.
"""

import argparse
import http.client
import json
import os
import pathlib
import statistics
import subprocess
import sys
import threading
import time
import urllib.parse

FUNCTIONS = pathlib.Path(__file__).resolve().parent / "functions"
KINDS = {
    "Python handler": "hello-python",
    "Flask by frames": "hello-flask",
    "numpy and pandas": "pandas-python",
}
SAMPLES = 25
SIGNATURE = (
    "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature=x"
)


def main():
    parser = argparse.ArgumentParser()
    for name in ("api", "admin", "gateway", "lambent"):
        parser.add_argument(f"--{name}", required=True)
    server = Server(parser.parse_args())
    kinds = []
    for label, folder in KINDS.items():
        kinds.append({"function": label, **measure(server, folder)})
        say(json.dumps(kinds[-1]))
    json.dump({"kinds": kinds}, sys.stdout, indent=1)
    print()


def measure(server, folder):
    """One kind: deployed twice, with its init shared and not."""
    shared, alone = f"ratio-{folder}", f"ratio-{folder}-alone"
    server.deploy(folder, shared, "auto")
    server.deploy(folder, alone, "per-instance")
    cold, forks, bare, ember, own = [], [], [], [], []
    for number in range(SAMPLES):
        server.rest(alone)
        cold.append(server.start(alone, "/", {"bare"}))
        if number % 5 == 0:
            bare.append(sum(weight(name) for name in server.instances(alone)))
        server.rest(shared)
        server.call(shared, "/")
        holder = threading.Thread(target=server.call, args=(shared, "/hold"))
        holder.start()
        time.sleep(0.05)
        micros = server.start(shared, "/", {"ember"})
        if micros is not None:
            forks.append(micros)
        holder.join()
        if number % 5 == 0:
            instances = server.instances(shared)
            own.append(statistics.mean(weight(name, own=True) for name in instances))
            ember.append(
                sum(weight(name) for name in [*server.embers(shared), *instances]) - own[-1] * len(instances)
            )
    found = {
        "cold_start_ms": statistics.median(value for value in cold if value) / 1e3,
        "fork_ms": statistics.median(forks) / 1e3,
        "instance_bytes": statistics.median(bare),
        "template_bytes": statistics.median(ember),
        "forked_bytes": statistics.median(own),
    }
    return {name: round(value, 3) for name, value in found.items()}


class Server:
    """A running server, by its addresses."""

    def __init__(self, arguments):
        self._api, self._admin, self._gateway = (
            urllib.parse.urlsplit(url).netloc for url in (arguments.api, arguments.admin, arguments.gateway)
        )
        self._command = [arguments.lambent, "--endpoint", arguments.api, "--admin", arguments.admin]

    def deploy(self, folder, name, init):
        command = [*self._command, "deploy", str(FUNCTIONS / folder), "--name", name, "--idle-seconds", "2"]
        subprocess.run(
            [*command, "--init", init], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
        tags = json.dumps({"Tags": {"lambent:headers": "on"}})
        path = f"/2017-03-31/tags/{urllib.parse.quote(arn, safe='')}"
        status, _, _ = ask(self._api, "POST", path, tags, {"Authorization": SIGNATURE})
        assert status == 204, status

    def call(self, name, path):
        status, headers, _ = ask(self._gateway, "GET", path, None, {"Host": f"{name}.localhost"})
        assert status == 200, (name, path, status)
        return headers

    def start(self, name, path, wanted):
        """Microseconds of the start that this call needed, if it was of the kind that is wanted."""
        headers = self.call(name, path)
        return float(headers["x-lambent-start-micros"]) if headers.get("x-lambent-start") in wanted else None

    def rest(self, name):
        """Until no instance is left."""
        deadline = time.monotonic() + 60
        while self._function(name).get("instances"):
            assert time.monotonic() < deadline, f"{name} does not come to rest"
            time.sleep(0.1)

    def instances(self, name):
        return [instance["sandbox"] for instance in self._function(name)["instances"]]

    def embers(self, name):
        return [ember["sandbox"] for ember in self._function(name)["templates"] if ember["state"] == "alive"]

    def _function(self, name):
        _, _, body = ask(self._admin, "GET", "/v1/status")
        return next((one for one in json.loads(body)["functions"] if one["name"] == name), {})


def ask(address, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body


def weight(sandbox, own=False):
    """Bytes of the processes in a sandbox's control group: proportional, or only what is nobody else's."""
    total = 0
    names = ("Private_Clean:", "Private_Dirty:") if own else ("Pss:",)
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{process}/cgroup") as file:
                if not any(line.rstrip("\n").rsplit("/", 1)[-1] == sandbox for line in file):
                    continue
            with open(f"/proc/{process}/smaps_rollup") as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith(names)) * 1024
            with open(f"/proc/{process}/status") as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith("VmPTE:")) * 1024
        except OSError:
            continue
    return total


def say(text):
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
