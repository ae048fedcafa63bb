"""How crun and runc are run as peers: one OCI bundle for both, as cheap as a like-for-like one can be.

Why this is their best: no daemon, no image, no layers and no overlay, only a directory with read-only
binds of the host's /usr (as Lambent's own roots have), a fresh /proc, a small /dev and a tmpfs for /tmp.
The namespaces are Lambent's except the user one, which only makes them slower (crun's own rootless mode
maps ids by helper programs). No capability, no new privileges, limits of memory and processes as Lambent
sets them, no seccomp filter (Lambent has one: it costs them nothing here), no terminal, no hooks. The
program answers on an inherited listener: no network is set up beyond an empty namespace.
"""

import json
import os
from pathlib import Path

MIB = 1024 * 1024
BINDS = ("ro", "rbind", "nosuid", "nodev")
LINKS = ("bin", "sbin", "lib", "lib64")


def write(directory, task, command):
    """Writes a bundle whose /var/task is the directory `task` and whose program is `command`."""
    root = Path(directory, "rootfs")
    for name in ("usr", "etc", "proc", "dev", "tmp", "var/task"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in LINKS:
        if os.path.islink(f"/{name}"):
            (root / name).symlink_to(os.readlink(f"/{name}"))
    Path(directory, "config.json").write_text(json.dumps(configuration(task, command)))


def configuration(task, command):
    """The bundle's `config.json`."""
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": 1000, "gid": 1000},
            "args": command,
            "env": ["PATH=/usr/bin:/bin", "HOME=/tmp", "LANG=C.UTF-8"],
            "cwd": "/var/task",
            "capabilities": {},
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "bench",
        "mounts": [
            _mount("/usr", "bind", "/usr", *BINDS),
            _mount("/var/task", "bind", str(task), *BINDS),
            _mount("/proc", "proc", "proc"),
            _mount("/dev", "tmpfs", "tmpfs", "nosuid", "mode=755", "size=64k"),
            _mount("/tmp", "tmpfs", "tmpfs", "nosuid", "nodev", "mode=1777", "size=512m"),
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")],
            "resources": {"memory": {"limit": 512 * MIB}, "pids": {"limit": 1024}},
        },
    }


def _mount(destination, kind, source, *options):
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}
