"""What applications do at their first request and can do before: an ember does it once for all instances.

Nothing here calls the user's code: modules are imported, and frameworks that are loaded anyway compile
what they would compile at the first request.
"""

import gc
import sys

# Module that must be loaded, and what a first request then imports.
_LATE = (
    ("_socket", ("encodings.idna", "stringprep")),
)


def prepare():
    """Does all of it. What fails is left to the first request, which will say so."""
    for present, modules in _LATE:
        if present in sys.modules:
            for module in modules:
                try:
                    __import__(module)
                except Exception:
                    continue
