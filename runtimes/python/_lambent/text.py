"""JSON text without the `json` package, whose import (it compiles regular expressions) costs as much
as half an interpreter start and would be paid by every cold start.

CPython's C scanner and encoder are used directly; where this Python has none, or they are called
differently, the `json` package does it. Both give the same values and the same errors.
"""

_BETWEEN_ITEMS = ", "
_AFTER_KEY = ": "


class _Scanner:
    """What the C scanner asks its caller: exactly the defaults of `json.loads`."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = {"-Infinity": float("-inf"), "Infinity": float("inf"), "NaN": float("nan")}.__getitem__
    memo = {}


try:
    import _json

    _scan = _json.make_scanner(_Scanner())
    if _scan('{"a": [1, NaN]}', 0)[1] != 15:
        raise TypeError
    _encode = _json.make_encoder(
        None, None, _json.encode_basestring_ascii, None, _AFTER_KEY, _BETWEEN_ITEMS, False, False, True
    )
    if "".join(_encode({"a": [1]}, 0)) != '{"a": [1]}':
        raise TypeError
except Exception:
    _json = None


def loads(text):
    """The value of a JSON text."""
    if _json is None:
        import json

        return json.loads(text)
    stripped = text.strip(" \t\n\r")
    try:
        value, end = _scan(stripped, 0)
    except StopIteration:
        end = -1
    if end != len(stripped):
        # An error: let the package word it.
        import json

        return json.loads(text)
    return value


def encoder(ascii_only, default):
    """A function that gives the JSON text of a value; `default` turns what JSON does not know into
    something it does. Made once, because making the C encoder costs more than most answers."""
    if _json is None:
        return lambda value: _package_dumps(value, ascii_only, default)
    # Containers on the way down, by which a circle is found. Empty again after every value but a bad one.
    open_containers = {}
    quote = _json.encode_basestring_ascii if ascii_only else _json.encode_basestring
    encode = _json.make_encoder(
        open_containers, default, quote, None, _AFTER_KEY, _BETWEEN_ITEMS, False, False, True
    )
    join = "".join

    def to_text(value):
        try:
            return join(encode(value, 0))
        except BaseException:
            open_containers.clear()
            raise

    return to_text


def _package_dumps(value, ascii_only, default):
    import json

    return json.dumps(value, ensure_ascii=ascii_only, default=default)


def _refuse(value):
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


_head_text = encoder(True, _refuse)


def dumps(value):
    """A JSON text in ASCII bytes, for heads of frames."""
    return _head_text(value).encode("ascii")
