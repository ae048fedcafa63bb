"""Payloads of a handler: from the event's JSON text to Python values and back, as AWS's runtime does.

A `Decimal` keeps its digits, NaN is written as NaN, and from Python 3.12 text is not escaped to ASCII.
"""

import sys

from . import text
from .faults import Fault

_ASCII_ONLY = sys.version_info < (3, 12)


def read(payload):
    """The event. Raises `Runtime.UnmarshalError`."""
    try:
        return text.loads(payload.decode().removeprefix("\ufeff")) if payload else {}
    except ValueError as error:
        raise Fault("Runtime.UnmarshalError", f"Unable to unmarshal input: {error}") from None


def write(result):
    """The result's JSON text in bytes. Raises `Runtime.MarshalError`."""
    decimals = _Decimals()
    try:
        written = decimals.put_back(text.to_text(result, _ASCII_ONLY, decimals.take_out))
        return written.encode("utf-8", "surrogatepass" if _ASCII_ONLY else "strict")
    except UnicodeEncodeError:
        return decimals.put_back(text.to_text(result, True, decimals.take_out)).encode()
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Fault("Runtime.MarshalError", f"Unable to marshal response: {error}") from None


class _Decimals:
    """Carries decimals through the encoder as marked text, since it writes numbers only as floats."""

    def __init__(self):
        self._mark = None

    def take_out(self, value):
        decimal = sys.modules.get("decimal")
        if decimal is None or not isinstance(value, decimal.Decimal):
            raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
        if value.is_nan():
            return float("nan")
        if value.is_infinite():
            return float(value)
        if self._mark is None:
            from os import urandom

            self._mark = f"decimal-{urandom(16).hex()}:"
        return f"{self._mark}{value}"

    def put_back(self, written):
        if self._mark is None:
            return written
        import re

        return re.sub(f'"{self._mark}([^"]*)"', r"\1", written)
