"""Processes, their CPU time and memory, read from /proc: measured from outside, never from our own API.

A tree is given by its roots. Everything here tolerates processes that end while it looks.
"""

import os
import time

KIB = 1024
# Lines of smaps_rollup that are a process's own: nobody else maps these pages.
OWN = ("Private_Clean:", "Private_Dirty:")


def tree(*roots):
    """The ids of the given processes and everything below them."""
    children = {}
    for process in _processes():
        parent = _parent(process)
        if parent is not None:
            children.setdefault(parent, []).append(process)
    found, seen = list(dict.fromkeys(roots)), set(roots)
    for process in found:
        below = [child for child in children.get(process, []) if child not in seen]
        seen.update(below)
        found.extend(below)
    return found


def cpu_times(*roots):
    """Nanoseconds on a CPU by thread, for all threads of the trees."""
    times = {}
    for process in tree(*roots):
        try:
            for thread in os.listdir(f"/proc/{process}/task"):
                with open(f"/proc/{process}/task/{thread}/schedstat") as file:
                    times[process, thread] = int(file.read().split()[0])
        except OSError:
            continue  # It has just ended.
    return times


def cpu_seconds(before, after):
    """CPU time between two readings. A thread that ended in between is not in it."""
    return sum(spent - before.get(thread, 0) for thread, spent in after.items()) / 1e9


def proportional_bytes(processes):
    """Proportional set size of the given processes."""
    return sum(_rollup(process, ("Pss:",)) for process in processes)


def own_bytes(processes):
    """Private clean and dirty pages of the given processes, and their page tables."""
    return sum(_rollup(process, OWN) + _page_tables(process) for process in processes)


def resident_bytes(process):
    """Resident set size of one process."""
    with open(f"/proc/{process}/status") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("VmRSS:")) * KIB


def programs(broker):
    """What runs below Lambent's broker and is not the broker's own file: embers, spares, instances.

    Kernel-wise they are the processes whose executable differs from the broker's (its inits and helpers
    share it, a memory file).
    """
    own = _identity(broker)
    found = []
    for process in tree(broker)[1:]:
        identity = _identity(process)
        if identity is not None and identity != own:
            found.append(process)
    return found


def without_embers(programs):
    """Those that have no other of the programs as a child: whoever has one is an ember."""
    parents = {_parent(process) for process in programs}
    return [process for process in programs if process not in parents]


def frozen(processes):
    """How many of the processes are in a frozen group of the unified tree."""
    return sum(_is_frozen(process) for process in processes)


def executable(process):
    """Device and inode of what a process runs, to tell one interpreter from another."""
    return _identity(process)


def file_identity(path):
    """The same of a file, links followed."""
    found = os.stat(path)
    return found.st_dev, found.st_ino


def wait_until(condition, what, seconds=60, pause=0.02):
    """Waits for a condition; raises when it takes too long."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s until {what}")
        time.sleep(pause)


def _identity(process):
    try:
        program = os.stat(f"/proc/{process}/exe")
    except OSError:
        return None
    return program.st_dev, program.st_ino


def _rollup(process, names):
    try:
        with open(f"/proc/{process}/smaps_rollup") as file:
            return sum(int(line.split()[1]) for line in file if line.startswith(names)) * KIB
    except OSError:
        return 0


def _page_tables(process):
    try:
        with open(f"/proc/{process}/status") as file:
            return sum(int(line.split()[1]) for line in file if line.startswith("VmPTE:")) * KIB
    except OSError:
        return 0


def _is_frozen(process):
    try:
        with open(f"/proc/{process}/cgroup") as file:
            path = next((line[3:].strip() for line in file if line.startswith("0::")), None)
        for root in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
            events = f"{root}{path}/cgroup.events"
            if path and os.path.exists(events):
                with open(events) as file:
                    return "frozen 1" in file.read()
    except OSError:
        pass
    return False


def _processes():
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def _parent(process):
    try:
        with open(f"/proc/{process}/stat") as file:
            return int(file.read().rsplit(")", 1)[1].split()[1])
    except OSError:
        return None
