"""A Lambda handler in Python: greets whoever the event or the query names."""


def lambda_handler(event, context):
    name = event.get("name") or (event.get("queryStringParameters") or {}).get("name", "World")
    print(f"greeting {name}, {context.get_remaining_time_in_millis()} ms left")
    return {"message": f"Hello, {name}!"}
