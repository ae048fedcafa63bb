"""The aws command line, unchanged, against a real server: create, invoke, update, publish, logs, delete.

Each row is one command and what its answer must hold; the count is printed at the end so that a run that
did less is seen. Usage: lambda_cli.py ENDPOINT (credentials and region from the environment)
"""

import base64
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile

HANDLER = """
import json, os
def handler(event, context):
    print("saw", json.dumps(event))
    if event.get("fail"):
        raise ValueError("asked to fail")
    return {"answer": os.environ.get("WORD", "none"), "version": context.function_version}
"""
ROLE = "arn:aws:iam::000000000000:role/test"
checked = 0


def zipped(text):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("main.py", text)
    return buffer.getvalue()


def aws(*arguments, error=None):
    """Runs one command; returns its JSON answer, or checks that it fails with the error code."""
    result = subprocess.run(["aws", *arguments], capture_output=True, text=True)
    if error:
        assert result.returncode != 0, f"aws {' '.join(arguments)} succeeded, expected {error}"
        assert f"({error})" in result.stderr, result.stderr
        return result.stderr
    assert result.returncode == 0, f"aws {' '.join(arguments)}\n{result.stderr}"
    return json.loads(result.stdout) if result.stdout.strip() else None


def row(what, holds):
    global checked
    assert holds, what
    checked += 1


def invoke(folder, payload, *extra, name="cli"):
    # From a file: versions 1 and 2 of the command line read a payload in the arguments differently.
    given, out = os.path.join(folder, "in.json"), os.path.join(folder, "out.json")
    with open(given, "w") as file:
        json.dump(payload, file)
    answer = aws("lambda", "invoke", "--function-name", name, "--payload", f"fileb://{given}", *extra, out)
    with open(out) as file:
        return answer, json.load(file)


def wait_for_log(text, seconds=10):
    """The log is written beside the answer, not before it: wait for the line, with a deadline."""
    deadline = time.monotonic() + seconds
    while True:
        found = aws("logs", "filter-log-events", "--log-group-name", "/aws/lambda/cli")
        if any(text in event["message"] for event in found["events"]):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)


def main():
    python = "python" + subprocess.check_output(
        ["/usr/bin/python3" if os.path.exists("/usr/bin/python3") else "python3", "-c",
         "import sys; print('%d.%d' % sys.version_info[:2])"], text=True).strip()
    with tempfile.TemporaryDirectory() as folder:
        first, second = os.path.join(folder, "first.zip"), os.path.join(folder, "second.zip")
        for path, text in ((first, HANDLER), (second, HANDLER.replace('"answer"', '"reply"'))):
            with open(path, "wb") as file:
                file.write(zipped(text))

        made = aws("lambda", "create-function", "--function-name", "cli", "--runtime", python, "--role", ROLE,
                   "--handler", "main.handler", "--zip-file", f"fileb://{first}",
                   "--environment", "Variables={WORD=first}", "--tags", "lambent:idle-seconds=2,team=blue")
        row("create-function names the handler", made["Handler"] == "main.handler")
        row("create-function is active at once", made["State"] == "Active")
        aws("lambda", "wait", "function-active-v2", "--function-name", "cli")
        row("function-active-v2 waits to its end", True)
        aws("lambda", "create-function", "--function-name", "cli", "--runtime", python, "--role", ROLE,
            "--handler", "main.handler", "--zip-file", f"fileb://{first}", error="ResourceConflictException")
        row("create-function twice conflicts", True)

        answer, result = invoke(folder, {})
        row("invoke answers 200", answer["StatusCode"] == 200 and "FunctionError" not in answer)
        row("invoke returns the handler's result", result == {"answer": "first", "version": "$LATEST"})
        answer, result = invoke(folder, {"fail": True}, "--log-type", "Tail")
        row("a raised error is a function error", answer["FunctionError"] == "Unhandled")
        row("a raised error has its type", result["errorType"] == "ValueError")
        tail = base64.b64decode(answer["LogResult"]).decode()
        row("LogType=Tail holds the report line", "REPORT RequestId:" in tail and "asked to fail" in tail)
        row("the log group holds what was printed", wait_for_log('saw {"fail": true}'))

        aws("lambda", "update-function-configuration", "--function-name", "cli", "--environment",
            "Variables={WORD=second}", "--timeout", "7", "--memory-size", "256")
        aws("lambda", "wait", "function-updated-v2", "--function-name", "cli")
        row("the new environment is seen", invoke(folder, {})[1]["answer"] == "second")
        one = aws("lambda", "publish-version", "--function-name", "cli")
        row("the first version is 1", one["Version"] == "1" and one["Timeout"] == 7)
        aws("lambda", "create-alias", "--function-name", "cli", "--name", "live", "--function-version", "1")
        aws("lambda", "update-function-code", "--function-name", "cli", "--zip-file", f"fileb://{second}")
        row("$LATEST has the new code", "reply" in invoke(folder, {})[1])
        result = invoke(folder, {}, "--qualifier", "live")[1]
        row("the alias keeps the old version", result == {"answer": "second", "version": "1"})
        row("versions are listed", len(aws("lambda", "list-versions-by-function", "--function-name", "cli")["Versions"]) == 2)
        row("tags are listed", aws("lambda", "list-tags", "--resource", made["FunctionArn"])["Tags"]["team"] == "blue")
        text = aws("lambda", "tag-resource", "--resource", made["FunctionArn"], "--tags", "lambent:nonsense=1",
                   error="InvalidParameterValueException")
        row("an unknown lambent: tag is named", "lambent:nonsense" in text)
        aws("lambda", "put-function-concurrency", "--function-name", "cli", "--reserved-concurrent-executions", "0")
        row("reserved concurrency of 0 refuses", "Rate Exceeded" in aws(
            "lambda", "invoke", "--function-name", "cli", os.path.join(folder, "out.json"),
            error="TooManyRequestsException"))

        aws("lambda", "delete-function", "--function-name", "cli")
        aws("lambda", "get-function", "--function-name", "cli", error="ResourceNotFoundException")
        row("a deleted function is not found", True)
    print(f"aws cli: {checked} rows hold")


if __name__ == "__main__":
    os.environ.setdefault("AWS_MAX_ATTEMPTS", "1")
    main()
