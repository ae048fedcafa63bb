"""The few operations of AWS's Lambda API that the bench needs, over one kept-alive connection.

Spoken by Lambent and by ministack alike. Requests are unsigned: both take them. Not a client for
anything else, and nothing here is measured.
"""

import base64
import http.client
import io
import json
import urllib.parse
import zipfile

FUNCTIONS = "/2015-03-31/functions"
URLS = "/2021-10-31/functions"
TAGS = "/2017-03-31/tags"
ROLE = "arn:aws:iam::000000000000:role/lambent"
LIVE = "live"


class LambdaApi:
    """The Lambda API at one address."""

    def __init__(self, address):
        self._connection = http.client.HTTPConnection(*address, timeout=120)

    def call(self, method, path, body=None):
        """One operation; the parsed answer. Raises with the service's words."""
        text = None if body is None else json.dumps(body)
        try:
            self._connection.request(method, path, text, {"Content-Type": "application/json"})
            response = self._connection.getresponse()
            answer = response.read()
        except (http.client.HTTPException, ConnectionError):
            self._connection.close()
            raise
        if response.status >= 300:
            raise RuntimeError(f"{method} {path}: {response.status} {answer[:300]!r}")
        return json.loads(answer) if answer else {}

    def create(self, name, archive, runtime, handler, **more):
        """`CreateFunction`; the function's ARN."""
        code = {"ZipFile": base64.b64encode(archive).decode()}
        body = {"FunctionName": name, "Role": ROLE, "PackageType": "Zip", "Code": code}
        body |= {"Runtime": runtime, "Handler": handler, "Timeout": 60, **more}
        return self.call("POST", FUNCTIONS, body)["FunctionArn"]

    def url(self, name):
        """A function URL that anyone may call."""
        self.call("POST", f"{URLS}/{name}/url", {"AuthType": "NONE"})
        found = self.call("GET", f"{URLS}/{name}/url")["FunctionUrl"]
        statement = {"StatementId": "url", "Action": "lambda:InvokeFunctionUrl", "Principal": "*"}
        self.call("POST", f"{FUNCTIONS}/{name}/policy", {**statement, "FunctionUrlAuthType": "NONE"})
        return found

    def tag(self, name, tags):
        """`TagResource`"""
        arn = self.call("GET", f"{FUNCTIONS}/{name}/configuration")["FunctionArn"]
        self.call("POST", f"{TAGS}/{urllib.parse.quote(arn, safe='')}", {"Tags": tags})

    def renew(self, name, environment):
        """Makes a version that differs in its environment the live one: nothing of it is kept anywhere."""
        body = {"Environment": {"Variables": environment}}
        self.call("PUT", f"{FUNCTIONS}/{name}/configuration", body)
        version = self.call("POST", f"{FUNCTIONS}/{name}/versions", {})["Version"]
        self.call("PUT", f"{FUNCTIONS}/{name}/aliases/{LIVE}", {"FunctionVersion": version})

    def close(self):
        """Ends the connection."""
        self._connection.close()


def archive(directory):
    """A directory's files as a zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in sorted(path for path in directory.rglob("*") if path.is_file()):
            if "__pycache__" not in file.parts:
                packed.write(file, file.relative_to(directory))
    return buffer.getvalue()
