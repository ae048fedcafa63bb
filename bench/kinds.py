"""The sorts of functions whose starts are measured, and the ways in which each is asked for one.

A way is a wish: which start it leads to is the platform's choice, and the answer says which it was.
"""

import contextlib
import threading
import time

from context import HERE, build_bootstrap
from lambent import Function
from launching import pause

HOLD = "/hold"
# The held request has its instance by then, and what its start has set going is over.
HOLD_LEAD_SECONDS = 0.06


class Kind:
    """One sort of function; `floor` is the bare start that its starts are set against."""

    def __init__(self, function, floor, imports=None, holds=True):
        self.function, self.floor, self.imports = function, floor, imports
        self.label, self.holds = function.label, holds
        # Seconds that the imports took in this round, if they were measured in it.
        self.imported = None

    def start(self):
        """Deploys it and runs it once, so that files and byte code are cached for everyone alike."""
        self.function.start()
        self.function.warm_up()

    def rest(self):
        """Until its instances have been retired; before the bare start that a start is set against."""
        self.function.retire()

    def renew(self):
        """Publishes a version that has never run; likewise before."""
        self.function.renew()

    def quiet(self):
        """One request, 50 ms after whatever was before."""
        pause()
        return self.function.call()

    def crowded(self):
        """One request while a slow one holds what was kept: it needs another instance."""
        holder = threading.Thread(target=self._hold)
        holder.start()
        time.sleep(HOLD_LEAD_SECONDS)
        try:
            return self.function.call()
        finally:
            holder.join()

    def stop(self):
        """Nothing: the server goes as a whole."""

    def _hold(self):
        with contextlib.suppress(OSError):
            self.function.call(HOLD)


def make(context, server, scratch):
    """All sorts, by key. Those that need packages or a compiler are left out of the smoke form."""
    functions = HERE / "functions"
    python, node = [context.python, "-I", "-c", "pass"], [context.node, "-e", "0"]

    def function(label, name, directory, *options):
        # One request at a time, so that a second one needs an instance of its own.
        return Function(server, f"Lambent, {label}", name, directory, *options, idle_seconds=1, concurrency=1)

    kinds = {
        "handler": Kind(function("Python handler", "start-handler", functions / "hello-python"), python),
        "node": Kind(function("Node handler", "start-node", functions / "hello-node"), node),
    }
    if not context.size.peers:
        return kinds
    pandas = function("Python handler with numpy and pandas", "start-pandas", functions / "pandas-python")
    kinds["pandas"] = Kind(pandas, python, imports(context, "numpy, pandas"))
    flask = functions / "hello-flask"
    frames = function("Flask by frames", "start-flask", flask, "--server", "shim")
    kinds["flask"] = Kind(frames, python, imports(context, "flask"))
    own = function("Flask on its own socket (`app.run()`)", "start-own", flask, "--server", "own")
    kinds["flask-own"] = Kind(own, python, imports(context, "flask"))
    with contextlib.suppress(Exception):  # Without a compiler there is no `provided` row.
        build_bootstrap(scratch)
        provided = function("`provided` program", "start-provided", scratch, "--runtime", "provided.al2023")
        kinds["provided"] = Kind(provided, ["/usr/bin/true"], holds=False)
    return kinds


def imports(context, modules):
    """A bare interpreter that imports what the handler imports."""
    return [
        context.python,
        "-I",
        "-c",
        f"import sys; sys.path.insert(0, {str(context.site)!r}); import {modules}",
    ]
