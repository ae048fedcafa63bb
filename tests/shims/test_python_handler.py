"""The Python shim with Lambda handlers: results, errors, context, logs and the ends of a process."""

import json
import unittest

from harness import CANCEL, FAILED, REQUEST_ID, RESULT, Shim


class Handlers(unittest.TestCase):
    def shim(self, source, handler="main.handler", **options):
        return Shim(self, {"main.py": source}, handler, **options)

    def test_answers_events_until_the_server_goes(self):
        shim = self.shim("def handler(event, context):\n    return [event, context.function_name]\n")
        self.assertEqual(shim.ready()["serves"], "handler")
        for payload in ({"a": "ü"}, [1, 2.5, None], True, 3):
            self.assertEqual(shim.result(payload), [payload, "hello"])
        shim.close()
        self.assertEqual(shim.wait(), 0)

    def test_reads_frames_that_come_together_and_in_pieces(self):
        shim = self.shim("def handler(event, context):\n    return len(event)\n")
        shim.ready()
        for stream, payload in ((1, [0] * 3), (2, ["x"] * 200_000), (3, [0] * 5)):
            shim.send_event(payload, stream)
        shim.send(CANCEL, 3, {})
        answers = [shim.receive() for _ in range(3)]
        expected = [(RESULT, 1, {}, b"3"), (RESULT, 2, {}, b"200000"), (RESULT, 3, {}, b"5")]
        self.assertEqual(answers, expected)

    def test_context_is_lambdas(self):
        shim = self.shim("""
            def handler(event, context):
                return {
                    "all": [context.aws_request_id, context.function_version, context.memory_limit_in_mb,
                            context.log_group_name, context.log_stream_name, context.invoked_function_arn],
                    "left": context.get_remaining_time_in_millis(),
                    "custom": context.client_context.custom,
                    "identity": context.identity.cognito_identity_id,
                }
        """)
        shim.ready()
        answer = shim.result({}, seconds=5, client_context='{"custom": {"k": "v"}}')
        arn = "arn:aws:lambda:us-east-1:000000000000:function:hello:7"
        self.assertEqual(answer["all"], [REQUEST_ID, "7", "128", "/aws/lambda/hello", "stream", arn])
        self.assertTrue(0 < answer["left"] <= 5000, answer)
        self.assertEqual((answer["custom"], answer["identity"]), ({"k": "v"}, None))

    def test_results_are_written_as_by_aws(self):
        shim = self.shim("""
            from decimal import Decimal
            def handler(event, context):
                numbers = {"price": Decimal("1.10"), "big": Decimal(12345678901234567890), "nan": Decimal("NaN")}
                return {**numbers, "s": '"ü\\n'}
        """)
        shim.ready()
        kind, _, _, body = shim.invoke({})
        self.assertEqual(kind, RESULT)
        self.assertIn(b'"price": 1.10, "big": 12345678901234567890, "nan": NaN', body)
        self.assertEqual(json.loads(body)["s"], '"ü\n')

    def test_what_cannot_be_written_is_a_marshal_error(self):
        shim = self.shim("def handler(event, context):\n    return {'a': {1, 2}}\n")
        shim.ready()
        failure = shim.failure({})
        self.assertEqual(failure["error_type"], "Runtime.MarshalError")
        self.assertEqual(failure["message"], "Unable to marshal response: Object of type set is not JSON serializable")

    def test_what_cannot_be_read_is_an_unmarshal_error(self):
        shim = self.shim("def handler(event, context):\n    return event\n")
        shim.ready()
        failure = shim.failure('{"a": ')
        self.assertEqual(failure["error_type"], "Runtime.UnmarshalError")
        self.assertRegex(failure["message"], "^Unable to unmarshal input: .*char 6")
        self.assertEqual(shim.result({"still": "alive"}), {"still": "alive"})

    def test_a_result_that_no_frame_holds_is_named(self):
        shim = self.shim("def handler(event, context):\n    return 'x' * (65 * 1024 * 1024)\n")
        shim.ready()
        self.assertEqual(shim.failure({})["error_type"], "Function.ResponseSizeTooLarge")

    def test_an_error_has_type_message_trace_and_log(self):
        shim = self.shim("def deep():\n    return {}['missing']\n\ndef handler(event, context):\n    return deep()\n")
        shim.ready()
        failure = shim.failure({})
        self.assertEqual((failure["error_type"], failure["message"]), ("KeyError", "'missing'"))
        first, second = failure["stack_trace"]
        self.assertRegex(first, r'^  File ".*/main.py", line 5, in handler\n    return deep\(\)\n')
        self.assertRegex(second, r"^  File \".*/main.py\", line 2, in deep\n    return \{\}\['missing'\]\n$")
        self.assertRegex(
            shim.output(), r"^\[ERROR\] KeyError: 'missing'\nTraceback \(most recent call last\):\n  File "
        )

    def test_prints_and_logging_are_out_before_the_answer(self):
        shim = self.shim("""
            import logging, sys, threading
            logging.basicConfig(level="DEBUG", format="mine %(message)s")
            logger = logging.getLogger("a")
            def handler(event, context):
                print("partial", end="")
                sys.stderr.write(" line\\n")
                logger.warning("careful %s", 1)
                thread = threading.Thread(target=logger.error, args=("threaded",))
                thread.start(); thread.join()
                logger.info("not shown: the level is WARNING, as on AWS")
        """)
        shim.ready()
        self.assertIsNone(shim.result({}))
        first, warning, error, *rest = shim.output().splitlines()
        self.assertEqual((first, rest), ("partial line", []))
        when = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,3}Z"
        self.assertRegex(warning, rf"^\[WARNING\]\t{when}\t{REQUEST_ID}\tcareful 1$")
        self.assertRegex(error, rf"^\[ERROR\]\t{when}\t{REQUEST_ID}\tthreaded$")

    def test_exit_in_the_handler_is_the_status_of_the_process(self):
        for source, status in (("import sys\nsys.exit(3)", 3), ("import os\nos._exit(5)", 5), ("raise SystemExit", 0)):
            with self.subTest(source):
                shim = self.shim("def handler(event, context):\n    " + source.replace("\n", "; ") + "\n")
                shim.ready()
                self.assertIsNone(shim.invoke({}))
                self.assertEqual(shim.wait(), status)

    def test_programs_of_the_user_inherit_nothing_of_ours(self):
        shim = self.shim("""
            import os, subprocess
            def handler(event, context):
                names = subprocess.run(["ls", "/proc/self/fd"], capture_output=True, close_fds=False).stdout.split()
                return [len(names), "LAMBENT_FRAMES_FD" in os.environ]
        """)
        shim.ready()
        # The three standard ones, and the directory that ls reads.
        self.assertEqual(shim.result({}), [4, False])

    def test_the_users_modules_win(self):
        files = {
            "main.py": """
                import frames, text, context, sys
                def handler(event, context_):
                    return [frames.x, text.x, context.x, sys.path[0]]
            """,
            **{f"{name}.py": f"x = '{name}'\n" for name in ("frames", "text", "context")},
        }
        shim = Shim(self, files, "main.handler")
        shim.ready()
        self.assertEqual(shim.result({}), ["frames", "text", "context", str(shim.root)])


class Loading(unittest.TestCase):
    def loaded(self, files, handler):
        shim = Shim(self, files, handler)
        shim.ready()
        return shim.result({})

    def failed(self, source, handler="main.handler"):
        return Shim(self, {"main.py": source}, handler).init_failed()

    def test_handlers_in_packages_directories_and_classes(self):
        source = """
            class A:
                @staticmethod
                def run(event, context):
                    return 'A'
            def handler(event, context):
                return __name__
        """
        files = {"main.py": source, "pkg/__init__.py": "", "pkg/mod.py": source}
        self.assertEqual(self.loaded(files, "main.handler"), "main")
        self.assertEqual(self.loaded(files, "pkg.mod.handler"), "pkg.mod")
        self.assertEqual(self.loaded(files, "pkg/mod.handler"), "pkg.mod")
        self.assertEqual(self.loaded(files, "main.A.run"), "A")
        self.assertEqual(self.loaded(files, "pkg.mod.A.run"), "A")

    def test_handlers_whose_arguments_have_defaults_stay_handlers(self):
        self.assertEqual(
            self.loaded({"main.py": "def handler(event=None, context=None):\n    return 1\n"}, "main.handler"), 1
        )
        self.assertEqual(self.loaded({"main.py": "def handler(*args):\n    return len(args)\n"}, "main.handler"), 2)
        partial = "import functools\nhandler = functools.partial(lambda n, e, c: n, 9)\n"
        self.assertEqual(self.loaded({"main.py": partial}, "main.handler"), 9)

    def test_a_missing_module_is_named(self):
        failure = self.failed("", "absent.handler")
        self.assertEqual(failure["error_type"], "Runtime.ImportModuleError")
        self.assertEqual(failure["message"], "Unable to import module 'absent': No module named 'absent'")

    def test_a_missing_dependency_is_named(self):
        failure = self.failed("import not_installed\n")
        self.assertEqual(failure["message"], "Unable to import module 'main': No module named 'not_installed'")

    def test_a_missing_handler_is_named(self):
        failure = self.failed("x = 1\n")
        self.assertEqual(failure["error_type"], "Runtime.HandlerNotFound")
        self.assertEqual(failure["message"], "Handler 'handler' missing on module 'main'")
        self.assertEqual(self.failed("handler = 1\n")["error_type"], "Runtime.HandlerNotFound")

    def test_a_syntax_error_has_its_line(self):
        failure = self.failed("x = 1\ndef handler(:\n")
        self.assertEqual(failure["error_type"], "Runtime.UserCodeSyntaxError")
        self.assertRegex(failure["message"], r"^Syntax error in module 'main': .*\(main.py, line 2\)$")
        self.assertRegex(failure["stack_trace"][0], r'main.py" Line 2\n    def handler\(:$')

    def test_a_malformed_name(self):
        failure = self.failed("", "handler")
        self.assertEqual(failure["error_type"], "Runtime.MalformedHandlerName")
        self.assertEqual(failure["message"], "Bad handler 'handler': not enough values to unpack (expected 2, got 1)")

    def test_an_error_at_module_level_keeps_its_type_and_the_users_frames(self):
        failure = self.failed("def boom():\n    return 1 / 0\nboom()\n")
        self.assertEqual((failure["error_type"], failure["message"]), ("ZeroDivisionError", "division by zero"))
        self.assertEqual(len(failure["stack_trace"]), 2, failure)
        self.assertIn("line 3, in <module>", failure["stack_trace"][0])

    def test_exit_at_module_level_is_the_status_of_the_process(self):
        shim = Shim(self, {"main.py": "import sys\nsys.exit(4)\n"}, "main.handler")
        self.assertIsNone(shim.receive())
        self.assertEqual(shim.wait(), 4)

    def test_a_request_for_a_handler_is_refused(self):
        shim = Shim(self, {"main.py": "def handler(e, c):\n    return 1\n"}, "main.handler")
        shim.ready()
        shim.send_request()
        self.assertEqual(shim.receive()[0], FAILED)
        self.assertEqual(shim.result({}), 1)


if __name__ == "__main__":
    unittest.main()
