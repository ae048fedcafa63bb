"""The Python shim of Lambent: runs a Lambda handler or a web application over native frames.

Pure standard library, Python 3.8 and later. It is not an isolation layer: it lives in the user's
process and is trusted with nothing. The frames are described in docs/protocols/frames.md.

Modules that cost time to import (json, logging, asyncio, inspect, traceback) are imported where they
are needed, because what is imported here is on the path of every cold start.
"""
