"""A Python shim that waits before it knows its function: what it has before, and what it becomes."""

import unittest

from harness import INIT_FAILED, Shim

ASSIGN, WAITING = 4, 24
LOOK = """
import os, sys

def handler(event, context):
    return {
        "event": event,
        "variables": dict(os.environ),
        "directory": os.getcwd(),
        "arguments": sys.argv,
        "name": context.function_name,
    }
"""


class Standby(unittest.TestCase):
    def standby(self, files):
        shim = Shim(self, files, "", {"EARLY": "1"}, ["--standby"])
        self.assertEqual(shim.receive()[0], WAITING, shim.output())
        return shim

    def assign(self, shim, handler="index.handler", **variables):
        environment = {"_HANDLER": handler, "LAMBDA_TASK_ROOT": str(shim.root), **variables}
        shim.send(ASSIGN, 0, {"environment": list(environment.items()), "directory": str(shim.root)})
        return environment

    def test_it_becomes_the_function_it_is_told(self):
        shim = self.standby({"index.py": LOOK})
        environment = self.assign(shim, AWS_LAMBDA_FUNCTION_NAME="told", UMLAUT="grün = ja")
        self.assertEqual(shim.ready()["serves"], "handler")
        seen = shim.result({"n": 1})
        self.assertEqual((seen["event"], seen["name"]), ({"n": 1}, "told"))
        self.assertEqual(seen["variables"], environment, "the whole of it, and nothing else")
        self.assertEqual((seen["directory"], seen["arguments"]), (str(shim.root), [""]))

    def test_a_module_of_the_function_hides_one_that_was_loaded(self):
        files = {
            "index.py": "import uuid, decimal\ndef handler(event, context): return [uuid.MINE, hasattr(decimal, 'Decimal')]\n",
            "uuid.py": "MINE = 'mine'\n",
        }
        shim = self.standby(files)
        self.assign(shim)
        shim.ready()
        self.assertEqual(shim.result({}), ["mine", True])

    def test_two_that_waited_draw_differently(self):
        source = "import random, uuid\ndef handler(event, context): return [random.random(), str(uuid.uuid4())]\n"
        drawn = []
        for _ in range(2):
            shim = self.standby({"index.py": source})
            self.assign(shim)
            shim.ready()
            drawn.append(shim.result({}))
        self.assertNotEqual(drawn[0][0], drawn[1][0])
        self.assertNotEqual(drawn[0][1], drawn[1][1])

    def test_output_and_failures_are_as_ever(self):
        shim = self.standby({"index.py": "print('at the top')\nraise ValueError('no')\n"})
        self.assertEqual(shim.output(), "", "nothing is written before it has a function")
        self.assign(shim)
        kind, _, head, _ = shim.receive()
        self.assertEqual((kind, head["error_type"], head["message"]), (INIT_FAILED, "ValueError", "no"))
        self.assertEqual(shim.wait(), 1)
        self.assertIn("at the top", shim.output())

    def test_the_servers_end_is_its_end(self):
        shim = self.standby({})
        shim.close()
        self.assertEqual(shim.wait(), 0)


if __name__ == "__main__":
    unittest.main()
