"""The Node shim: handlers in every style, errors under AWS's names, logs, and own servers."""

import socket
import unittest
import urllib.request

from harness import FAILED, LISTENING, REQUEST_ID, Shim, WithNode


class Handlers(WithNode):
    def answer(self, files, handler="index.handler", payload=None):
        shim = self.shim(files, handler)
        shim.ready()
        return shim.result({"n": 1} if payload is None else payload)

    def test_every_kind_of_module(self):
        exported = "exports.handler = async (event) => ({ got: event });\n"
        for files in (
            {"index.mjs": "export const handler = async (event) => ({ got: event });\n"},
            {"index.js": exported},
            {"index.cjs": exported},
            {
                "index.js": "export const handler = async (event) => ({ got: event });\n",
                "package.json": '{"type": "module"}',
            },
            {
                "index.js": "module.exports = { async handler(event) { return { got: event }; } };\n",
                "package.json": "{}",
            },
        ):
            with self.subTest(files):
                self.assertEqual(self.answer(files), {"got": {"n": 1}})

    def test_nested_directories_and_exports(self):
        files = {"src/deep/fn.js": "exports.a = { b: async () => __filename.slice(-14) };\n"}
        self.assertEqual(self.answer(files, "src/deep/fn.a.b"), "src/deep/fn.js")

    def test_every_style_of_answer(self):
        for body, expected in (
            ("async () => undefined", None),
            ("(event, context, callback) => setTimeout(() => callback(null, 'later'), 1)", "later"),
            ("(event, context, callback) => callback(null, 'now')", "now"),
            ("(event, context) => context.succeed('legacy')", "legacy"),
            ("(event, context) => { setTimeout(() => context.done(null, 'done'), 1); }", "done"),
            ("() => 'ignored, as on AWS'", None),
            ("() => ({ then: (resolve) => resolve('thenable') })", "thenable"),
        ):
            with self.subTest(body):
                shim = self.shim({"index.js": f"exports.handler = {body};\n"})
                shim.ready()
                for _ in range(3):
                    self.assertEqual(shim.result({}), expected)
                shim.close()
                self.assertEqual(shim.wait(), 0)

    def test_context_is_lambdas(self):
        shim = self.shim(
            {
                "index.mjs": "export const handler = async (event, context) =>\n"
                "  ({ ...context, left: context.getRemainingTimeInMillis() });\n"
            }
        )
        shim.ready()
        context = shim.result({}, seconds=5, client_context='{"custom": {"k": "v"}}')
        self.assertTrue(0 < context.pop("left") <= 5000)
        expected = {
            "callbackWaitsForEmptyEventLoop": True,
            "functionName": "hello",
            "functionVersion": "7",
            "memoryLimitInMB": "128",
            "logGroupName": "/aws/lambda/hello",
            "logStreamName": "stream",
            "clientContext": {"custom": {"k": "v"}},
            "invokedFunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:hello:7",
            "awsRequestId": REQUEST_ID,
        }
        self.assertEqual(context, expected)

    def test_large_payloads_both_ways(self):
        self.assertEqual(
            self.answer({"index.mjs": "export const handler = async (event) => event;\n"}, payload=["ü" * 2_000_000]),
            ["ü" * 2_000_000],
        )

    def test_a_streaming_handler_is_collected(self):
        source = """
            exports.handler = awslambda.streamifyResponse(async (event, stream, context) => {
              const metadata = { statusCode: 201, headers: { a: "b" } };
              if (event.http) stream = awslambda.HttpResponseStream.from(stream, metadata);
              stream.write("one ");
              stream.end("two");
            });
        """
        shim = self.shim({"index.js": source})
        shim.ready()
        self.assertEqual(shim.result({}), "one two")
        expected = {"statusCode": 201, "headers": {"a": "b"}, "body": "one two", "isBase64Encoded": False}
        self.assertEqual(shim.result({"http": True}), expected)

    def test_logs_have_awss_form_and_are_out_before_the_answer(self):
        source = """
            export const handler = async () => {
              console.log('a %d', 1, { b: 2 });
              console.error('bad');
              console.debug('d');
            };
        """
        shim = self.shim({"index.mjs": source})
        shim.ready()
        shim.result({})
        lines = shim.output().splitlines()
        when = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
        self.assertEqual(len(lines), 3)
        for line, level, text in zip(lines, ("INFO", "ERROR", "DEBUG"), (r"a 1 \{ b: 2 \}", "bad", "d")):
            self.assertRegex(line, rf"{when}\t{REQUEST_ID}\t{level}\t{text}$")


class Errors(WithNode):
    def failed(self, files, handler="index.handler"):
        return self.shim(files, handler).init_failed()

    def test_what_a_handler_throws(self):
        for body in (
            "async () => { throw new TypeError('oh'); }",
            "() => { throw new TypeError('oh'); }",
            "(event, context, callback) => callback(new TypeError('oh'))",
            "(event, context) => context.fail(new TypeError('oh'))",
        ):
            with self.subTest(body):
                shim = self.shim({"index.js": f"exports.handler = {body};\n"})
                shim.ready()
                failure = shim.failure({})
                self.assertEqual((failure["error_type"], failure["message"]), ("TypeError", "oh"))
                self.assertRegex(failure["stack_trace"][1], r"^    at .*index\.js:1:\d+")
                self.assertEqual(len(failure["stack_trace"]), 2, "only the user's frames")
                self.assertIn('\tERROR\tInvoke Error\t{"errorType":"TypeError","errorMessage":"oh"', shim.output())

    def test_what_is_thrown_and_no_error(self):
        shim = self.shim({"index.mjs": "export const handler = async () => { throw 'text'; };\n"})
        shim.ready()
        self.assertEqual(shim.failure({}), {"error_type": "string", "message": "text", "stack_trace": []})

    def test_values_that_json_cannot_say(self):
        shim = self.shim({"index.mjs": "export const handler = async () => 1n;\n"})
        shim.ready()
        self.assertEqual(shim.failure({})["error_type"], "Runtime.MarshalError")

    def test_a_result_that_no_frame_holds_is_named(self):
        shim = self.shim({"index.mjs": "export const handler = async () => 'x'.repeat(65 * 1024 * 1024);\n"})
        shim.ready()
        self.assertEqual(shim.failure({})["error_type"], "Function.ResponseSizeTooLarge")

    def test_init_errors_have_awss_names(self):
        for files, error_type, message in (
            ({}, "Runtime.ImportModuleError", "Error: Cannot find module 'index'"),
            ({"index.js": "require('absent');\n"}, "Runtime.ImportModuleError", "Error: Cannot find module 'absent'"),
            (
                {"index.mjs": "import 'absent';\n"},
                "Runtime.ImportModuleError",
                "Error \\[ERR_MODULE_NOT_FOUND\\]: Cannot find package 'absent'|Error: Cannot find package 'absent'",
            ),
            (
                {"index.js": "exports.other = 1;\n"},
                "Runtime.HandlerNotFound",
                "^index.handler is undefined or not exported$",
            ),
            ({"index.js": "exports.handler = 1;\n"}, "Runtime.HandlerNotFound", "^index.handler is not a function$"),
            (
                {"index.js": "exports.handler = (;\n"},
                "Runtime.UserCodeSyntaxError",
                "^SyntaxError: Unexpected token ';'",
            ),
            (
                {"index.js": "import x from 'fs';\nvar await;\n"},
                "Runtime.UserCodeSyntaxError",
                "^SyntaxError: Cannot use import statement outside a module|SyntaxError",
            ),
            ({"index.js": "throw new RangeError('at load');\n"}, "RangeError", "^at load$"),
        ):
            with self.subTest(files):
                failure = self.failed(files)
                self.assertEqual(failure["error_type"], error_type, failure)
                self.assertRegex(failure["message"], message)
        self.assertEqual(self.failed({}, "index")["error_type"], "Runtime.MalformedHandlerName")
        self.assertEqual(self.failed({}, "../index.handler")["error_type"], "Runtime.MalformedHandlerName")

    def test_what_nobody_catches_ends_the_process_after_it_is_reported(self):
        for body, error_type, message, status in (
            (
                "() => { setTimeout(() => { throw new RangeError('late'); }, 1); return new Promise(() => {}); }",
                "RangeError",
                "late",
                129,
            ),
            (
                "() => { Promise.reject(new RangeError('lost')); return new Promise(() => {}); }",
                "Runtime.UnhandledPromiseRejection",
                "RangeError: lost",
                128,
            ),
        ):
            with self.subTest(error_type):
                shim = self.shim({"index.js": f"exports.handler = {body};\n"})
                shim.ready()
                failure = shim.failure({})
                self.assertEqual((failure["error_type"], failure["message"]), (error_type, message))
                self.assertEqual(shim.wait(), status)

    def test_exit_in_the_handler_is_the_status_of_the_process(self):
        shim = self.shim({"index.js": "exports.handler = async () => process.exit(3);\n"})
        shim.ready()
        self.assertIsNone(shim.invoke({}))
        self.assertEqual(shim.wait(), 3)

    def test_a_request_is_refused_with_the_way_out(self):
        shim = self.shim({"index.js": "exports.handler = async () => 1;\n"})
        shim.ready()
        shim.send_request()
        kind, _, head, _ = shim.receive()
        self.assertEqual(kind, FAILED)
        self.assertIn("lambent:server=own", head["message"])

    def test_the_server_goes_while_a_handler_runs(self):
        shim = self.shim({"index.js": "exports.handler = () => new Promise(() => setInterval(() => {}, 1000));\n"})
        shim.ready()
        shim.send_event({})
        shim.close()
        self.assertEqual(shim.wait(), 0)


class Programs(WithNode):
    ADDRESS = "127.0.0.87"

    def listening(self, files, program="server.js"):
        environment = {"LAMBENT_BIND_ADDRESS": self.ADDRESS}
        shim = Shim(self, files, "", environment, arguments=("--run", program), node=True)
        kind, _, head, _ = shim.receive() or (None, None, shim.output(), None)
        self.assertEqual(kind, LISTENING, head)
        return head, shim

    def test_listeners_are_rewritten_and_reported(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]  # In use on 127.0.0.1 for as long as the test runs.
            for listen in (
                f"{port}",
                f"{port}, '0.0.0.0'",
                f"'{port}', 'localhost', 5, () => {{}}",
                f"{{ port: {port}, host: '::' }}",
            ):
                source = "const server = require('http').createServer((q, s) => s.end('own'));\n"
                source += f"if (require.main === module) server.listen({listen});\n"
                with self.subTest(listen):
                    head, shim = self.listening({"server.js": source})
                    self.assertEqual(head, {"host": self.ADDRESS, "port": port})
                    with urllib.request.urlopen(f"http://{self.ADDRESS}:{port}/", timeout=10) as answer:
                        self.assertEqual(answer.read(), b"own")
                    shim.process.kill()
                    shim.wait()

    def test_a_server_that_no_longer_listens_to_reports_does_not_end_the_program(self):
        source = """
            const fs = require("node:fs");
            while (!fs.existsSync("go"));
            const server = require("node:http").createServer();
            server.listen(0, () => server.close(() => console.log("served")));
        """
        environment = {"LAMBENT_BIND_ADDRESS": self.ADDRESS}
        shim = Shim(self, {"server.js": source}, "", environment, arguments=("--run", "server.js"), node=True)
        shim.close()
        (shim.root / "go").touch()
        self.assertEqual((shim.wait(), shim.output()), (0, "served\n"))

    def test_an_es_module_reaches_its_own_port(self):
        source = """
            import http from "node:http";
            const server = http.createServer((q, s) => s.end("own")).listen(0, async () => {
              const answer = await new Promise((done) => http.get({ port: server.address().port }, done));
              answer.resume();
              console.log(answer.statusCode, answer.socket.remoteAddress);
              process.exit(0);
            });
        """
        head, shim = self.listening({"server.mjs": source}, "server.mjs")
        self.assertEqual(head["host"], self.ADDRESS)
        self.assertEqual((shim.wait(), shim.output()), (0, f"200 {self.ADDRESS}\n"))


if __name__ == "__main__":
    unittest.main()
