"""What the function writes: unbuffered standard streams, and `logging` set up as AWS's runtime does.

`logging` is not imported here; it is set up when the user's code imports it.
"""

import io
import sys

from . import context, imports

_FORMAT = "[%(levelname)s]\t%(asctime)s.%(msecs)dZ\t%(aws_request_id)s\t%(message)s"
_DATE_FORMAT = "%Y-%m-%dT%H:%M:%S"


class _Set:
    """What was done to `logging`, so that a web application can have it undone."""

    handler = None
    original = None
    wanted = None


def unbuffer():
    """Replaces the standard streams: every write is a system call, so a kill loses nothing."""
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        raw = io.FileIO(descriptor, "w", closefd=False)
        stream = io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", newline="\n", write_through=True)
        stream.mode = "w"
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def prepare():
    """Sets `logging` up once it is imported."""
    imports.after("logging", _install)


def give_back():
    """For a web application: its `basicConfig`, a no-op on AWS, does what it says after all."""
    if _Set.handler is None:
        return
    import logging

    logging.basicConfig = _Set.original
    if _Set.wanted is not None:
        logging.root.removeHandler(_Set.handler)
        logging.basicConfig(**_Set.wanted)


def _install(logging):
    class Handler(logging.Handler):
        def emit(self, record):
            try:
                sys.stdout.write(self.format(record) + "\n")
            except Exception:
                self.handleError(record)

    class RequestId(logging.Filter):
        def filter(self, record):
            record.aws_request_id = context.request_id() or ""
            return True

    import time

    formatter = logging.Formatter(_FORMAT, _DATE_FORMAT)
    formatter.converter = time.gmtime
    handler = Handler()
    handler.setFormatter(formatter)
    handler.addFilter(RequestId())
    logging.root.addHandler(handler)
    _Set.handler, _Set.original = handler, logging.basicConfig

    def basic_config(**wanted):
        # With our handler in place it does nothing, as on AWS; remember the first one that would have.
        if _Set.wanted is None and logging.root.handlers == [handler]:
            _Set.wanted = wanted
        _Set.original(**wanted)

    logging.basicConfig = basic_config
