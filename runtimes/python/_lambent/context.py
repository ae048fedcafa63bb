"""The `context` argument of a Lambda handler, and whose request it is that code is running for."""

import os
import time

# A ContextVar where requests run concurrently (ASGI); what else runs has one request at a time.
of_task = None
# The request that was begun last: also right for threads that a handler starts.
_of_process = None
# What is the same for every invocation of an instance: attribute and variable.
_FROM_ENVIRONMENT = (
    ("log_group_name", "AWS_LAMBDA_LOG_GROUP_NAME"),
    ("log_stream_name", "AWS_LAMBDA_LOG_STREAM_NAME"),
    ("function_name", "AWS_LAMBDA_FUNCTION_NAME"),
    ("memory_limit_in_mb", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"),
    ("function_version", "AWS_LAMBDA_FUNCTION_VERSION"),
)
# Their values, once `prepare` has read them.
_constants = {}


class Identity:
    """Who called, where Cognito is in front. Always empty here."""

    __slots__ = ("cognito_identity_id", "cognito_identity_pool_id")

    def __init__(self):
        self.cognito_identity_id = None
        self.cognito_identity_pool_id = None

    def __repr__(self):
        return "CognitoIdentity([cognito_identity_id=None,cognito_identity_pool_id=None])"


class Client:
    """The `client` part of a mobile application's client context."""

    __slots__ = ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name")

    def __init__(self, values):
        for name in self.__slots__:
            setattr(self, name, values.get(name))


class ClientContext:
    """What a mobile application says of itself: `custom`, `env` and `client`."""

    __slots__ = ("custom", "env", "client")

    def __init__(self, values):
        self.custom = values.get("custom")
        self.env = values.get("env")
        self.client = Client(values["client"]) if isinstance(values.get("client"), dict) else None


class Context:
    """One invocation, as a handler sees it."""

    def __init__(self, request_id, deadline_ms, arn, client_context):
        self.aws_request_id = request_id
        self.__dict__.update(_constants)
        self.invoked_function_arn = arn
        self.client_context = ClientContext(client_context) if isinstance(client_context, dict) else None
        self.identity = Identity()
        self._deadline_ms = deadline_ms

    def get_remaining_time_in_millis(self):
        """Milliseconds until the invocation times out, never negative."""
        return max(self._deadline_ms - int(time.time() * 1000), 0)

    def log(self, message):
        """Writes to the log, as in the first version of AWS's runtime."""
        print(message, end="")

    def __repr__(self):
        fields = ",".join(f"{name}={value}" for name, value in vars(self).items() if not name.startswith("_"))
        return f"LambdaContext([{fields}])"


def prepare():
    """Reads what is the same for every invocation. In an instance, before its first one."""
    for name, variable in _FROM_ENVIRONMENT:
        _constants[name] = os.environ.get(variable)


def renew(environment):
    """Takes over variables that were set since."""
    for name, variable in _FROM_ENVIRONMENT:
        if variable in environment:
            _constants[name] = environment[variable]


def enter(request_id):
    """Says that what runs from here on belongs to this request."""
    global _of_process
    _of_process = request_id
    if of_task is not None:
        of_task.set(request_id)


def request_id():
    """The request that the calling code runs for, or None during init."""
    return (of_task is not None and of_task.get()) or _of_process
