#!/usr/bin/env python3
"""The Lambda and CloudWatch Logs API through the official SDK, as a table of operation x assertion.

    lambda_boto3.py ENDPOINT [--no-invoke] [--runtime python3.11]

Each row is one call and what must be true of its answer; rows build on each other, in order. What AWS
answers in the same place was recorded from AWS or is the SDK's own model of it. Exits with 1 if a row
fails. With --no-invoke the rows that run code are left out (and counted), for servers that run none.
"""

import argparse
import base64
import io
import json
import re
import sys
import time
import urllib.request
import zipfile

import boto3
import botocore.config
import botocore.exceptions

ROLE = "arn:aws:iam::000000000000:role/r"
UUID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")

CODE = """
import os

def handler(event, context):
    print("handling", event)
    if isinstance(event, dict) and event.get("act") == "fail":
        raise ValueError("no")
    return {"event": event, "version": context.function_version, "id": context.aws_request_id, "text": "TEXT"}
"""


def zip_of(text):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("app.py"), text)
    return buffer.getvalue()


class Table:
    """Runs rows and counts them."""

    def __init__(self, invokes):
        self.invokes = invokes
        self.passed, self.failed, self.left_out = 0, [], 0

    def row(self, operation, assertion, check):
        try:
            verdict = check()
        except Exception as error:  # a row's failure is its verdict
            verdict = f"{type(error).__name__}: {error}"
        if verdict is True:
            self.passed += 1
            print(f"ok    {operation:32} {assertion}")
        else:
            self.failed.append((operation, assertion))
            print(f"FAIL  {operation:32} {assertion}: {verdict!r}")

    def equal(self, operation, assertion, call, wanted):
        def check():
            found = call()
            return True if found == wanted else f"found {found!r}, wanted {wanted!r}"
        self.row(operation, assertion, check)

    def holds(self, operation, assertion, call):
        self.row(operation, assertion, lambda: True if call() else "does not hold")

    def refused(self, operation, assertion, call, code, status, text):
        def check():
            try:
                answer = call()
            except botocore.exceptions.ClientError as error:
                found = error.response
                if found["Error"]["Code"] != code:
                    return f"code {found['Error']['Code']}: {found['Error']['Message']}"
                if found["ResponseMetadata"]["HTTPStatusCode"] != status:
                    return f"status {found['ResponseMetadata']['HTTPStatusCode']}"
                message = found["Error"]["Message"]
                return True if text in message else f"message {message!r}"
            return f"was answered: {answer!r}"
        self.row(operation, assertion, check)

    def invoked(self, operation, assertion, call, wanted):
        if self.invokes:
            self.equal(operation, assertion, call, wanted)
        else:
            self.left_out += 1

    def report(self):
        rows = self.passed + len(self.failed)
        print(f"{rows} rows, {self.passed} passed, {len(self.failed)} failed, {self.left_out} left out")
        return 1 if self.failed else 0


def client(service, endpoint):
    config = botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=60)
    return boto3.client(
        service, endpoint_url=endpoint, region_name="us-east-1", config=config,
        aws_access_key_id="test", aws_secret_access_key="test",
    )


def functions(table, api, name, runtime):
    code = zip_of(CODE.replace("TEXT", "one"))
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    made = api.create_function(
        FunctionName=name, Runtime=runtime, Handler="app.handler", Role=ROLE, Code={"ZipFile": code},
        Description="d", Timeout=10, MemorySize=256, Environment={"Variables": {"MODE": "x"}},
        Tags={"team": "blue", "lambent:idle-seconds": "60"},
    )
    digest = base64.b64encode(__import__("hashlib").sha256(code).digest()).decode()
    for member, wanted in {
        "FunctionName": name, "FunctionArn": arn, "Runtime": runtime, "Handler": "app.handler", "Role": ROLE,
        "Description": "d", "Timeout": 10, "MemorySize": 256, "Version": "$LATEST", "CodeSha256": digest,
        "CodeSize": len(code), "PackageType": "Zip", "State": "Active", "LastUpdateStatus": "Successful",
        "Environment": {"Variables": {"MODE": "x"}}, "EphemeralStorage": {"Size": 512},
        "TracingConfig": {"Mode": "PassThrough"},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}"},
    }.items():
        table.equal("CreateFunction", member, lambda m=member: made.get(m), wanted)
    table.equal("CreateFunction", "status 201", lambda: made["ResponseMetadata"]["HTTPStatusCode"], 201)
    table.holds("CreateFunction", "request id", lambda: UUID.match(made["ResponseMetadata"]["RequestId"]))
    table.holds("CreateFunction", "revision id", lambda: UUID.match(made["RevisionId"]))
    table.holds("CreateFunction", "runtime version", lambda: made["RuntimeVersionConfig"]["RuntimeVersionArn"])
    for waiter in ("function_active_v2", "function_updated_v2", "function_exists"):
        table.equal("waiter", waiter, lambda w=waiter: api.get_waiter(w).wait(FunctionName=name), None)

    shown = api.get_function(FunctionName=name)
    table.equal("GetFunction", "configuration", lambda: shown["Configuration"],
                {k: v for k, v in made.items() if k != "ResponseMetadata"})
    table.equal("GetFunction", "tags", lambda: shown["Tags"], {"team": "blue", "lambent:idle-seconds": "60"})
    table.equal("GetFunction", "the code can be downloaded",
                lambda: urllib.request.urlopen(shown["Code"]["Location"]).read(), code)
    for reference in (arn, f"000000000000:function:{name}", f"{name}:$LATEST"):
        table.equal("GetFunctionConfiguration", reference,
                    lambda r=reference: api.get_function_configuration(FunctionName=r)["CodeSha256"], digest)
    table.equal("GetFunctionConfiguration", "$LATEST is qualified", lambda: api.get_function_configuration(
        FunctionName=name, Qualifier="$LATEST")["FunctionArn"], f"{arn}:$LATEST")
    table.holds("ListFunctions", "is listed", lambda: name in [
        one["FunctionName"] for page in api.get_paginator("list_functions").paginate()
        for one in page["Functions"]])
    table.holds("ListFunctions", "without state", lambda: all(
        "State" not in one for one in api.list_functions()["Functions"]))
    return arn


def updates(table, api, name):
    before = api.get_function_configuration(FunctionName=name)
    table.equal("UpdateFunctionConfiguration", "changes what it names", lambda: api.update_function_configuration(
        FunctionName=name, Timeout=20)["Timeout"], 20)
    after = api.get_function_configuration(FunctionName=name)
    table.equal("UpdateFunctionConfiguration", "keeps the rest",
                lambda: (after["MemorySize"], after["Environment"]), (256, {"Variables": {"MODE": "x"}}))
    table.holds("UpdateFunctionConfiguration", "new revision", lambda: after["RevisionId"] != before["RevisionId"])
    table.refused("UpdateFunctionConfiguration", "stale revision", lambda: api.update_function_configuration(
        FunctionName=name, Timeout=20, RevisionId=before["RevisionId"]),
        "PreconditionFailedException", 412, "The Revision Id provided does not match")
    two = zip_of(CODE.replace("TEXT", "two"))
    dry = api.update_function_code(FunctionName=name, ZipFile=two, DryRun=True)
    table.equal("UpdateFunctionCode", "a dry run changes nothing", lambda: (
        dry["CodeSha256"], api.get_function_configuration(FunctionName=name)["CodeSha256"]),
        (before["CodeSha256"], before["CodeSha256"]))
    table.refused("UpdateFunctionCode", "no zip", lambda: api.update_function_code(
        FunctionName=name, ZipFile=b"not a zip"), "InvalidParameterValueException", 400, "Could not unzip")
    table.refused("UpdateFunctionCode", "from S3", lambda: api.update_function_code(
        FunctionName=name, S3Bucket="bucket", S3Key="k"), "InvalidParameterValueException", 400, "S3Bucket")


def versions(table, api, name, arn):
    one = api.publish_version(FunctionName=name, Description="first")
    table.equal("PublishVersion", "number, description, arn",
                lambda: (one["Version"], one["Description"], one["FunctionArn"]), ("1", "first", f"{arn}:1"))
    table.equal("PublishVersion", "no change, same version",
                lambda: api.publish_version(FunctionName=name)["Version"], "1")
    table.refused("PublishVersion", "another digest", lambda: api.publish_version(
        FunctionName=name, CodeSha256="x"), "InvalidParameterValueException", 400, "CodeSHA256 (x)")
    two = api.update_function_code(FunctionName=name, ZipFile=zip_of(CODE.replace("TEXT", "two")), Publish=True)
    table.equal("UpdateFunctionCode", "publishes", lambda: two["Version"], "2")
    table.equal("ListVersionsByFunction", "in order", lambda: [
        v["Version"] for v in api.list_versions_by_function(FunctionName=name)["Versions"]], ["$LATEST", "1", "2"])
    table.equal("ListVersionsByFunction", "in pages", lambda: [
        v["Version"] for page in api.get_paginator("list_versions_by_function").paginate(
            FunctionName=name, PaginationConfig={"PageSize": 1}) for v in page["Versions"]], ["$LATEST", "1", "2"])
    table.equal("GetFunction", "an old version keeps its code", lambda: api.get_function(
        FunctionName=name, Qualifier="1")["Configuration"]["CodeSha256"], one["CodeSha256"])
    table.equal("ListFunctions", "all versions", lambda: [
        v["Version"] for v in api.list_functions(FunctionVersion="ALL")["Functions"] if v["FunctionName"] == name],
        ["$LATEST", "1", "2"])


def aliases(table, api, name, arn):
    made = api.create_alias(FunctionName=name, Name="live", FunctionVersion="1", Description="d")
    table.equal("CreateAlias", "answer",
                lambda: (made["AliasArn"], made["Name"], made["FunctionVersion"], made["Description"]),
                (f"{arn}:live", "live", "1", "d"))
    table.equal("GetAlias", "the same", lambda: api.get_alias(FunctionName=name, Name="live")["RevisionId"],
                made["RevisionId"])
    table.refused("CreateAlias", "twice", lambda: api.create_alias(
        FunctionName=name, Name="live", FunctionVersion="1"),
        "ResourceConflictException", 409, f"Alias already exists: {arn}:live")
    table.refused("CreateAlias", "no such version", lambda: api.create_alias(
        FunctionName=name, Name="other", FunctionVersion="9"),
        "ResourceNotFoundException", 404, f"Function not found: {arn}:9")
    table.refused("CreateAlias", "weights", lambda: api.create_alias(
        FunctionName=name, Name="other", FunctionVersion="1",
        RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}}),
        "InvalidParameterValueException", 400, "RoutingConfig")
    table.refused("GetAlias", "no such alias", lambda: api.get_alias(FunctionName=name, Name="no"),
                  "ResourceNotFoundException", 404, f"Cannot find alias arn: {arn}:no")
    table.refused("UpdateAlias", "no such alias", lambda: api.update_alias(FunctionName=name, Name="no"),
                  "ResourceNotFoundException", 404, f"Alias not found: {arn}:no")
    table.equal("UpdateAlias", "moves", lambda: api.update_alias(
        FunctionName=name, Name="live", FunctionVersion="2")["FunctionVersion"], "2")
    table.equal("ListAliases", "of a version", lambda: [a["Name"] for a in api.list_aliases(
        FunctionName=name, FunctionVersion="2")["Aliases"]], ["live"])
    table.equal("GetFunctionConfiguration", "by alias", lambda: (lambda c: (c["Version"], c["FunctionArn"]))(
        api.get_function_configuration(FunctionName=name, Qualifier="live")), ("2", f"{arn}:live"))
    table.refused("DeleteFunction", "a version with an alias", lambda: api.delete_function(
        FunctionName=name, Qualifier="2"), "ResourceConflictException", 409, "[live]")
    table.refused("DeleteFunction", "$LATEST alone", lambda: api.delete_function(
        FunctionName=name, Qualifier="$LATEST"), "InvalidParameterValueException", 400, "$LATEST version")


def urls(table, api, name, arn):
    made = api.create_function_url_config(FunctionName=name, Qualifier="live", AuthType="NONE")
    table.holds("CreateFunctionUrlConfig", "address", lambda: re.match(
        r"^http://[0-9a-z]{32}\.lambda-url\.us-east-1\.localhost:\d+/$", made["FunctionUrl"]))
    table.equal("CreateFunctionUrlConfig", "arn and auth", lambda: (made["FunctionArn"], made["AuthType"]),
                (f"{arn}:live", "NONE"))
    table.equal("GetFunctionUrlConfig", "the same", lambda: api.get_function_url_config(
        FunctionName=name, Qualifier="live")["FunctionUrl"], made["FunctionUrl"])
    table.refused("GetFunctionUrlConfig", "unqualified has none", lambda: api.get_function_url_config(
        FunctionName=name), "ResourceNotFoundException", 404, "The resource you requested does not exist.")
    table.refused("CreateFunctionUrlConfig", "twice", lambda: api.create_function_url_config(
        FunctionName=name, Qualifier="live", AuthType="NONE"),
        "ResourceConflictException", 409, "FunctionUrlConfig exists for this Lambda function")
    for wrong, text in (({"AuthType": "AWS_IAM"}, "AWS_IAM"),
                        ({"AuthType": "NONE", "InvokeMode": "RESPONSE_STREAM"}, "RESPONSE_STREAM"),
                        ({"AuthType": "NONE", "Cors": {"AllowOrigins": ["*"]}}, "Cors")):
        table.refused("CreateFunctionUrlConfig", text, lambda w=wrong: api.create_function_url_config(
            FunctionName=name, **w), "InvalidParameterValueException", 400, text)
    table.equal("UpdateFunctionUrlConfig", "keeps the address", lambda: api.update_function_url_config(
        FunctionName=name, Qualifier="live", InvokeMode="BUFFERED")["FunctionUrl"], made["FunctionUrl"])
    table.equal("ListFunctionUrlConfigs", "lists it", lambda: [u["FunctionUrl"] for u in
                api.list_function_url_configs(FunctionName=name)["FunctionUrlConfigs"]], [made["FunctionUrl"]])
    added = api.add_permission(
        FunctionName=name, Qualifier="live", StatementId="url", Action="lambda:InvokeFunctionUrl", Principal="*",
        FunctionUrlAuthType="NONE")
    statement = {
        "Sid": "url", "Effect": "Allow", "Principal": "*", "Action": "lambda:InvokeFunctionUrl",
        "Resource": f"{arn}:live",
        "Condition": {"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}},
    }
    table.equal("AddPermission", "statement", lambda: json.loads(added["Statement"]), statement)
    table.equal("GetPolicy", "policy", lambda: json.loads(api.get_policy(
        FunctionName=name, Qualifier="live")["Policy"]),
        {"Version": "2012-10-17", "Id": "default", "Statement": [statement]})
    table.refused("AddPermission", "twice", lambda: api.add_permission(
        FunctionName=name, Qualifier="live", StatementId="url", Action="lambda:InvokeFunction", Principal="*"),
        "ResourceConflictException", 409, "The statement id (url) provided already exists")
    table.refused("GetPolicy", "none", lambda: api.get_policy(FunctionName=name),
                  "ResourceNotFoundException", 404, "The resource you requested does not exist.")
    table.equal("RemovePermission", "status 204", lambda: api.remove_permission(
        FunctionName=name, Qualifier="live", StatementId="url")["ResponseMetadata"]["HTTPStatusCode"], 204)


def tags_and_concurrency(table, api, name, arn):
    api.tag_resource(Resource=arn, Tags={"lambent:max-instances": "2", "team": "red"})
    table.equal("ListTags", "merged", lambda: api.list_tags(Resource=arn)["Tags"],
                {"lambent:idle-seconds": "60", "lambent:max-instances": "2", "team": "red"})
    api.untag_resource(Resource=arn, TagKeys=["lambent:max-instances", "team"])
    table.equal("UntagResource", "removed", lambda: api.list_tags(Resource=arn)["Tags"],
                {"lambent:idle-seconds": "60"})
    for tag, value, text in (("lambent:idle", "1", "unknown tag `lambent:idle`"),
                             ("lambent:idle-seconds", "0", "whole seconds from 1 to 86400"),
                             ("lambent:server", "both", "own or shim")):
        table.refused("TagResource", f"{tag}={value}", lambda t=tag, v=value: api.tag_resource(
            Resource=arn, Tags={t: v}), "InvalidParameterValueException", 400, text)
    table.refused("TagResource", "an alias", lambda: api.tag_resource(Resource=f"{arn}:live", Tags={"a": "b"}),
                  "InvalidParameterValueException", 400, "Tags on function aliases and versions")
    table.equal("PutFunctionConcurrency", "answer", lambda: api.put_function_concurrency(
        FunctionName=name, ReservedConcurrentExecutions=7)["ReservedConcurrentExecutions"], 7)
    table.equal("GetFunctionConcurrency", "the same", lambda: api.get_function_concurrency(
        FunctionName=name)["ReservedConcurrentExecutions"], 7)
    table.equal("GetFunction", "concurrency", lambda: api.get_function(FunctionName=name)["Concurrency"],
                {"ReservedConcurrentExecutions": 7})
    table.refused("PutFunctionConcurrency", "an alias", lambda: api.put_function_concurrency(
        FunctionName=f"{arn}:live", ReservedConcurrentExecutions=1),
        "InvalidParameterValueException", 400, "This operation is permitted on Lambda functions only.")
    table.equal("GetAccountSettings", "members", lambda: (lambda s: (
        sorted(s["AccountLimit"]), sorted(s["AccountUsage"])))(api.get_account_settings()),
        (["CodeSizeUnzipped", "CodeSizeZipped", "ConcurrentExecutions", "TotalCodeSize",
          "UnreservedConcurrentExecutions"], ["FunctionCount", "TotalCodeSize"]))
    api.delete_function_concurrency(FunctionName=name)
    table.equal("DeleteFunctionConcurrency", "none left", lambda: api.get_function_concurrency(
        FunctionName=name).get("ReservedConcurrentExecutions"), None)


def invocations(table, api, logs, name):
    def call(payload=b'{"a": 1}', **more):
        return api.invoke(FunctionName=name, Payload=payload, **more)

    def seen(answer):
        return json.loads(answer["Payload"].read())

    table.invoked("Invoke", "status and version", lambda: (lambda a: (
        a["StatusCode"], a["ExecutedVersion"], a.get("FunctionError")))(call()), (200, "$LATEST", None))
    table.invoked("Invoke", "event and version", lambda: (lambda p: (p["event"], p["version"]))(seen(
        call(Qualifier="live"))), ({"a": 1}, "2"))
    table.invoked("Invoke", "one request id", lambda: (lambda a: seen(a)["id"] == a["ResponseMetadata"]["RequestId"])(
        call()), True)
    table.invoked("Invoke", "no payload is an empty object", lambda: seen(api.invoke(FunctionName=name))["event"], {})
    table.invoked("Invoke", "log tail", lambda: b"END" in base64.b64decode(call(LogType="Tail")["LogResult"]), True)
    table.invoked("Invoke", "a handler's error", lambda: (lambda a: (
        a["StatusCode"], a["FunctionError"], (lambda p: (p["errorType"], p["errorMessage"]))(seen(a))))(
        call(b'{"act": "fail"}')), (200, "Unhandled", ("ValueError", "no")))
    table.equal("Invoke", "dry run", lambda: call(InvocationType="DryRun")["StatusCode"], 204)
    table.refused("Invoke", "Event", lambda: call(InvocationType="Event"),
                  "InvalidParameterValueException", 400, "asynchronous invocation")
    table.refused("Invoke", "not JSON", lambda: call(b"{"), "InvalidRequestContentException", 400, "Could not parse")
    table.refused("Invoke", "no such function", lambda: api.invoke(FunctionName="doesnotexist"),
                  "ResourceNotFoundException", 404, "function:doesnotexist:$LATEST")
    limit = 6 * 1024 * 1024
    large = json.dumps("x" * (limit - 1)).encode()
    table.refused("Invoke", "6 MiB and one byte", lambda: call(large), "RequestTooLargeException", 413,
                  f"{limit + 1} byte payload is too large for the RequestResponse invocation type "
                  f"(limit {limit} bytes) (setting --limit-payload)")
    if table.invokes:
        written(table, logs, name)


def written(table, logs, name):
    group = f"/aws/lambda/{name}"

    def eventually(call):
        deadline = time.monotonic() + 10
        while True:
            try:
                if call():
                    return True
            except botocore.exceptions.ClientError:
                pass
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)

    table.holds("FilterLogEvents", "finds what was printed", lambda: eventually(lambda: logs.filter_log_events(
        logGroupName=group, filterPattern='"handling"')["events"]))
    table.equal("DescribeLogGroups", "the function's group", lambda: [g["logGroupName"] for g in
                logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]], [group])
    streams = logs.describe_log_streams(logGroupName=group, orderBy="LastEventTime", descending=True)["logStreams"]
    table.holds("GetLogEvents", "START, END and REPORT lines", lambda: eventually(lambda: {"START", "END", "REPORT"} <= {
        event["message"].split(" ")[0] for event in logs.get_log_events(
            logGroupName=group, logStreamName=streams[0]["logStreamName"], startFromHead=True)["events"]}))


def logs_refusals(table, logs):
    table.refused("DescribeLogStreams", "no such group", lambda: logs.describe_log_streams(logGroupName="/aws/lambda/no"),
                  "ResourceNotFoundException", 400, "The specified log group does not exist.")
    table.refused("GetLogEvents", "limit", lambda: logs.get_log_events(
        logGroupName="g", logStreamName="s", limit=10001), "InvalidParameterException", 400, "")
    table.refused("DescribeLogGroups", "prefix and pattern", lambda: logs.describe_log_groups(
        logGroupNamePrefix="a", logGroupNamePattern="b"), "InvalidParameterException", 400, "mutually exclusive")
    table.refused("CreateLogGroup", "not there yet", lambda: logs.create_log_group(logGroupName="mine"),
                  "NotImplementedException", 501, "logs:CreateLogGroup")


def create_refusals(table, api, name, runtime):
    def create(**members):
        wanted = {"FunctionName": "refused", "Runtime": runtime, "Handler": "app.handler", "Role": ROLE,
                  "Code": {"ZipFile": zip_of("x")}}
        return api.create_function(**{**wanted, **members})

    invalid, validation = "InvalidParameterValueException", "ValidationException"
    table.refused("CreateFunction", "twice", lambda: create(FunctionName=name),
                  "ResourceConflictException", 409, f"Function already exist: {name}")
    for members, code, text in (
        ({"FunctionName": "a b"}, validation, "Value 'a b' at 'functionName'"),
        ({"FunctionName": "x" * 65}, invalid, "less than or equal to 64"),
        ({"FunctionName": "invalid:function:name"}, validation, "Value 'invalid:function:name' at 'functionName'"),
        ({"Role": "r1"}, validation, "Value 'r1' at 'role'"),
        ({"Runtime": "non-existent-runtime"}, invalid, "Value non-existent-runtime at 'runtime'"),
        ({"MemorySize": 64000}, validation, "at 'memorySize'"),
        ({"Timeout": 1000}, validation, "at 'timeout'"),
        ({"Environment": {"Variables": {"LARGE_VAR": "x" * 4096}}}, invalid, "exceeded the 4KB limit"),
        ({"Environment": {"Variables": {"AWS_REGION": "x"}}}, invalid, "reserved keys"),
        ({"Code": {"S3Bucket": "bucket", "S3Key": "k"}}, invalid, "S3Bucket"),
        ({"Code": {"ZipFile": b"no zip"}}, invalid, "Could not unzip uploaded file"),
        ({"PackageType": "Image"}, invalid, "Image"),
        ({"VpcConfig": {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}}, invalid, "VpcConfig"),
        ({"Layers": ["arn:aws:lambda:us-east-1:000000000000:layer:l:1"]}, invalid, "Layers"),
        ({"DeadLetterConfig": {"TargetArn": "arn:aws:sqs:us-east-1:000000000000:q"}}, invalid, "DeadLetterConfig"),
        ({"SnapStart": {"ApplyOn": "PublishedVersions"}}, invalid, "SnapStart"),
        ({"TracingConfig": {"Mode": "Active"}}, invalid, "TracingConfig"),
        ({"LoggingConfig": {"LogFormat": "JSON"}}, invalid, "LogFormat"),
        ({"Tags": {"lambent:nonsense": "1"}}, invalid, "unknown tag `lambent:nonsense`"),
    ):
        table.refused("CreateFunction", f"{next(iter(members))}: {text}", lambda m=members: create(**m), code, 400, text)
    table.refused("GetFunction", "nothing was made", lambda: api.get_function(FunctionName="refused"),
                  "ResourceNotFoundException", 404, "Function not found")
    table.refused("ListLayers", "not there yet", api.list_layers, "NotImplementedException", 501, "lambda:ListLayers")


def deletion(table, api, name, arn):
    api.delete_function_url_config(FunctionName=name, Qualifier="live")
    table.equal("DeleteAlias", "status 204", lambda: api.delete_alias(
        FunctionName=name, Name="live")["ResponseMetadata"]["HTTPStatusCode"], 204)
    api.delete_function(FunctionName=name, Qualifier="1")
    table.refused("DeleteFunction", "a version is gone", lambda: api.get_function(FunctionName=name, Qualifier="1"),
                  "ResourceNotFoundException", 404, f"Function not found: {arn}:1")
    api.delete_function(FunctionName=name)
    for operation in ("get_function", "get_function_configuration", "delete_function"):
        table.refused(operation, "the function is gone", lambda o=operation: getattr(api, o)(FunctionName=name),
                      "ResourceNotFoundException", 404, f"Function not found: {arn}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("endpoint")
    parser.add_argument("--no-invoke", action="store_true", help="leave out the rows that run code")
    parser.add_argument("--runtime", default="python3.11")
    arguments = parser.parse_args()
    api, logs = client("lambda", arguments.endpoint), client("logs", arguments.endpoint)
    table, name = Table(not arguments.no_invoke), f"table-{int(time.time() * 1000)}"
    arn = functions(table, api, name, arguments.runtime)
    create_refusals(table, api, name, arguments.runtime)
    updates(table, api, name)
    versions(table, api, name, arn)
    aliases(table, api, name, arn)
    urls(table, api, name, arn)
    tags_and_concurrency(table, api, name, arn)
    invocations(table, api, logs, name)
    logs_refusals(table, logs)
    deletion(table, api, name, arn)
    return table.report()


if __name__ == "__main__":
    sys.exit(main())
