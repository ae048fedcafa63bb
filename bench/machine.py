"""The machine and the versions of everybody, as rows of a table. Asks programs for their versions, nothing else."""

import datetime
import json
import os
import platform
import subprocess
from pathlib import Path

PYTHON_VERSIONS = """
import platform
from importlib.metadata import version
names = "flask", "gunicorn", "numpy", "pandas"
print(f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in names), sep=", ")
"""
MINISTACK_VERSION = "from importlib.metadata import version; print('ministack', version('ministack'))"


def facts(context, seconds):
    """What was measured on what."""
    rows = [
        ("Lambent", first_line([context.binary, "--version"]) + revision()),
        ("Machine", f"{_processor()}, {context.processors} processors, {_memory()}"),
        ("System", f"{platform.system()} {platform.release()}, {_cgroups()}"),
        ("Load on the machine at the end", " ".join(f"{one:.1f}" for one in os.getloadavg())),
        ("Run", f"{datetime.date.today()}, {seconds / 60:.1f} minutes"),
    ]
    if context.size.peers:
        site = {"PYTHONPATH": str(context.site)}
        ministack = {"PYTHONPATH": str(context.peers / "ministack")}
        rows += [
            ("Python side", first_line([context.python, "-c", PYTHON_VERSIONS], **site)),
            ("", first_line([context.python, "-c", MINISTACK_VERSION], **ministack)),
            (
                "Node side",
                ", ".join([f"Node.js {first_line([context.node, '--version'])}", *_modules(context)]),
            ),
            ("Containers", ", ".join(_runtime(name) for name in ("crun", "runc"))),
        ]
    return rows


def first_line(command, **environment):
    """The first line of what a command says."""
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=20, env={**os.environ, **environment}
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return (result.stdout.strip() or result.stderr.strip() or "unknown").splitlines()[0]


def revision():
    """The commit, where this is a clone."""
    found = first_line(["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"])
    return "" if " " in found or found == "unknown" else f" ({found})"


def _modules(context):
    for name in ("serverless", "serverless-offline", "workerd"):
        try:
            yield f"{name} {json.loads((context.modules / name / 'package.json').read_text())['version']}"
        except (OSError, ValueError):
            yield f"{name} missing"


def _runtime(name):
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return first_line(["env", f"PATH={path}", name, "--version"]).replace("version ", "")


def _cgroups():
    unified = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
    return "control groups of version 2" if unified else "control groups of version 1"


def _processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory():
    total = Path("/proc/meminfo").read_text().split()[1]
    return f"{int(total) / 2**20:.0f} GiB of memory"
