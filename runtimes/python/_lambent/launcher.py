"""Runs a program that serves on its own socket: `--run FILE [ARGUMENT...]` or `--run -m MODULE [ARGUMENT...]`.

The program runs unchanged as `__main__`. Where there are no namespaces its binds are rewritten
(`binding`) and its listeners are reported, because the kernel's notification may be refused there. Where
it may become an ember it is held at its first `listen` (`listening`). Otherwise such a program is started
directly, without any of this.
"""

import os
import sys

from . import faults, frames, imports


def main():
    """Runs the program named on the command line in this process."""
    connection = frames.Connection(int(os.environ.pop("LAMBENT_FRAMES_FD", "3")))
    if "LAMBENT_BIND_ADDRESS" in os.environ:
        from . import binding

        binding.prepare(_reporter(connection))
    imports.after("werkzeug.serving", _without_reloader)
    imports.after("uvicorn.main", _without_reload)
    if "LAMBENT_EMBER_FD" not in os.environ:
        _run(sys.argv[2:])
        return
    from . import ember, listening

    imports.provide_packages()
    listening.prepare(ember.from_environment(connection), connection)
    try:
        _run(sys.argv[2:])
    except faults.Fault as fault:
        # Of a snapshot hook: raised where the program meant to listen.
        head = faults.describe(fault)
        faults.log(head)
        connection.send(frames.INIT_FAILED, 0, head)
        sys.exit(1)


def _run(arguments):
    import runpy

    if arguments[0] == "-m":
        sys.argv[:] = arguments[1:]
        sys.path.insert(0, os.getcwd())
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        return
    sys.argv[:] = arguments
    sys.path.insert(0, os.path.dirname(os.path.abspath(arguments[0])))
    runpy.run_path(arguments[0], run_name="__main__")


def _reporter(connection):
    reporter = os.getpid()

    def report(host, port):
        # Workers that a server forks inherit the hook; the server has reported by then.
        if os.getpid() != reporter:
            return
        try:
            connection.send(frames.LISTENING, 0, {"host": host, "port": port})
        except OSError:
            pass  # Who knows the port from the kernel has closed its end: the program goes on.

    return report


def _without_reloader(module):
    """The reloader would run the program again, in a process that none of this reaches."""
    _switch_off(module, "run_simple", "use_reloader")


def _without_reload(module):
    _switch_off(module, "run", "reload")


def _switch_off(module, name, option):
    original = getattr(module, name)

    def without(*arguments, **options):
        if options.get(option):
            print("lambent: the reloader is off, a redeploy replaces it", file=sys.stderr)
            options[option] = False
        return original(*arguments, **options)

    without.__doc__, without.__wrapped__ = original.__doc__, original
    setattr(module, name, without)
