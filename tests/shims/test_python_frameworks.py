"""The Python shim with real frameworks: Flask and FastAPI, in the shapes that people write them."""

import json
import unittest

from harness import END, FAILED, HEAD, REPOSITORY, Shim, WithSite

FLASK = """
from flask import Flask, request
app = Flask(__name__)

@app.route('/')
def hello():
    return 'Hello, World!'

@app.route('/users/<name>')
def user(name):
    return f'user {name}'

@app.route('/form', methods=['POST'])
def form():
    return request.form['a'] + request.args.get('q', '')

@app.route('/boom')
def boom():
    raise KeyError('x')
"""

FACTORY = """
from flask import Flask
def create_app(config=None):
    app = Flask('made')
    app.add_url_rule('/', 'index', lambda: 'Hello, World!')
    return app
"""
BLUEPRINT = """
from flask import Blueprint, Flask
pages = Blueprint('pages', __name__)

@pages.route('/')
def home():
    return 'Hello, World!'

application = Flask(__name__)
application.register_blueprint(pages)
"""


class Flask(WithSite):
    def served(self, files, handler):
        shim = Shim(self, files, handler, environment=self.site)
        ready = shim.ready()
        self.assertEqual(ready["serves"], "wsgi", ready)
        self.assertIn("Flask application", ready["found"])
        return shim, ready

    def test_the_example_as_it_lies_in_the_repository(self):
        source = (REPOSITORY / "examples/flask-hello/app.py").read_text()
        shim, _ = self.served({"app.py": source}, "app.app")
        self.assertEqual(shim.request()[2], b"Hello, World!")

    def test_every_shape_answers(self):
        guarded = "\nif __name__ == '__main__':\n    app.run()\n"
        for source, handler in (
            (FLASK + guarded, "main.app"),
            (FLASK + guarded, "main.hello"),
            (FLASK + "\napp.run(debug=True, port=5000)\n", "main.app"),
            (FLASK + "\nfrom werkzeug.serving import run_simple\nrun_simple('localhost', 5000, app)\n", "main.app"),
            (FLASK + "\ndef main():\n    app.run()\n", "main.main"),
            (FACTORY, "main.create_app"),
            (BLUEPRINT, "main.application"),
            (BLUEPRINT, "main.home"),
        ):
            with self.subTest(handler=handler, end=source[-30:]):
                shim, _ = self.served({"main.py": source}, handler)
                self.assertEqual(shim.request()[2], b"Hello, World!")

    def test_routes_forms_and_errors(self):
        shim, _ = self.served({"main.py": FLASK}, "main.app")
        self.assertEqual(shim.request(target="/users/%C3%A9")[2].decode(), "user é")
        form = [["content-type", "application/x-www-form-urlencoded"]]
        self.assertEqual(shim.request(method="POST", target="/form?q=2", headers=form, body=b"a=1")[2], b"12")
        self.assertEqual(shim.request(target="/absent")[0], 404)
        self.assertEqual(shim.request(target="/boom")[0], 500)
        self.assertIn("KeyError: 'x'", shim.output())

    def test_a_view_says_its_path_and_one_with_arguments_is_explained(self):
        _, ready = self.served({"main.py": FLASK}, "main.form")
        self.assertEqual(ready["path"], "/form")
        failure = Shim(self, {"main.py": FLASK}, "main.user", environment=self.site).init_failed()
        self.assertIn("takes `name` from the URL: name the application instead, `main.app`", failure["message"])

    def test_a_handler_beside_an_application_stays_a_handler(self):
        source = FLASK + "\ndef handler(event, context):\n    return 'handled'\n"
        shim = Shim(self, {"main.py": source}, "main.handler", environment=self.site)
        self.assertEqual(shim.ready()["serves"], "handler")
        self.assertEqual(shim.result({}), "handled")


class FastAPI(WithSite):
    SOURCE = """
from contextlib import asynccontextmanager
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

@asynccontextmanager
async def lifespan(app):
    app.state.made = "made"
    yield
    print("down")

app = FastAPI(lifespan=lifespan)

@app.get("/")
async def hello():
    return {"message": app.state.made}

@app.get("/sync/{number}")
def sync(number: int):
    return number + 1

@app.get("/stream")
async def stream():
    async def parts():
        try:
            while True:
                yield b"part"
        finally:
            print("stopped")
    return StreamingResponse(parts())
"""

    def test_routes_lifespan_and_streams(self):
        shim = Shim(self, {"main.py": self.SOURCE}, "main.app", environment=self.site)
        self.assertEqual(shim.ready(), {"serves": "asgi", "found": "main.app: FastAPI application"})
        self.assertEqual(json.loads(shim.request()[2]), {"message": "made"})
        self.assertEqual(json.loads(shim.request(target="/sync/41")[2]), 42)
        self.assertEqual(shim.request(target="/sync/x")[0], 422)
        shim.send_request(target="/stream", stream=9)
        self.assertEqual(shim.receive()[0], HEAD)
        shim.send(3, 9, {})
        while (frame := shim.receive())[0] not in (END, FAILED):
            pass
        self.assertEqual(frame[:2], (END, 9))
        shim.close()
        self.assertEqual(shim.wait(), 0)
        self.assertEqual(sorted(shim.output().split()), ["down", "stopped"])

    def test_a_startup_that_raises_is_an_init_error(self):
        source = self.SOURCE.replace('app.state.made = "made"', "raise RuntimeError('no database')")
        failure = Shim(self, {"main.py": source}, "main.app", environment=self.site).init_failed()
        self.assertEqual(failure["error_type"], "Runtime.StartupFailed")
        self.assertIn("RuntimeError: no database", failure["message"])


if __name__ == "__main__":
    unittest.main()
