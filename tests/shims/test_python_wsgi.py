"""The Python shim with WSGI applications: recognition, environment, streaming, and ends of streams."""

import json
import unittest

from harness import CANCEL, CHUNK, END, FAILED, HEAD, Shim

PLAIN = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]
"""
ECHO = """
import json
def application(environ, start_response):
    seen = {name: value for name, value in environ.items() if isinstance(value, (str, bool))}
    seen["body"] = environ["wsgi.input"].read().decode("latin-1")
    start_response("201 Created", [("X-One", "1"), ("X-Two", "\\xe9")])
    return [json.dumps(seen).encode()]
"""


class Recognition(unittest.TestCase):
    def kind(self, source, handler="main.application"):
        shim = Shim(self, {"main.py": source}, handler)
        return shim.ready(), shim

    def test_ways_to_name_an_application(self):
        for source, handler in (
            (PLAIN, "main.application"),
            (
                PLAIN
                + "class A:\n    def __call__(self, env, start):\n        return application(env, start)\na = A()\n",
                "main.a",
            ),
            (
                PLAIN
                + "class B:\n    def serve(self, environ, start_response):\n"
                + "        return application(environ, start_response)\nb = B().serve\n",
                "main.b",
            ),
            (PLAIN + "def create_app():\n    return application\n", "main.create_app"),
            (PLAIN + "def create_app(config=None, debug=False):\n    return application\n", "main.create_app"),
            (PLAIN + "def whatever():\n    return application\n", "main.whatever"),
        ):
            with self.subTest(handler):
                ready, shim = self.kind(source, handler)
                self.assertEqual(ready["serves"], "wsgi")
                self.assertEqual(shim.request()[2], b"hello")

    def test_a_module_that_starts_its_own_server_is_served(self):
        source = PLAIN + (
            "from wsgiref.simple_server import make_server\n"
            "try:\n    make_server('127.0.0.1', 0, application).serve_forever()\n"
            "except Exception:\n    pass\nraise SystemError('never reached')\n"
        )
        ready, shim = self.kind(source, "main.handler")
        self.assertEqual(ready["serves"], "wsgi")
        self.assertEqual(shim.request()[2], b"hello")

    def test_a_guarded_server_and_one_started_by_a_handler_are_left_alone(self):
        source = """
            from wsgiref.simple_server import make_server
            import threading, urllib.request
            def application(environ, start_response):
                start_response("200 OK", [])
                return [b"own"]
            def handler(event, context):
                server = make_server("127.0.0.1", 0, application)
                threading.Thread(target=server.serve_forever, daemon=True).start()
                with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/") as answer:
                    return answer.read().decode()
            if __name__ == "__main__":
                make_server("127.0.0.1", 0, application).serve_forever()
        """
        ready, shim = self.kind(source, "main.handler")
        self.assertEqual(ready["serves"], "handler")
        self.assertEqual(shim.result({}), "own")

    def test_a_function_without_arguments_that_makes_no_application_is_explained(self):
        shim = Shim(self, {"main.py": "def handler():\n    return 5\n"}, "main.handler")
        failure = shim.init_failed()
        self.assertEqual(failure["error_type"], "Runtime.HandlerNotFound")
        self.assertIn("returned int, which is no WSGI or ASGI application", failure["message"])

    def test_a_factory_that_raises_is_its_own_error(self):
        shim = Shim(self, {"main.py": "def create_app():\n    raise KeyError('SECRET')\n"}, "main.create_app")
        self.assertEqual(shim.init_failed()["error_type"], "KeyError")

    def test_a_web_applications_logging_is_its_own(self):
        source = PLAIN.replace(
            "def app", "import logging\nlogging.basicConfig(level='INFO', format='mine %(message)s')\ndef app", 1
        )
        source = source.replace("    start_response", "    logging.info('shown')\n    start_response", 1)
        _, shim = self.kind(source)
        shim.request()
        self.assertEqual(shim.output(), "mine shown\n")


class Environment(unittest.TestCase):
    def seen(self, **request):
        shim = Shim(self, {"main.py": ECHO}, "main.application")
        shim.ready()
        status, headers, body = shim.request(**request)
        self.assertEqual((status, headers), (201, [["X-One", "1"], ["X-Two", "\xe9"]]))
        return json.loads(body)

    def test_a_request_is_what_the_specification_says(self):
        seen = self.seen(
            method="POST",
            target="/caf%C3%A9/%2Fx?q=%20&a=1",
            headers=[
                ["content-type", "a/b"],
                ["content-length", "4"],
                ["cookie", "a=1"],
                ["cookie", "b=2"],
                ["accept", "x"],
                ["accept", "y"],
            ],
            body=b"\x00\xff12",
        )
        expected = {
            "REQUEST_METHOD": "POST",
            "SCRIPT_NAME": "",
            "PATH_INFO": "/caf\xc3\xa9//x",
            "QUERY_STRING": "q=%20&a=1",
            "CONTENT_TYPE": "a/b",
            "CONTENT_LENGTH": "4",
            "HTTP_COOKIE": "a=1; b=2",
            "HTTP_ACCEPT": "x,y",
            "HTTP_HOST": "web.localhost:8080",
            "SERVER_NAME": "web.localhost",
            "SERVER_PORT": "8080",
            "REMOTE_ADDR": "192.0.2.7",
            "wsgi.url_scheme": "http",
            "wsgi.multithread": False,
            "body": "\x00\xff12",
        }
        self.assertEqual({name: seen.get(name) for name in expected}, expected)

    def test_headers_that_would_pass_for_others_are_left_out(self):
        seen = self.seen(
            headers=[["x_forwarded_for", "1"], ["proxy", "evil"], ["transfer-encoding", "chunked"]], body=b"abc"
        )
        self.assertFalse({"HTTP_X_FORWARDED_FOR", "HTTP_PROXY", "HTTP_TRANSFER_ENCODING"} & set(seen))
        self.assertEqual(seen["CONTENT_LENGTH"], "3")


class Answers(unittest.TestCase):
    def shim(self, source):
        shim = Shim(self, {"main.py": source}, "main.application")
        shim.ready()
        return shim

    def test_what_is_yielded_is_sent_at_once(self):
        shim = self.shim("""
            import os
            def application(environ, start_response):
                start_response("200 OK", [])
                yield b"one"
                yield b""
                while not os.path.exists("go"):
                    os.sched_yield()
                yield b"two"
        """)
        shim.send_request()
        self.assertEqual(shim.receive(), (HEAD, 1, {"status": 200, "headers": []}, b"one"))
        (shim.root / "go").touch()  # Only now may the second part exist.
        self.assertEqual(shim.receive(), (CHUNK, 1, {}, b"two"))
        self.assertEqual(shim.receive(), (END, 1, {}, b""))

    def test_write_callable_large_bodies_and_close(self):
        shim = self.shim("""
            class Body:
                def __iter__(self):
                    return iter([b"b" * 3_000_000])
                def close(self):
                    print("closed")
            def application(environ, start_response):
                write = start_response("200 OK", [])
                write(b"a")
                return Body()
        """)
        self.assertEqual(shim.request()[2], b"a" + b"b" * 3_000_000)
        self.assertEqual(shim.output(), "closed\n")

    def test_the_client_has_its_answer_before_close_is_done(self):
        shim = self.shim("""
            import os
            class Body(list):
                def close(self):
                    while not os.path.exists("go"):
                        os.sched_yield()
            def application(environ, start_response):
                start_response("200 OK", [("Content-Length", "4")])
                return Body([b"body"])
        """)
        shim.send_request()
        kind, _, _, body = shim.receive()
        self.assertEqual((kind, body), (HEAD, b"body"))
        (shim.root / "go").touch()
        self.assertEqual(shim.receive()[0], END)

    def test_no_body_where_there_must_be_none(self):
        shim = self.shim(PLAIN)
        self.assertEqual(
            shim.request(method="HEAD"), (200, [["Content-Type", "text/plain"], ["Content-Length", "5"]], b"")
        )
        shim = self.shim(
            "def application(environ, start_response):\n"
            "    start_response('304 Not Modified', [])\n    return [b'no']\n"
        )
        self.assertEqual(shim.request(), (304, [], b""))

    def test_the_body_may_be_read_after_start_response(self):
        shim = self.shim(
            "def application(environ, start_response):\n"
            "    start_response('200 OK', [])\n    yield environ['wsgi.input'].readline()\n"
        )
        self.assertEqual(shim.request(method="POST", body=b"line\nmore")[2], b"line\n")

    def test_an_error_before_the_head_is_a_failure_and_after_it_a_broken_body(self):
        shim = self.shim("""
            def application(environ, start_response):
                if environ["PATH_INFO"] == "/before":
                    raise ValueError("before")
                start_response("200 OK", [])
                if environ["PATH_INFO"] == "/replaced":
                    import sys
                    try:
                        raise ValueError("replaced")
                    except ValueError:
                        start_response("500 Oh", [], sys.exc_info())
                        return [b"page"]
                return after()
            def after():
                yield b"some"
                raise ValueError("after")
        """)
        shim.send_request(target="/before")
        kind, _, head, _ = shim.receive()
        self.assertEqual((kind, head["error_type"], head["message"]), (FAILED, "ValueError", "before"))
        self.assertIn("in application", head["stack_trace"][0])
        self.assertEqual(shim.request(target="/replaced"), (500, [], b"page"))
        shim.send_request(target="/after")
        self.assertEqual([shim.receive()[0], shim.receive()[0]], [HEAD, FAILED])
        self.assertIn("[ERROR] ValueError: after\n", shim.output())

    def test_an_application_that_answers_nothing_fails(self):
        shim = self.shim("def application(environ, start_response):\n    return []\n")
        shim.send_request()
        self.assertEqual(shim.receive()[0], FAILED)

    def test_a_stream_stops_when_its_client_has_gone(self):
        shim = self.shim("""
            class Endless:
                def __iter__(self):
                    return self
                def __next__(self):
                    return b"x" * 1000
                def close(self):
                    print("closed")
            def application(environ, start_response):
                start_response("200 OK", [])
                return Endless() if environ["PATH_INFO"] == "/" else [b"next"]
        """)
        shim.send_request()
        for _ in range(10):
            shim.receive()
        shim.send(CANCEL, 1, {})
        shim.send_request(target="/other", stream=2)
        while (frame := shim.receive())[0] == CHUNK:
            pass
        self.assertEqual(frame[:2], (END, 1))
        self.assertEqual(shim.receive()[1:], (2, {"status": 200, "headers": []}, b"next"))
        self.assertEqual(shim.output(), "closed\n")

    def test_a_stream_ends_the_process_when_the_server_has_gone(self):
        shim = self.shim(
            "def application(environ, start_response):\n"
            "    start_response('200 OK', [])\n    while True:\n        yield b'x' * 1000\n"
        )
        shim.send_request()
        shim.receive()
        shim.close()
        self.assertEqual(shim.wait(), 0)


if __name__ == "__main__":
    unittest.main()
