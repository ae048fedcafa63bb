"""Starts a real server in a temporary directory and runs every client suite of this folder against it.

Not a test itself: it prepares the world (`lambent serve --ephemeral`), sets the environment an AWS
client reads, and passes on the first failure. Usage: run.py PATH-TO-LAMBENT
"""

import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
# Exit status of `lambent serve` on a host that refuses namespaces (docs/errors/exit-status.md).
NAMESPACES_REFUSED = 77
SUITES = ["lambda_boto3.py", "lambda_cli.py"]


def start(binary, isolation=()):
    """A server on free ports; returns its process and what it said it listens on.

    On a host that refuses namespaces the reduced mode serves as well: the API is the same.
    """
    command = [binary, "serve", "--ephemeral", "--json", *isolation]
    for option in ("--listen", "--gateway-listen", "--admin-listen"):
        command += [option, "127.0.0.1:0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    line = server.stdout.readline()
    if line:
        return server, json.loads(line)
    status = server.wait()
    if status == NAMESPACES_REFUSED and not isolation:
        print("clients: this host refuses namespaces, so they meet a server with --isolation=process")
        return start(binary, ("--isolation", "process"))
    sys.exit(f"the server did not start (exit status {status})")


def main():
    server, ready = start(sys.argv[1])
    endpoint = f"http://{ready['listen']}"
    environment = {
        "PATH": os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"],
        "HOME": os.environ["HOME"],
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_PAGER": "",
        "LAMBENT_GATEWAY": ready["gateway"],
    }
    try:
        for suite in SUITES:
            result = subprocess.run([sys.executable, "-B", str(HERE / suite), endpoint], env=environment)
            if result.returncode:
                sys.exit(result.returncode)
    finally:
        server.terminate()
        server.wait(timeout=60)


if __name__ == "__main__":
    main()
