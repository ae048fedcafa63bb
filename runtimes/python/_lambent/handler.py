"""Calls a Lambda handler with one event and sends back its result or its error.

One event at a time, in the main thread. `SystemExit` is not caught: it ends the process with the
status the handler asked for, and the server reports how it ended.
"""

import os

from . import context, faults, frames, payload, text


def invoke(connection, stream, head, body, function):
    """Handles one Event frame; the stream is ended when this returns."""
    request_id = head.get("request_id")
    context.enter(request_id)
    _set_trace(head.get("trace"))
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
    if trace is not None:
        os.environ["_X_AMZN_TRACE_ID"] = trace
    else:
        os.environ.pop("_X_AMZN_TRACE_ID", None)
