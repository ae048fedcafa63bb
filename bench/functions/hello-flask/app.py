"""A small Flask application of the kind that tutorials end with; `/hold` keeps its instance busy."""

import time

from flask import Flask

app = Flask(__name__)


@app.route("/")
def hello():
    return "Hello, World!"


@app.route("/hold")
def hold():
    time.sleep(0.15)
    return "Hello, World!"


if __name__ == "__main__":
    app.run()
