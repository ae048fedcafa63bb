"""A Lambda handler in Python: greets whoever the event or the query names, and sleeps if it is told to."""

import time


def lambda_handler(event, context):
    values = {**event, **(event.get("queryStringParameters") or {})}
    name = values.get("name", "World")
    time.sleep(min(float(values.get("sleep", 0)), 10))
    print(f"greeting {name}, {context.get_remaining_time_in_millis()} ms left")
    return {"message": f"Hello, {name}!"}
