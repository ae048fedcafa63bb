"""The Python shim as an ember: forks, what a newborn is given, hooks, randomness and ends."""

import json
import os
import unittest

from embers import Ember
from harness import FAILED, INIT_FAILED, REQUEST_ID, RESULT, Shim, WithSite

COUNTER = """
import os
count = 0
def handler(event, context):
    global count
    count += 1
    return [count, event, context.log_stream_name, os.environ.get("TOKEN"), os.getpid(), os.getcwd()]
"""


class Embers(unittest.TestCase):
    def ember(self, source, handler="main.handler", **options):
        return Ember(self, {"main.py": source}, handler, **options)

    def test_instances_are_forked_and_each_has_its_own_state(self):
        ember = self.ember(COUNTER)
        self.assertEqual(ember.ready(), {"serves": "handler", "found": "main.handler: handler"})
        first = ember.fork(AWS_LAMBDA_LOG_STREAM_NAME="one", TOKEN="1")
        second = ember.fork(AWS_LAMBDA_LOG_STREAM_NAME="two")
        self.assertEqual(first.result([1])[:4], [1, [1], "one", "1"])
        self.assertEqual(first.result([2])[:2], [2, [2]])
        count, event, stream, token, process, directory = second.result([3])
        self.assertEqual((count, event, stream, token, directory), (1, [3], "two", None, str(ember.root)))
        self.assertIn(process, ember.children())
        self.assertNotEqual(process, ember.process.pid)

    def test_a_request_may_wait_in_the_frames_before_the_instance_is_born(self):
        ember = self.ember(COUNTER)
        ember.ready()
        newborn = ember.order()
        newborn.send_event(["early"])
        self.assertEqual(newborn.born().receive()[3][:13], b'[1, ["early"]')

    def test_output_goes_to_each_instances_own_end(self):
        ember = self.ember("print('init')\ndef handler(event, context):\n    print('said', event)\n")
        ember.ready()
        newborn = ember.fork()
        newborn.result(1)
        self.assertEqual((newborn.output(), ember.output()), ("said 1\n", "init\n"))

    def test_what_init_left_unwritten_is_written_once(self):
        ember = self.ember("""
            import sys
            sys.stdout = open(1, "w", closefd=False)
            print("once")
            def handler(event, context):
                sys.stdout.flush()
        """)
        ember.ready()
        newborn = ember.fork()
        newborn.result(1)
        self.assertEqual((newborn.output(), ember.output()), ("", "once\n"))

    def test_a_newborn_has_none_of_our_descriptors(self):
        ember = self.ember("""
            import os
            def handler(event, context):
                kinds = []
                for name in os.listdir("/proc/self/fd"):
                    try:
                        kinds.append(os.readlink(f"/proc/self/fd/{name}").split(":")[0])
                    except FileNotFoundError:
                        pass  # The one that listed them.
                return [kinds, os.get_inheritable(1), [name for name in os.environ if name.startswith("LAMBENT")]]
        """)
        ember.ready()
        kinds, inheritable, ours = ember.fork().result(1)
        self.assertEqual((len(kinds), inheritable, ours), (4, True, []), kinds)
        self.assertEqual(kinds.count("socket"), 1, kinds)

    def test_a_newborn_cannot_signal_its_siblings_nor_its_ember(self):
        ember = self.ember("""
            import os
            def handler(event, context):
                try:
                    os.kill(event, 0)
                except PermissionError:
                    return "refused"
                return "allowed"
        """)
        ember.ready()
        first, second = ember.fork(), ember.fork()
        one, two = sorted(ember.children())
        # The control: itself, and from outside.
        self.assertEqual({first.result(one), second.result(one)}, {"allowed", "refused"})
        self.assertEqual({first.result(two), second.result(two)}, {"allowed", "refused"})
        self.assertEqual(first.result(ember.process.pid), "refused")
        os.kill(one, 0)

    def test_children_of_instances_are_reported_to_them_and_newborns_are_reaped(self):
        ember = self.ember("""
            import signal, subprocess
            def handler(event, context):
                default = signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL
                return [subprocess.run(["sh", "-c", "exit 7"]).returncode, default]
        """)
        ember.ready()
        newborns = [ember.fork() for _ in range(5)]
        self.assertEqual(newborns[3].result(1), [7, True])
        for newborn in newborns:
            newborn.close()
        ember.wait_until_childless()

    def test_the_users_own_handler_of_sigchld_survives(self):
        ember = self.ember("""
            import signal
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            def handler(event, context):
                return signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN
        """)
        ember.ready()
        self.assertTrue(ember.fork().result(1))

    def test_the_end_of_the_control_socket_ends_the_ember_and_no_instance(self):
        ember = self.ember("import atexit\natexit.register(print, 'exits')\n" + COUNTER)
        ember.ready()
        newborn = ember.fork()
        newborn.result(1)
        ember.control.close()
        self.assertEqual(ember.wait(), 0)
        self.assertEqual(ember.output(), "")
        self.assertEqual(newborn.result(2)[0], 2)
        newborn.close()

    def test_the_end_of_the_frames_ends_the_ember(self):
        ember = self.ember(COUNTER)
        ember.ready()
        ember.close()
        self.assertEqual(ember.wait(), 0)

    def test_a_request_in_the_frames_is_served_and_no_fork_follows(self):
        ember = self.ember(COUNTER)
        ember.ready()
        self.assertEqual(ember.result(1)[4], ember.process.pid)
        self.assertEqual(ember.control.recv(1), b"", "its end of the control socket is closed")
        self.assertEqual(ember.result(2)[0], 2)
        ember.close()
        self.assertEqual(ember.wait(), 0)

    def test_init_that_fails_is_reported_as_ever(self):
        self.assertEqual(self.ember("1 / 0").init_failed()["error_type"], "ZeroDivisionError")

    def test_a_spare_is_an_instance_like_any_other(self):
        ember = self.ember("""
            import os
            calls = 0
            def handler(event, context):
                global calls
                calls += 1
                return [calls, "LAMBENT_SPARE" in os.environ, context.log_stream_name, context.aws_request_id]
        """)
        ember.ready()
        newborn = ember.fork(LAMBENT_SPARE="1", AWS_LAMBDA_LOG_STREAM_NAME="spare")
        self.assertEqual(newborn.result(1), [1, False, "spare", REQUEST_ID])
        newborn.close()
        ember.wait_until_childless()
        self.assertEqual(newborn.output(), "")

    def test_threads_and_locks_work_in_an_instance(self):
        ember = self.ember("""
            import logging, os, threading
            lock = threading.Lock()
            def handler(event, context):
                main = threading.main_thread()
                with lock:
                    thread = threading.Thread(target=logging.error, args=("threaded",))
                    thread.start(); thread.join()
                forked = os.fork()
                if forked == 0:
                    logging.error("forked")
                    os._exit(3 if threading.active_count() == 1 else 4)
                status = os.WEXITSTATUS(os.waitpid(forked, 0)[1])
                return [main is threading.current_thread(), main.native_id == os.getpid(), status]
        """)
        ember.ready()
        newborn = ember.fork()
        self.assertEqual(newborn.result(1), [True, True, 3])
        self.assertEqual([line.split("\t")[-1] for line in newborn.output().splitlines()], ["threaded", "forked"])

    def test_hooks_after_a_fork_that_the_user_registered_run(self):
        ember = self.ember("""
            import os
            seen = []
            os.register_at_fork(after_in_child=lambda: seen.append("child"), before=lambda: seen.append("before"))
            def handler(event, context):
                return seen
        """)
        ember.ready()
        self.assertEqual(ember.fork().result(1), ["before", "child"])

    def test_a_newborn_ends_as_an_instance_does(self):
        ember = self.ember("import atexit\natexit.register(print, 'exits')\n" + COUNTER)
        ember.ready()
        newborn = ember.fork()
        newborn.result(1)
        newborn.close()
        ember.wait_until_childless()
        self.assertEqual(newborn.output(), "exits\n")


class Randomness(WithSite):
    SOURCE = """
        import random, secrets, ssl, uuid, tempfile, multiprocessing
        import numpy
        from numpy.random import default_rng
        from cryptography.fernet import Fernet
        from cryptography.hazmat.primitives.asymmetric import x25519

        own, chosen = random.Random(), random.Random(42)
        generator, seeded = default_rng(), default_rng(42)
        names = tempfile._get_candidate_names()

        def draw():
            key = x25519.X25519PrivateKey.generate().private_bytes_raw().hex()
            return {
                "random": random.random(), "gauss": random.gauss(0, 1), "own": own.random(),
                "numpy": numpy.random.random(), "normal": numpy.random.normal(), "generator": generator.random(),
                "system": random.SystemRandom().random(), "uuid4": str(uuid.uuid4()), "uuid1": str(uuid.uuid1()),
                "secrets": secrets.token_hex(16), "ssl": ssl.RAND_bytes(16).hex(),
                "cryptography": key, "temporary": next(names),
                "authentication": bytes(multiprocessing.current_process().authkey).hex(),
            }
        draw()  # All are seeded, and half a pair of normal numbers is kept.

        def handler(event, context):
            return {**draw(), "chosen": chosen.random(), "seeded": seeded.random()}
    """

    def test_a_thousand_instances_draw_different_numbers(self):
        ember = Ember(self, {"main.py": self.SOURCE}, "main.handler", {**self.site, "OPENBLAS_NUM_THREADS": "1"})
        ember.ready()
        drawn = []
        for _ in range(100):
            newborns = [ember.fork() for _ in range(10)]
            for newborn in newborns:
                newborn.send_event({})
            for newborn in newborns:
                kind, _, _, body = newborn.receive()
                self.assertEqual(kind, RESULT, newborn.output())
                drawn.append(json.loads(body))
                newborn.close()
        for name in drawn[0]:
            # Generators that init gave a seed are the control: they agree.
            expected = 1 if name in ("chosen", "seeded") else len(drawn)
            self.assertEqual(len({draw[name] for draw in drawn}), expected, name)


class Hooks(unittest.TestCase):
    SOURCE = """
        from snapshot_restore_py import register_after_restore, register_before_snapshot
        done = []

        @register_before_snapshot
        def first():
            done.append("first before")

        register_before_snapshot(done.append, "second before")

        @register_after_restore
        def restored():
            done.append("first after")

        register_after_restore(lambda *texts, end: done.append(" ".join(texts) + end), "second", "after", end="!")

        def handler(event, context):
            return done
    """
    ALL = ["second before", "first before", "first after", "second after!"]

    def ember(self, source):
        return Ember(self, {"main.py": source}, "main.handler")

    def test_they_run_in_awss_order_once_per_instance(self):
        ember = self.ember(self.SOURCE)
        ember.ready()
        for newborn in (ember.fork(), ember.fork()):
            self.assertEqual(newborn.result(1), self.ALL)
            self.assertEqual(newborn.result(2), self.ALL)

    def test_an_ember_that_serves_alone_is_restored_too(self):
        ember = self.ember(self.SOURCE)
        ember.ready()
        self.assertEqual(ember.result(1), self.ALL)

    def test_without_an_ember_none_runs(self):
        shim = Shim(self, {"main.py": self.SOURCE}, "main.handler")
        shim.ready()
        self.assertEqual(shim.result(1), [])

    def test_the_users_own_package_wins(self):
        package = """
            hooks = []
            def register_after_restore(func, *args, **kwargs):
                hooks.append((func, args, kwargs))
            def get_after_restore():
                return hooks
            def get_before_snapshot():
                return []
        """
        source = """
            import snapshot_restore_py
            done = []
            snapshot_restore_py.register_after_restore(done.append, "theirs")
            def handler(event, context):
                return [done, snapshot_restore_py.__file__]
        """
        ember = Ember(self, {"main.py": source, "snapshot_restore_py/__init__.py": package}, "main.handler")
        ember.ready()
        done, path = ember.fork().result(1)
        self.assertEqual((done, path.startswith(str(ember.root))), (["theirs"], True))

    def test_a_hook_before_that_fails_is_an_init_error(self):
        failure = self.ember("""
            from snapshot_restore_py import register_before_snapshot
            register_before_snapshot(lambda: {}["missing"])
            def handler(event, context):
                pass
        """).init_failed()
        self.assertEqual(
            (failure["error_type"], failure["message"]), ("Runtime.BeforeSnapshotError", "KeyError: 'missing'")
        )
        self.assertIn("main.py", failure["stack_trace"][0])

    def test_a_hook_after_that_fails_ends_that_instance(self):
        ember = self.ember("""
            from snapshot_restore_py import register_after_restore
            register_after_restore(lambda: {}["missing"])
            def handler(event, context):
                pass
        """)
        ember.ready()
        for _ in range(2):
            newborn = ember.fork()
            kind, _, head, _ = newborn.receive()
            self.assertEqual((kind, head["error_type"]), (INIT_FAILED, "Runtime.AfterRestoreError"))
            self.assertIsNone(newborn.receive())
        ember.wait_until_childless()


class Applications(WithSite):
    def test_wsgi_applications(self):
        source = "from flask import Flask\napp = Flask(__name__)\n@app.route('/')\ndef hello():\n    return 'Hello!'\n"
        ember = Ember(self, {"main.py": source}, "main.app", self.site)
        self.assertEqual(ember.ready()["serves"], "wsgi")
        for newborn in (ember.fork(), ember.fork()):
            self.assertEqual(newborn.request()[2], b"Hello!")
            self.assertEqual(newborn.request(target="/absent")[0], 404)

    def test_an_asgi_applications_lifespan_is_each_instances_own(self):
        source = """
            import asyncio, os
            made = asyncio.Lock()
            started = []
            async def app(scope, receive, send):
                if scope["type"] == "lifespan":
                    await receive()
                    started.append(os.getpid())
                    await send({"type": "lifespan.startup.complete"})
                    await receive()
                    print("down")
                    await send({"type": "lifespan.shutdown.complete"})
                    return
                async with made:
                    await send({"type": "http.response.start", "status": 200, "headers": []})
                body = b"%d" % (started == [os.getpid()])
                await send({"type": "http.response.body", "body": body})
        """
        ember = Ember(self, {"main.py": source}, "main.app", self.site)
        self.assertEqual(ember.ready()["serves"], "asgi")
        newborns = [ember.fork(), ember.fork()]
        for newborn in newborns:
            self.assertEqual(newborn.request()[2], b"1")
            newborn.close()
        ember.wait_until_childless()
        self.assertEqual([newborn.output() for newborn in newborns], ["down\n", "down\n"])

    def test_fastapi_with_endpoints_of_both_kinds(self):
        source = """
            from fastapi import FastAPI
            app = FastAPI()
            @app.get("/")
            async def hello():
                return "async"
            @app.get("/sync")
            def threaded():
                return "threaded"
        """
        ember = Ember(self, {"main.py": source}, "main.app", self.site)
        ember.ready()
        newborn = ember.fork()
        self.assertEqual(newborn.request()[2], b'"async"')
        self.assertEqual(newborn.request(target="/sync")[2], b'"threaded"')

    def test_a_startup_that_fails_ends_the_instance(self):
        source = """
            async def app(scope, receive, send):
                await receive()
                await send({"type": "lifespan.startup.failed", "message": "no database"})
        """
        ember = Ember(self, {"main.py": source}, "main.app", self.site)
        ember.ready()
        kind, _, head, _ = ember.fork().receive()
        self.assertEqual((kind, head["error_type"]), (INIT_FAILED, "Runtime.StartupFailed"))
        self.assertEqual(head["message"], "no database")

    def test_djangos_routes_are_imported_once(self):
        urls = """
            import os
            from django.http import HttpResponse
            from django.urls import path
            imported = os.getpid()
            urlpatterns = [path("", lambda request: HttpResponse(str(imported)))]
        """
        source = """
            from django.conf import settings
            settings.configure(ROOT_URLCONF="urls", SECRET_KEY="x", ALLOWED_HOSTS=["*"])
            from django.core.wsgi import get_wsgi_application
            application = get_wsgi_application()
        """
        ember = Ember(self, {"main.py": source, "urls.py": urls}, "main.application", self.site)
        ember.ready()
        self.assertEqual(ember.fork().request()[2], str(ember.process.pid).encode())
        ember = Ember(self, {"main.py": source, "urls.py": "raise ValueError('later')"}, "main.application", self.site)
        ember.ready()
        newborn = ember.fork()
        newborn.send_request()
        self.assertEqual(newborn.receive()[0], FAILED)
        self.assertIn("ValueError: later", newborn.output())

    def test_nothing_of_the_users_is_called_before_the_first_request(self):
        source = """
            import flask, fastapi
            calls = []
            class Middleware:
                def __init__(self, app):
                    calls.append("middleware")
                    self.app = app
                async def __call__(self, *arguments):
                    await self.app(*arguments)
            def create():
                app = flask.Flask(__name__)
                app.before_request(lambda: calls.append("before"))
                flask.signals.request_started.connect(lambda *a, **k: calls.append("signal"), weak=False)
                app.add_url_rule("/", "index", lambda: " ".join(calls))
                return app
            app = create()
        """
        ember = Ember(self, {"main.py": source}, "main.app", self.site)
        ember.ready()
        for spare in ({}, {"LAMBENT_SPARE": "1"}):
            self.assertEqual(ember.fork(**spare).request()[2], b"signal before")

    def test_a_warmed_ember_and_a_spare_serve_every_kind(self):
        for source, body in (
            ("from flask import Flask\napp = Flask(__name__)\napp.add_url_rule('/', 'x', lambda: 'flask')\n", b"flask"),
            ("from fastapi import FastAPI\napp = FastAPI()\napp.add_api_route('/', lambda: 'fast')\n", b'"fast"'),
        ):
            with self.subTest(body):
                ember = Ember(self, {"main.py": source}, "main.app", self.site)
                ember.ready()
                ember.fork()
                ember.wait_until_warm()
                for spare in ({}, {"LAMBENT_SPARE": "1"}):
                    newborn = ember.fork(**spare)
                    self.assertEqual(newborn.request()[2], body)
                    self.assertEqual(newborn.request()[2], body)
                    self.assertEqual(newborn.output(), "")
                self.assertEqual(ember.output(), "")


if __name__ == "__main__":
    unittest.main()
