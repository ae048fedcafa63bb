"""Runs a program that serves on its own socket where there are no namespaces: `--run FILE [ARGUMENT...]`.

The program runs unchanged as `__main__`; its binds are rewritten (`binding`) and its listeners are
reported, because the kernel's notification may be refused there. Under namespaces such a program is
started directly, without any of this.
"""

import os
import sys

from . import binding, frames, imports


def main():
    """Runs the program named on the command line in this process."""
    program = sys.argv[2]
    sys.argv[:] = sys.argv[2:]
    sys.path.insert(0, os.path.dirname(os.path.abspath(program)))
    connection = frames.Connection(int(os.environ.pop("LAMBENT_FRAMES_FD", "3")))
    reporter = os.getpid()

    def report(host, port):
        # Workers that a server forks inherit the hook; the server has reported by then.
        if os.getpid() != reporter:
            return
        try:
            connection.send(frames.LISTENING, 0, {"host": host, "port": port})
        except OSError:
            pass  # Who knows the port from the kernel has closed its end: the program goes on.

    if "LAMBENT_BIND_ADDRESS" in os.environ:
        binding.prepare(report)
    imports.after("werkzeug.serving", _without_reloader)
    from runpy import run_path

    run_path(program, run_name="__main__")


def _without_reloader(module):
    """The reloader would run the program again, in a process that none of this reaches."""
    original = module.run_simple

    def run_simple(*arguments, **options):
        if options.get("use_reloader"):
            print("lambent: the reloader is off, a redeploy replaces it", file=sys.stderr)
            options["use_reloader"] = False
        return original(*arguments, **options)

    module.run_simple = run_simple
