"""Sleeps for 100 ms, as if it waited for a database, and says which process it is."""

import time
import uuid

_instance = None


def lambda_handler(event, context):
    global _instance
    # Not made in init: instances of one ember share what init made.
    _instance = _instance or uuid.uuid4().hex
    time.sleep(0.1)
    return {"message": "Hello, World!", "instance": _instance}
