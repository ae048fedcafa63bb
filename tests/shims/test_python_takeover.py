"""The Python shim takes over calls that would start a server, and loads what servers' command lines name."""

import unittest

from harness import Shim, WithSite

WSGI = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]
"""
ASGI = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})
"""
FLASK = "from flask import Flask\napp = Flask(__name__)\napp.add_url_rule('/', 'index', lambda: 'hello')\n"
BOTTLE = "import bottle\n@bottle.route('/')\ndef index():\n    return 'hello'\n"
GUNICORN = """
from gunicorn.app.base import BaseApplication
class Server(BaseApplication):
    def load_config(self):
        self.cfg.set("workers", 2)
    def load(self):
        return app
Server(prog="x").run()
"""


class Takeovers(WithSite):
    def test_servers_that_a_module_starts(self):
        for kind, source in (
            ("wsgi", FLASK + "app.run(host='0.0.0.0', port=5000)"),
            ("wsgi", FLASK + "from werkzeug.serving import run_simple\nrun_simple('localhost', 5000, app)"),
            ("wsgi", WSGI + "from waitress import serve\nserve(app, listen='*:8080')"),
            ("wsgi", WSGI + "from wsgiref.simple_server import make_server\nmake_server('', 0, app).serve_forever()"),
            ("wsgi", WSGI + GUNICORN),
            ("wsgi", BOTTLE + "bottle.run(host='localhost', port=8080)"),
            ("wsgi", BOTTLE + "bottle.run(app=bottle.default_app(), port=8080)"),
            ("asgi", ASGI + "import uvicorn\nuvicorn.run(app, port=8000)"),
            ("asgi", ASGI + "import uvicorn\nuvicorn.run('main:app')"),
            ("asgi", ASGI + "import uvicorn\nuvicorn.run(lambda: app, factory=True)"),
            ("asgi", ASGI + "import uvicorn\nuvicorn.Server(uvicorn.Config(app)).run()"),
            ("asgi", ASGI + "import asyncio, uvicorn\nasyncio.run(uvicorn.Server(uvicorn.Config(app)).serve())"),
            (
                "asgi",
                ASGI
                + "import asyncio\nfrom hypercorn.asyncio import serve\nfrom hypercorn.config import Config\n"
                + "asyncio.run(serve(app, Config()))",
            ),
        ):
            with self.subTest(source[-70:]):
                shim = Shim(self, {"main.py": source + "\nraise SystemError('never reached')"}, "main.app", self.site)
                self.assertEqual(shim.ready()["serves"], kind)
                self.assertEqual(shim.request()[2], b"hello")

    def test_the_reloader_is_off_and_that_is_said_once(self):
        for call in ("app.run(debug=True)", "import uvicorn\nuvicorn.run(app, reload=True)"):
            with self.subTest(call):
                shim = Shim(self, {"main.py": (FLASK if "debug" in call else ASGI) + call}, "main.app", self.site)
                shim.ready()
                shim.request()
                self.assertEqual(shim.output().count("the reloader and the debugger are off"), 1)


class Names(unittest.TestCase):
    def served(self, source, handler):
        shim = Shim(self, {"pkg/__init__.py": "", "pkg/web.py": source}, handler)
        shim.ready()
        return shim.request()[2]

    def test_as_servers_command_lines_write_them(self):
        made = WSGI + "application = app\nclass Box:\n    app = app\ndef make(*, word='hello'):\n"
        made += "    def answer(e, s):\n        s('200 OK', [])\n        return [word.encode()]\n    return answer\n"
        for handler, body in (
            ("pkg.web:app", b"hello"),
            ("pkg/web:app", b"hello"),
            ("pkg.web:", b"hello"),
            ("pkg.web:Box.app", b"hello"),
            ("pkg.web:make()", b"hello"),
            ("pkg.web:make(word='other')", b"other"),
        ):
            with self.subTest(handler):
                self.assertEqual(self.served(made, handler), body)

    def test_arguments_may_have_any_name(self):
        self.assertEqual(self.served("def app(e, r):\n    r('200 OK', [])\n    return [b'x']\n", "pkg.web:app"), b"x")
        asgi = ASGI.replace("receive, send", "r, s").replace("await send", "await s").replace("scope", "sc")
        self.assertEqual(self.served(asgi, "pkg.web:app"), b"hello")

    def test_what_is_no_application_is_explained(self):
        def failure(handler):
            return Shim(self, {"main.py": "x = 1\ndef one(a):\n    pass\n" + WSGI}, handler).init_failed()

        self.assertIn("which is no WSGI or ASGI application", failure("main:one")["message"])
        self.assertEqual(failure("main:x")["error_type"], "Runtime.HandlerNotFound")
        self.assertEqual(failure("main:absent")["message"], "Handler 'absent' missing on module 'main'")
        self.assertEqual(failure("nowhere:app")["error_type"], "Runtime.ImportModuleError")
        self.assertEqual(failure("main:app(x)")["error_type"], "Runtime.MalformedHandlerName")
        self.assertEqual(failure("main:app(")["error_type"], "Runtime.MalformedHandlerName")


if __name__ == "__main__":
    unittest.main()
