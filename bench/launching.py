"""Starting and ending processes as cheaply as a supervisor written in C would, and timing it.

`posix_spawn` instead of `subprocess` where the start itself is measured: what the bench's own interpreter
spends must not flatter whoever is compared with it.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time

LOOPBACK = "127.0.0.1"
# Starts in a tight loop flatter the kernel's caches and its batching; real ones come one by one.
PAUSE_SECONDS = 0.05


def pause():
    """The rest between two starts."""
    time.sleep(PAUSE_SECONDS)


def run_seconds(command, environment=None):
    """Seconds from the start of a command to its end; raises when it fails."""
    quiet = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    begin = time.perf_counter()
    process = os.posix_spawn(command[0], command, environment or dict(os.environ), file_actions=quiet)
    _, status = os.waitpid(process, 0)
    seconds = time.perf_counter() - begin
    if status:
        raise RuntimeError(f"{command} ended with status {status}")
    return seconds


@contextlib.contextmanager
def listening():
    """A listener that a started program inherits; the first request waits in it."""
    listener = socket.create_server((LOOPBACK, 0), backlog=128)
    try:
        yield listener
    finally:
        listener.close()


def spawn_on(listener, command, environment=None, directory=None):
    """Starts a program that finds the listener at descriptor 3, everything else of ours closed."""
    actions = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    actions.append((os.POSIX_SPAWN_DUP2, listener.fileno(), 3))
    before = os.getcwd()
    os.chdir(directory or before)  # posix_spawn cannot change it for the child alone.
    try:
        return os.posix_spawn(
            command[0], command, environment or dict(os.environ), file_actions=actions, setsid=True
        )
    finally:
        os.chdir(before)


def end(process):
    """Ends a process that was started here, politely first."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def end_spawned(process, how=signal.SIGTERM):
    """Ends and reaps what `spawn_on` started."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, how)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if os.waitpid(process, os.WNOHANG)[0]:
            return
        time.sleep(0.005)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


def free_port():
    """A port that nobody listens on."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        return listener.getsockname()[1]
