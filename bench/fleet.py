"""Many small functions on one server, made through the API: what memory and sustained starts are measured with."""

import lambda_api
from client import first_byte
from context import HERE


class Fleet:
    """`count` functions of the same code."""

    def __init__(self, server, directory, runtime, count, **tags):
        self._server, self._runtime, self._count = server, runtime, count
        self._archive = lambda_api.archive(HERE / "functions" / directory)
        self._tags = {"lambent:headers": "on"}
        self._tags |= {f"lambent:{tag.replace('_', '-')}": str(value) for tag, value in tags.items()}
        self.names = [f"fleet-{number}" for number in range(count)]

    def create(self, reachable=True):
        """Creates them, with URLs if they are to be called."""
        api = self._server.api
        for name in self.names:
            api.create(name, self._archive, self._runtime, "lambda_function.lambda_handler", Tags=self._tags)
            if reachable:
                api.url(name)

    def call(self, name):
        """One request to one of them."""
        address = self._server.gateway
        return first_byte(address, f"{name}.localhost:{address[1]}")
