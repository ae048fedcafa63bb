"""The smallest handler: what is measured is the way to it and back."""


def lambda_handler(event, context):
    return {"message": "Hello, World!"}
