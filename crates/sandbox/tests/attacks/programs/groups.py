"""Attacks through control groups: the release agent (run by the kernel as root), siblings, own limits."""

BASE = os.environ.get("FACT_SCRATCH", "/tmp")


def hierarchies():
    """Names of the v1 hierarchies, as mount options."""
    with open("/proc/self/cgroup") as file:
        names = [line.split(":")[1] for line in file]
    return [name for name in names if name]


def mounted(kind, data=None):
    path = f"{BASE}/groups"
    os.makedirs(path, exist_ok=True)
    call("mount", b"none", path.encode(), kind, 0, data)
    return path


@attack
def release_agent():
    names = [name for name in hierarchies() if not name.startswith("name=")]
    if not names:
        raise Absent("this host has no v1 hierarchy")
    path = mounted(b"cgroup", names[0].encode())
    with open(f"{path}/release_agent", "r+b", buffering=0) as file:
        text = file.read()
        file.seek(0)
        file.write(text or b"\n")


@attack
def group_of_siblings():
    path = mounted(b"cgroup2")
    for place, _, _ in os.walk(path):
        if "lambent-" in place:
            return
    raise Absent("only our own group is shown")
