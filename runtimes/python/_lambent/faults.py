"""Errors on their way to the server: AWS's error types, and stack traces as AWS's runtime prints them.

A `Fault` is an error the shim names itself; anything else is the user's exception.
"""

import os
import sys

# Frames of these files lead to the user's code and are not part of it.
_OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep


class Fault(Exception):
    """An error with an error type of AWS's (or of ours), and a trace only where one helps."""

    def __init__(self, error_type, message, stack_trace=()):
        super().__init__(message)
        self.error_type = error_type
        self.message = message
        self.stack_trace = list(stack_trace)


def describe(error):
    """The head of a Failed or InitFailed frame."""
    if isinstance(error, Fault):
        return {
            "error_type": error.error_type,
            "message": error.message,
            "stack_trace": error.stack_trace,
        }
    return {
        "error_type": type(error).__name__,
        "message": _message(error),
        "stack_trace": stack_trace(error),
    }


def stack_trace(error):
    """Frames from the user's first one on, outermost first, each with its source line."""
    from traceback import extract_tb, format_list

    # As tuples they are printed alike by every version: the newer ones underline what failed.
    frames = [(frame.filename, frame.lineno, frame.name, frame.line) for frame in extract_tb(error.__traceback__)]
    for index, frame in enumerate(frames):
        if not _leads_to_user(frame[0]):
            return format_list(frames[index:])
    return []


def log(head):
    """Writes an error to the function's log, in the form AWS's runtime does."""
    lines = [f"[ERROR] {head['error_type']}: {head['message']}"]
    if head["stack_trace"]:
        lines.append("Traceback (most recent call last):")
        lines.extend(entry.rstrip("\n") for entry in head["stack_trace"])
    sys.stdout.write("\n".join(lines) + "\n")


def _message(error):
    try:
        return str(error)
    except Exception:  # The user's own __str__ may be what is broken.
        return f"{type(error).__name__} without a readable message"


def _leads_to_user(filename):
    return filename.startswith((_OURS, "<frozen importlib")) or filename.endswith("/importlib/__init__.py")
