"""Calls a Lambda handler with one event after the other and sends back its result or its error.

One event at a time, in the main thread. `SystemExit` is not caught: it ends the process with the
status the handler asked for, and the server reports how it ended.
"""

import os

from . import context, faults, frames, payload, text

_trace = None


def serve(connection, found, ready):
    """Until the server goes. `ready` is said first, unless it was said."""
    if ready is not None:
        connection.send(frames.READY, 0, ready)
    receive, function, event = connection.receive, found.value, frames.EVENT
    while True:
        frame = receive()
        if frame is None:
            return
        kind, stream, head, body = frame
        if kind == event:
            invoke(connection, stream, head, body, function)
        else:
            connection.refuse(kind, stream, "a handler is called with events")


def invoke(connection, stream, head, body, function):
    """Handles one Event frame; the stream is ended when this returns."""
    context.enter(head.get("request_id"))
    trace = head.get("trace")
    if trace != _trace:
        _set_trace(trace)
    try:
        event = payload.read(body)
        result = function(event, _context(head))
        answer = _encoded(stream, payload.write(result))
    except Exception as error:
        failure = faults.describe(error)
        faults.log(failure)
        answer = frames.encode(frames.FAILED, stream, failure)
    connection.finished(stream)
    connection.write(answer)


def _encoded(stream, written):
    try:
        return frames.encode(frames.RESULT, stream, None, written)
    except ValueError as error:
        raise faults.Fault("Function.ResponseSizeTooLarge", f"Response payload is too large: {error}") from None


def _context(head):
    client_context = head.get("client_context")
    if client_context is not None:
        try:
            client_context = text.loads(client_context)
        except ValueError as error:
            raise faults.Fault(
                "Runtime.LambdaContextUnmarshalError", f"Unable to parse client context: {error}"
            ) from None
    return context.Context(head.get("request_id"), head.get("deadline_ms", 0), head.get("arn"), client_context)


def _set_trace(trace):
    global _trace
    _trace = trace
    if trace is not None:
        os.environ["_X_AMZN_TRACE_ID"] = trace
    else:
        os.environ.pop("_X_AMZN_TRACE_ID", None)
