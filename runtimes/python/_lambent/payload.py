"""Payloads of a handler: from the event's JSON text to Python values and back, as AWS's runtime does.

A `Decimal` keeps its digits, NaN is written as NaN, and from Python 3.12 text is not escaped to ASCII.
"""

import sys

from . import text
from .faults import Fault

_ASCII_ONLY = sys.version_info < (3, 12)

# Set while a result with decimals is written: they go through the encoder as marked text, since it writes
# numbers only as floats. One result at a time, in the main thread.
_mark = None


def read(payload):
    """The event. Raises `Runtime.UnmarshalError`."""
    try:
        decoded = payload.decode()
        if decoded[:1] == "\ufeff":
            decoded = decoded[1:]
        return text.loads(decoded) if payload else {}
    except ValueError as error:
        raise Fault("Runtime.UnmarshalError", f"Unable to unmarshal input: {error}") from None


def write(result):
    """The result's JSON text in bytes. Raises `Runtime.MarshalError`."""
    global _mark
    try:
        written = _to_text(result)
        if _mark is not None:
            written = _put_back(written)
        return written.encode("utf-8", "surrogatepass") if _ASCII_ONLY else written.encode()
    except UnicodeEncodeError:
        return _put_back(_to_ascii(result)).encode()
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Fault("Runtime.MarshalError", f"Unable to marshal response: {error}") from None
    finally:
        _mark = None


def _take_out(value):
    global _mark
    decimal = sys.modules.get("decimal")
    if decimal is None or not isinstance(value, decimal.Decimal):
        raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
    if value.is_nan():
        return float("nan")
    if value.is_infinite():
        return float(value)
    if _mark is None:
        from os import urandom

        _mark = f"decimal-{urandom(16).hex()}:"
    return f"{_mark}{value}"


def _put_back(written):
    if _mark is None:
        return written
    import re

    return re.sub(f'"{_mark}([^"]*)"', r"\1", written)


_to_text = text.encoder(_ASCII_ONLY, _take_out)
_to_ascii = text.encoder(True, _take_out)
