"""The Python shim with ASGI applications: lifespan, scope, concurrency, streaming and disconnects."""

import json
import signal
import unittest

from harness import CANCEL, CHUNK, END, FAILED, HEAD, Shim

PLAIN = """
async def application(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-one", b"\\xe9")]})
    await send({"type": "http.response.body", "body": b"hello"})
"""
LIFESPAN = """
class Application:
    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            assert (await receive())["type"] == "lifespan.startup"
            print("up", flush=True)
            scope["state"]["made"] = "once"
            await send({"type": "lifespan.startup.complete"})
            assert (await receive())["type"] == "lifespan.shutdown"
            print("down")
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": scope["state"]["made"].encode()})
application = Application()
"""


class Applications(unittest.TestCase):
    def shim(self, source):
        shim = Shim(self, {"main.py": source}, "main.application")
        self.assertEqual(shim.ready()["serves"], "asgi")
        return shim

    def test_an_application_without_lifespan(self):
        shim = self.shim(PLAIN)
        self.assertEqual(shim.request(), (200, [["x-one", "\xe9"]], b"hello"))
        self.assertEqual(shim.request(method="HEAD")[2], b"")
        shim.close()
        self.assertEqual((shim.wait(), shim.output()), (0, ""))

    def test_lifespan_from_startup_to_shutdown(self):
        shim = self.shim(LIFESPAN)
        self.assertEqual(shim.request()[2], b"once")
        shim.close()
        self.assertEqual((shim.wait(), shim.output()), (0, "up\ndown\n"))

    def test_sigterm_shuts_down(self):
        shim = self.shim(LIFESPAN)
        shim.process.send_signal(signal.SIGTERM)
        self.assertEqual((shim.wait(), shim.output()), (0, "up\ndown\n"))

    def test_a_startup_that_fails_is_an_init_error(self):
        source = """
            async def application(scope, receive, send):
                await receive()
                await send({"type": "lifespan.startup.failed", "message": "no database"})
        """
        failure = Shim(self, {"main.py": source}, "main.application").init_failed()
        self.assertEqual((failure["error_type"], failure["message"]), ("Runtime.StartupFailed", "no database"))

    def test_the_scope_is_what_the_specification_says(self):
        shim = self.shim("""
            import json
            async def application(scope, receive, send):
                seen = {name: repr(value) for name, value in scope.items()}
                seen["message"] = repr(await receive())
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": json.dumps(seen).encode()})
        """)
        answer = shim.request(method="PUT", target="/caf%C3%A9%2F?q=%20", headers=[["x-a", "\xe9"]], body=b"abc")
        seen = json.loads(answer[2])
        expected = {
            "type": "'http'",
            "method": "'PUT'",
            "path": "'/café/'",
            "raw_path": "b'/caf%C3%A9%2F'",
            "query_string": "b'q=%20'",
            "root_path": "''",
            "headers": r"[(b'host', b'web.localhost:8080'), (b'x-a', b'\xe9')]",
            "client": "('192.0.2.7', 40000)",
            "server": "('web.localhost', 8080)",
            "message": "{'type': 'http.request', 'body': b'abc', 'more_body': False}",
        }
        self.assertEqual({name: seen.get(name) for name in expected}, expected)

    def test_requests_run_concurrently_and_parts_are_sent_at_once(self):
        shim = self.shim("""
            import asyncio
            meeting = asyncio.Event()
            async def application(scope, receive, send):
                assert scope["type"] == "http"
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": b"first", "more_body": True})
                if scope["path"] == "/waits":
                    await meeting.wait()
                else:
                    meeting.set()
                await send({"type": "http.response.body", "body": b"z" * 2_500_000, "more_body": False})
        """)
        shim.send_request(target="/waits", stream=1)
        self.assertEqual(shim.receive(), (HEAD, 1, {"status": 200, "headers": []}, b"first"))
        shim.send_request(target="/frees", stream=2)
        bodies, ended = {1: b"", 2: b""}, 0
        while ended < 2:
            kind, stream, _, body = shim.receive()
            self.assertIn(kind, (HEAD, CHUNK, END))
            bodies[stream] += body
            ended += kind == END
        self.assertEqual(bodies[1], b"z" * 2_500_000)
        self.assertEqual(bodies[2], b"first" + bodies[1])

    def test_errors_before_and_after_the_head(self):
        shim = self.shim("""
            async def application(scope, receive, send):
                if scope["path"] == "/silent":
                    return
                if scope["path"] == "/after":
                    await send({"type": "http.response.start", "status": 200, "headers": []})
                    await send({"type": "http.response.body", "body": b"some", "more_body": True})
                raise ValueError("oh")
        """)
        shim.send_request(target="/before")
        kind, _, head, _ = shim.receive()
        self.assertEqual((kind, head["error_type"], head["message"]), (FAILED, "ValueError", "oh"))
        shim.send_request(target="/after")
        self.assertEqual([shim.receive()[0], shim.receive()[0]], [HEAD, FAILED])
        shim.send_request(target="/silent")
        self.assertEqual(shim.receive()[0], FAILED)

    def test_a_disconnect_reaches_receive_and_send(self):
        shim = self.shim("""
            async def application(scope, receive, send):
                assert scope["type"] == "http"
                await receive()
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": b"some", "more_body": True})
                print((await receive())["type"])
                try:
                    await send({"type": "http.response.body", "body": b"x", "more_body": True})
                except OSError:
                    print("refused")
                    raise
        """)
        shim.send_request()
        self.assertEqual(shim.receive()[0], HEAD)
        shim.send(CANCEL, 1, {})
        self.assertEqual(shim.receive()[:2], (END, 1))
        self.assertEqual(shim.output(), "http.disconnect\nrefused\n")


if __name__ == "__main__":
    unittest.main()
