"""Process trees and their CPU time, read from /proc: measured from outside, never from our own API."""

import os


def tree(*roots):
    """The ids of the given processes and everything below them."""
    children = {}
    for process in _processes():
        parent = _parent(process)
        if parent is not None:
            children.setdefault(parent, []).append(process)
    found = list(dict.fromkeys(roots))
    for process in found:
        found.extend(child for child in children.get(process, []) if child not in found)
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


def memory_bytes(*roots):
    """Proportional memory of the trees."""
    total = 0
    for process in tree(*roots):
        try:
            with open(f"/proc/{process}/smaps_rollup") as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith("Pss:")) * 1024
        except OSError:
            continue
    return total


def programs_below(broker):
    """How many programs run below Lambent's broker: everything there that is not the broker's own file."""
    own = os.stat(f"/proc/{broker}/exe")
    count = 0
    for process in tree(broker)[1:]:
        try:
            program = os.stat(f"/proc/{process}/exe")
        except OSError:
            continue
        count += (program.st_dev, program.st_ino) != (own.st_dev, own.st_ino)
    return count


def _processes():
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def _parent(process):
    try:
        with open(f"/proc/{process}/stat") as file:
            return int(file.read().rsplit(")", 1)[1].split()[1])
    except OSError:
        return None
