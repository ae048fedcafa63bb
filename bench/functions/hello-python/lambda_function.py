"""The smallest handler: what is measured is the way to it and back. `/hold` keeps its instance busy."""


def lambda_handler(event, context):
    if event.get("rawPath") == "/hold":
        hold()
    return {"message": "Hello, World!"}


def hold():
    import time

    time.sleep(0.15)
