"""The Python shim as an ember of a program with a server of its own: held at `listen`, forked from there."""

import os
import socket
import unittest
import urllib.request
from pathlib import Path

from embers import Ember
from harness import CANCEL, INIT_FAILED, LISTENING, WithSite

HTTP = """
import http.server, os, random, sys
made = os.getpid()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{os.getpid()} {made} {random.random()} {sys.argv[1:]}".encode())
    def log_message(self, *arguments):
        pass
if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler).serve_forever()
"""
STREAMS = """
import asyncio, os, signal
async def answer(reader, writer):
    await reader.readline()
    await asyncio.sleep(0.001)
    writer.write(b"HTTP/1.0 200 OK\\r\\n\\r\\n%d" % os.getpid())
    writer.close()
async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: os._exit(9))
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    await server.serve_forever()
asyncio.run(main())
"""
UVICORN = """
import asyncio, os, uvicorn
class App:
    started = None
    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            self.started = os.getpid()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            return
        await asyncio.sleep(0.001)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": f"{os.getpid()} {self.started}".encode()})
uvicorn.run(App(), port=0, log_level="warning", reload=False)
"""


def get(host, port):
    with urllib.request.urlopen(f"http://{host}:{port}/", timeout=30) as answer:
        return answer.read().decode()


class Programs(WithSite):
    def ember(self, source, *arguments, files=()):
        files = {"main.py": source, **dict(files)}
        return Ember(self, files, "", self.site, arguments=arguments or ("--run", "main.py", "--flag"))

    def answers(self, ember, instances=2):
        """What each instance of a ready ember answers, by its own address."""
        host, port = ember.ready()["listens"]
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection((host, port), 10)
        for number in range(51, 51 + instances):
            address = f"127.0.0.{number}"
            with socket.create_server((address, port)) as listener:
                ember.fork(listener)
            yield [get(address, port), get(address, port)]

    def test_a_threaded_server(self):
        ember = self.ember(HTTP)
        drawn = set()
        for answers in self.answers(ember):
            for answer in answers:
                process, made, number, arguments = answer.split(" ", 3)
                self.assertIn(int(process), ember.children())
                self.assertEqual((int(made), arguments), (ember.process.pid, "['--flag']"))
                drawn.add(number)
        self.assertEqual(len(drawn), 4)

    def test_a_module_as_program(self):
        ember = self.ember("", "--run", "-m", "pkg", "--flag", files={"pkg/__init__.py": "", "pkg/__main__.py": HTTP})
        for first, _ in self.answers(ember):
            self.assertTrue(first.endswith("['--flag']"))

    def test_flask_with_its_reloader(self):
        source = "from flask import Flask\nimport os\napp = Flask(__name__)\n"
        source += "app.add_url_rule('/', 'index', lambda: str(os.getpid()))\napp.run(debug=True, port=0)\n"
        ember = self.ember(source)
        for first, second in self.answers(ember):
            self.assertEqual(first, second)
            self.assertIn(int(first), ember.children())
        self.assertEqual(ember.output().count("the reloader is off"), 1)

    def test_a_loop_of_asyncio_goes_on_in_each_instance(self):
        ember = self.ember(STREAMS)
        for first, second in self.answers(ember, 3):
            self.assertEqual(first, second)
            self.assertIn(int(first), ember.children())

    def test_a_loop_hears_signals_in_each_instance(self):
        source = STREAMS.replace(
            "    server =", "    loop = asyncio.get_running_loop()\n    server =", 1
        ).replace("await reader.readline()", "await reader.readline(); os.kill(os.getpid(), signal.SIGTERM)")
        ember = self.ember(source)
        port = ember.ready()["listens"][1]
        with socket.create_server(("127.0.0.51", port)) as listener:
            ember.fork(listener)
        with self.assertRaises(OSError):
            get("127.0.0.51", port)
        ember.wait_until_childless()

    def test_uvicorn_with_its_lifespan(self):
        ember = self.ember(UVICORN)
        for first, second in self.answers(ember):
            process, started = first.split()
            self.assertEqual((second, int(started)), (first, ember.process.pid))
            self.assertIn(int(process), ember.children())

    def test_it_opens_nothing_while_it_is_held(self):
        ember = self.ember(HTTP)
        ember.ready()
        kinds = [os.readlink(path).split(":")[0] for path in Path(f"/proc/{ember.process.pid}/fd").iterdir()]
        self.assertEqual(kinds.count("socket"), 3, kinds)  # Frames, control and its own.
        self.assertEqual([kind for kind in kinds if Path(kind).is_dir()], [], kinds)
        self.assertEqual(len(kinds), 7, kinds)  # The standard three, and the rule set.

    def test_what_cannot_be_forked_says_why_and_serves_itself(self):
        for source, reason in (
            (
                STREAMS.replace("    server", "    other = asyncio.create_task(asyncio.sleep(1000))\n    server", 1),
                "its event loop runs 1 more task",
            ),
            (STREAMS.replace('"127.0.0.1", 0', '["127.0.0.1", "127.0.0.2"], 0'), "it is bound to 2 addresses"),
            (
                STREAMS.replace(
                    "asyncio.run(main())",
                    "class Loop(asyncio.SelectorEventLoop):\n    pass\nLoop().run_until_complete(main())",
                ),
                "its event loop is __main__'s",
            ),
        ):
            with self.subTest(reason):
                ember = self.ember(source)
                kind, _, head, _ = ember.receive()
                self.assertEqual(kind, LISTENING)
                self.assertIn(reason, head["unshareable"])
                self.assertEqual(ember.control.recv(1), b"")
                self.assertEqual(get(head["host"], head["port"]), str(ember.process.pid))

    def test_gunicorns_arbiter_is_not_forked(self):
        app = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'x']\n"
        source = "from gunicorn.app.wsgiapp import run\nimport sys\n"
        source += "sys.argv = ['gunicorn', '-b', '127.0.0.1:0', '--worker-tmp-dir', '/tmp', 'web:app']\nrun()\n"
        ember = self.ember(source, files={"web.py": app})
        kind, _, head, _ = ember.receive()
        self.assertEqual(kind, LISTENING)
        self.assertIn("gunicorn's arbiter", head["unshareable"])
        self.assertEqual(get(head["host"], head["port"]), "x")
        ember.process.terminate()
        ember.wait()

    def test_one_that_is_not_shared_is_let_go_by_a_frame(self):
        ember = self.ember(HTTP)
        host, port = ember.ready()["listens"]
        ember.send(CANCEL, 0, {})
        self.assertEqual(ember.control.recv(1), b"")
        self.assertEqual(ember.receive()[::2], (LISTENING, {"host": host, "port": port}))
        self.assertEqual(get(host, port).split()[0], str(ember.process.pid))

    def test_an_order_without_a_listener_makes_nothing(self):
        ember = self.ember(HTTP)
        port = ember.ready()["listens"][1]
        self.assertEqual(ember.order().hello.recv(1), b"")
        with socket.create_server(("127.0.0.51", port)) as listener:
            ember.fork(listener)
        self.assertIn(str(ember.process.pid), get("127.0.0.51", port))

    def test_hooks_run_around_the_fork(self):
        hooks = """
            import os
            from snapshot_restore_py import register_after_restore, register_before_snapshot
            register_before_snapshot(lambda: print("before", flush=True))
            register_after_restore(lambda: print("after", flush=True))
        """
        ember = self.ember(f"import hooks\n{HTTP}", files={"hooks.py": hooks})
        port = ember.ready()["listens"][1]
        with socket.create_server(("127.0.0.51", port)) as listener:
            newborn = ember.fork(listener)
        get("127.0.0.51", port)
        self.assertEqual((ember.output(), newborn.output()), ("before\n", "after\n"))

    def test_a_hook_that_fails_is_an_init_error(self):
        ember = self.ember(
            "import snapshot_restore_py as s\ns.register_before_snapshot(lambda: 1 / 0)\n" + HTTP,
        )
        kind, _, head, _ = ember.receive()
        self.assertEqual((kind, head["error_type"]), (INIT_FAILED, "Runtime.BeforeSnapshotError"))
        self.assertEqual(ember.wait(), 1)


if __name__ == "__main__":
    unittest.main()
