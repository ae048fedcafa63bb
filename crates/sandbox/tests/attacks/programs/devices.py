"""Attacks through device nodes and set-uid files.

FACT_DEVICE is MAJOR:MINOR of the host's disk, FACT_SETUID a set-uid copy of `id` owned by FACT_OWNER.
"""

import stat
import subprocess

PLACES = ["/tmp", "/dev/shm", "/dev", "/var/tmp", "."]


def in_some_place(use):
    """Makes a block device node for the host's disk in the first place that lets it be used so."""
    major, minor = map(int, fact("DEVICE").split(":"))
    first = None
    for place in PLACES:
        path = f"{place}/lambent-attack-disk-{os.getpid()}"
        try:
            os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(major, minor))
        except OSError as error:
            first = first or error
            continue
        try:
            return use(path)
        except OSError as error:
            first = error
        finally:
            os.unlink(path)
    raise first


@attack
def device_made():
    in_some_place(os.stat)


@attack
def device_opened():
    in_some_place(lambda path: os.close(os.open(path, os.O_RDONLY)))


@attack
def setuid_file():
    """Does a set-uid bit make us somebody else?"""
    shown = subprocess.run([fact("SETUID"), "-u"], capture_output=True, text=True)
    if shown.returncode != 0:
        raise Absent(f"id ended with {shown.returncode}: {shown.stderr.strip()}")
    if shown.stdout.strip() != fact("OWNER"):
        raise Refused("the bit is ignored")


@attack
def file_capability():
    """Does a file capability give one? What we have is given up first, where there is anything."""
    ambient, clear_all = 47, 4
    LIBC.prctl(ambient, clear_all, 0, 0, 0)
    try:
        os.setresuid(65534, 65534, 65534)
    except OSError:
        pass  # without the right to change ids there is nothing to give up
    status = subprocess.run([fact("CAPABLE"), "/proc/self/status"], capture_output=True, text=True, check=True)
    line = next(line for line in status.stdout.splitlines() if line.startswith("CapEff"))
    if int(line.split()[1], 16) == 0:
        raise Refused("the capability is ignored")


@attack
def become_root():
    """Inside, user 0 is the init: whoever becomes it may read the init."""
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


@attack
def become_anybody():
    os.setgroups([6])
