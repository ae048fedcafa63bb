"""Before a function is known: makes everything ready that every function needs, and then becomes one.

Says Waiting once all is loaded; the Assign frame says which function it is, and the life of an ordinary shim
begins. Nothing of a user's is there before that. For functions whose init is not shared: others are forked.
"""

import os
import sys

from . import frames, rehearsal, shim

# What handlers usually import. A user's module of the same name still wins.
_USUAL = (
    "base64",
    "collections",
    "dataclasses",
    "datetime",
    "decimal",
    "functools",
    "hashlib",
    "json",
    "logging",
    "random",
    "re",
    "time",
    "typing",
    "urllib.parse",
    "uuid",
)


def main():
    """Waits for a function and runs it."""
    connection = frames.Connection(int(os.environ.pop("LAMBENT_FRAMES_FD", "3")))
    before = set(sys.modules)
    for name in _USUAL:
        __import__(name)
    rehearsal.of_handler()
    connection.send(frames.WAITING, 0, {})
    frame = connection.receive()
    if frame is None:
        return  # The server has gone.
    head = frame[2]
    become(head["environment"], head["directory"])
    forget(set(sys.modules) - before, os.environ.get("LAMBDA_TASK_ROOT") or os.getcwd())
    shim.main(connection)


def become(environment, directory):
    """Takes the environment and the directory of a function."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)


def forget(loaded, root):
    """Forgets modules of those loaded that the function brings itself."""
    try:
        own = {entry.partition(".")[0] for entry in os.listdir(root)}
    except OSError:
        return
    for name in loaded:
        if name.partition(".")[0] in own:
            del sys.modules[name]
