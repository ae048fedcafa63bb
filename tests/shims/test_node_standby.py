"""A Node shim that waits before it knows its function: what it has before, and what it becomes."""

import unittest

from harness import INIT_FAILED, Shim, WithNode

ASSIGN, WAITING = 4, 24
LOOK = """
export const handler = async (event) => ({
  event,
  variables: Object.fromEntries(Object.entries(process.env).sort()),
  directory: process.cwd(),
  arguments: process.argv.length,
  zone: new Date(0).getTimezoneOffset(),
});
"""


class Standby(WithNode):
    def standby(self, files, **environment):
        shim = Shim(self, files, "", {"EARLY": "1", **environment}, ["--standby"], node=True)
        self.assertEqual(shim.receive()[0], WAITING, shim.output())
        return shim

    def assign(self, shim, handler="index.handler", **variables):
        environment = {"_HANDLER": handler, "LAMBDA_TASK_ROOT": str(shim.root), **variables}
        shim.send(ASSIGN, 0, {"environment": list(environment.items()), "directory": str(shim.root)})
        return environment

    def test_it_becomes_the_function_it_is_told(self):
        shim = self.standby({"index.mjs": LOOK})
        environment = self.assign(shim, STAGE="production", UMLAUT="grün = ja")
        self.assertEqual(shim.ready()["serves"], "handler")
        seen = shim.result({"n": 1})
        self.assertEqual(seen["event"], {"n": 1})
        self.assertEqual(seen["variables"], dict(sorted(environment.items())), "the whole of it, and nothing else")
        self.assertEqual(seen["directory"], str(shim.root))
        self.assertEqual(seen["arguments"], 1)

    def test_events_that_come_with_the_assignment_are_answered_after_the_init(self):
        shim = self.standby({"index.js": "exports.handler = async (event) => event.n;\n"})
        self.assign(shim)
        shim.send_event({"n": 7})
        shim.ready()
        self.assertEqual(shim.receive()[3], b"7")

    def test_nothing_of_the_rehearsal_is_left(self):
        source = "exports.handler = async () => Object.keys(require.cache).length;\n"
        shim = self.standby({"index.js": source})
        self.assertEqual(shim.output(), "", "nothing is written before it has a function")
        self.assign(shim)
        shim.ready()
        self.assertEqual(shim.result({}), 1, "the function's own module")

    def test_a_failing_init_is_reported_as_ever(self):
        shim = self.standby({"index.js": "throw new RangeError('at the top');\n"})
        self.assign(shim)
        kind, _, head, _ = shim.receive()
        self.assertEqual((kind, head["error_type"], head["message"]), (INIT_FAILED, "RangeError", "at the top"))
        self.assertEqual(shim.wait(), 1)

    def test_a_missing_module_is_named(self):
        shim = self.standby({})
        self.assign(shim, "nowhere.handler")
        kind, _, head, _ = shim.receive()
        self.assertEqual((kind, head["error_type"]), (INIT_FAILED, "Runtime.ImportModuleError"))

    def test_the_servers_end_is_its_end(self):
        shim = self.standby({})
        shim.close()
        self.assertEqual(shim.wait(), 0)


if __name__ == "__main__":
    unittest.main()
