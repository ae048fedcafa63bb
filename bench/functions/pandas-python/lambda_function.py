"""The smallest handler behind the imports that make starts slow. `/hold` keeps its instance busy."""

import time

import numpy
import pandas


def lambda_handler(event, context):
    if event.get("rawPath") == "/hold":
        time.sleep(0.15)
    return {"message": "Hello, World!", "numpy": numpy.__version__, "pandas": pandas.__version__}
