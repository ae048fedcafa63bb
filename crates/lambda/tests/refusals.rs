//! Everything that is refused, as a table: the request, the error's code, and what its text must hold.

#[cfg(test)]
mod support;

use http::StatusCode;
use serde_json::{Value, json};
use support::{Platform, ROLE, ephemeral, function, function_with};
use types::limits::Limits;

const FUNCTIONS: &str = "/2015-03-31/functions";
const INVALID: &str = "InvalidParameterValueException";
const VALIDATION: &str = "ValidationException";
const NOT_FOUND: &str = "ResourceNotFoundException";
const CONFLICT: &str = "ResourceConflictException";

async fn expect(platform: &Platform, method: &str, path: &str, body: Value, code: &str, text: &str) {
    let answer = platform.json(method, path, body.clone()).await;
    let what = format!("{method} {path} {body}: {} {} {}", answer.status, answer.code(), answer.json);
    assert_eq!(answer.code(), code, "{what}");
    assert!(answer.message().contains(text), "{what} should hold {text}");
    assert!(answer.header("x-amzn-requestid").is_some(), "{what}");
}

#[tokio::test]
async fn what_the_model_accepts_and_we_do_not_is_named() {
    let platform = Platform::new().await;
    for (member, value) in [
        ("VpcConfig", json!({"SubnetIds": ["s"]})),
        ("Layers", json!(["arn:aws:lambda:us-east-1:000000000000:layer:l:1"])),
        ("FileSystemConfigs", json!([{"Arn": "a", "LocalMountPath": "/mnt/a"}])),
        ("DeadLetterConfig", json!({"TargetArn": "arn:aws:sqs:us-east-1:000000000000:q"})),
        ("KMSKeyArn", json!("arn:aws:kms:us-east-1:000000000000:key/k")),
        ("CodeSigningConfigArn", json!("arn")),
        ("ImageConfig", json!({"Command": ["x"]})),
        ("TenancyConfig", json!({"TenantIsolationMode": "PER_TENANT"})),
        ("CapacityProviderConfig", json!({"x": 1})),
        ("DurableConfig", json!({"ExecutionTimeout": 1})),
        ("RuntimeConfig", json!({"x": "y"})),
        ("AcceleratorConfig", json!({"x": "y"})),
        ("PublishTo", json!("LATEST_PUBLISHED")),
        ("TracingConfig", json!({"Mode": "Active"})),
        ("LoggingConfig", json!({"LogFormat": "JSON"})),
        ("LoggingConfig", json!({"LogGroup": "mine"})),
        ("PackageType", json!("Image")),
    ] {
        let body = function_with("f", json!({ member: value }));
        expect(&platform, "POST", FUNCTIONS, body, INVALID, &format!("`{member}")).await;
    }
    let code = json!({"Code": {"S3Bucket": "b", "S3Key": "k"}});
    expect(&platform, "POST", FUNCTIONS, function_with("f", code), INVALID, "send the code as ZipFile").await;
    let image = json!({"Code": {"ImageUri": "i"}});
    expect(&platform, "POST", FUNCTIONS, function_with("f", image), INVALID, "`ImageUri`").await;
    let other = if cfg!(target_arch = "aarch64") { "x86_64" } else { "arm64" };
    let body = function_with("f", json!({"Architectures": [other]}));
    expect(&platform, "POST", FUNCTIONS, body, INVALID, &format!("architecture `{other}`")).await;
    assert_eq!(platform.get(FUNCTIONS).await.json["Functions"], json!([]), "nothing was made");
}

#[tokio::test]
async fn members_that_ask_for_nothing_are_taken() {
    let platform = Platform::new().await;
    let body = function_with(
        "f",
        json!({
            "VpcConfig": {"SubnetIds": [], "SecurityGroupIds": [], "Ipv6AllowedForDualStack": false},
            "Layers": [], "FileSystemConfigs": [], "DeadLetterConfig": {}, "KMSKeyArn": "",
            "TracingConfig": {"Mode": "PassThrough"}, "SnapStart": {"ApplyOn": "None"},
            "LoggingConfig": {"LogFormat": "Text", "LogGroup": "/aws/lambda/f"},
            "PackageType": "Zip", "Environment": {}, "SomethingNew": 1,
        }),
    );
    assert_eq!(platform.json("POST", FUNCTIONS, body).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn constraints_of_the_model() {
    let platform = Platform::new().await;
    for (members, text) in [
        (json!({"FunctionName": "my-function!"}), "Value 'my-function!' at 'functionName' failed"),
        (json!({"FunctionName": null}), "Value null at 'functionName' failed"),
        (json!({"Role": "r1"}), "Value 'r1' at 'role' failed to satisfy constraint"),
        (json!({"Role": null, "Code": null}), "2 validation errors detected"),
        (
            json!({"MemorySize": 64}),
            "at 'memorySize' failed to satisfy constraint: Member must have value greater than or equal to 128",
        ),
        (
            json!({"Timeout": 0}),
            "at 'timeout' failed to satisfy constraint: Member must have value greater than or equal to 1",
        ),
        (json!({"Timeout": 901}), "less than or equal to 900 (setting --limit-timeout)"),
        (json!({"EphemeralStorage": {"Size": 1}}), "at 'ephemeralStorage.size'"),
        (
            json!({"Handler": "a b"}),
            "at 'handler' failed to satisfy constraint: Member must satisfy regular expression pattern: [^\\s]+",
        ),
        (json!({"Description": "x".repeat(257)}), "at 'description'"),
        (json!({"Architectures": ["mips"]}), "at 'architectures'"),
        (
            json!({"SnapStart": {"ApplyOn": "invalidOption"}}),
            "Value 'invalidOption' at 'snapStart.applyOn' failed to satisfy constraint: Member must satisfy enum value set: [PublishedVersions, None]",
        ),
    ] {
        expect(&platform, "POST", FUNCTIONS, function_with("f", members), VALIDATION, text).await;
    }
    for (members, text) in [
        (json!({"FunctionName": "x".repeat(65)}), "Member must have length less than or equal to 64"),
        (json!({"Runtime": "cobol"}), "Value cobol at 'runtime' failed"),
        (json!({"Runtime": "python3.8"}), "not installed on this host: available are [python3.11"),
        (
            json!({"SnapStart": {"ApplyOn": "PublishedVersions"}}),
            "python3.11 is not supported for SnapStart enabled functions.",
        ),
        (json!({"Runtime": null}), "Runtime and Handler are mandatory"),
        (json!({"Code": {}}), "Please provide a source for function code."),
        (json!({"Tags": {"lambent:idle": "1"}}), "unknown tag `lambent:idle`"),
        (json!({"Tags": {"lambent:idle-seconds": "0"}}), "whole seconds from 1 to 86400"),
        (json!({"Environment": {"Variables": {"AWS_REGION": "x"}}}), "reserved keys"),
    ] {
        expect(&platform, "POST", FUNCTIONS, function_with("f", members), INVALID, text).await;
    }
    let typed = function_with("f", json!({"MemorySize": "big"}));
    expect(&platform, "POST", FUNCTIONS, typed, "SerializationException", "`MemorySize`").await;
}

#[tokio::test]
async fn code_that_cannot_be_taken() {
    let limits = Limits { code_zip: 300, code_unzipped: 50, ..Limits::default() };
    let platform = Platform::over(ephemeral(), limits).await;
    let zip = |bytes: Vec<u8>| {
        use base64::Engine;
        json!({"Code": {"ZipFile": base64::engine::general_purpose::STANDARD.encode(bytes)}})
    };
    for (bytes, text) in [
        (b"not a zip".to_vec(), "Could not unzip uploaded file"),
        (support::zip_of("../evil.py", "x"), "../evil.py"),
        (
            support::zip_of("app.py", &"x".repeat(51)),
            "Unzipped size must be smaller than 50 bytes (setting --limit-code-unzipped)",
        ),
    ] {
        expect(&platform, "POST", FUNCTIONS, function_with("f", zip(bytes)), INVALID, text).await;
    }
    let large = function_with("f", zip(vec![0; 301]));
    expect(&platform, "POST", FUNCTIONS, large, "RequestEntityTooLargeException", "--limit-code-zip").await;
    let text = function_with("f", json!({"Code": {"ZipFile": "***"}}));
    expect(&platform, "POST", FUNCTIONS, text, "SerializationException", "`ZipFile` is not base64").await;
    assert_eq!(platform.json("POST", FUNCTIONS, function("f")).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn what_is_not_there() {
    let platform = Platform::new().await;
    let arn = "Function not found: arn:aws:lambda:us-east-1:000000000000:function:gone";
    for (method, path) in [
        ("GET", format!("{FUNCTIONS}/gone")),
        ("GET", format!("{FUNCTIONS}/gone/configuration")),
        ("DELETE", format!("{FUNCTIONS}/gone")),
        ("PUT", format!("{FUNCTIONS}/gone/configuration")),
        ("POST", format!("{FUNCTIONS}/gone/versions")),
        ("GET", "/2019-09-30/functions/gone/concurrency".to_owned()),
        ("GET", "/2017-03-31/tags/arn:aws:lambda:us-east-1:000000000000:function:gone".to_owned()),
    ] {
        expect(&platform, method, &path, json!({}), NOT_FOUND, arn).await;
    }
    let url = "/2021-10-31/functions/gone/url";
    expect(&platform, "GET", url, json!({}), NOT_FOUND, "The resource you requested does not exist.").await;
    expect(&platform, "POST", url, json!({"AuthType": "NONE"}), NOT_FOUND, "Function does not exist").await;
    let other = "/2015-03-31/functions/arn:aws:lambda:eu-west-1:000000000000:function:gone";
    expect(&platform, "GET", other, json!({}), NOT_FOUND, "not reachable in this region").await;
    let stranger = platform.get("/2015-03-31/functions/123456789012:function:gone").await;
    assert_eq!((stranger.status, &stranger.json), (StatusCode::FORBIDDEN, &json!({"Message": null})));
}

#[tokio::test]
async fn aliases_urls_and_revisions() {
    let platform = Platform::new().await;
    platform.create("f").await;
    expect(&platform, "POST", FUNCTIONS, function("f"), CONFLICT, "Function already exist: f").await;
    let aliases = format!("{FUNCTIONS}/f/aliases");
    let alias = |name: &str, version: &str| json!({"Name": name, "FunctionVersion": version});
    expect(&platform, "POST", &aliases, alias("7", "1"), VALIDATION, "at 'name'").await;
    expect(&platform, "POST", &aliases, alias("a", "x"), VALIDATION, "at 'functionVersion'").await;
    expect(&platform, "POST", &aliases, alias("a", "9"), NOT_FOUND, "function:f:9").await;
    platform.json("POST", &aliases, alias("a", "$LATEST")).await;
    expect(&platform, "POST", &aliases, alias("a", "$LATEST"), CONFLICT, "Alias already exists: arn").await;
    let weights = json!({"RoutingConfig": {"AdditionalVersionWeights": {"1": 0.5}}});
    expect(&platform, "PUT", &format!("{aliases}/a"), weights, INVALID, "`RoutingConfig` with weights").await;
    expect(&platform, "PUT", &format!("{aliases}/b"), json!({}), NOT_FOUND, "Alias not found: arn").await;
    expect(&platform, "GET", &format!("{aliases}/b"), json!({}), NOT_FOUND, "Cannot find alias arn: arn")
        .await;

    let url = "/2021-10-31/functions/f/url";
    for (body, text) in [
        (json!({"AuthType": "AWS_IAM"}), "`AuthType` AWS_IAM"),
        (json!({"AuthType": "NONE", "InvokeMode": "RESPONSE_STREAM"}), "RESPONSE_STREAM"),
        (json!({"AuthType": "NONE", "Cors": {"AllowOrigins": ["*"]}}), "`Cors`"),
    ] {
        expect(&platform, "POST", url, body, INVALID, text).await;
    }
    expect(&platform, "POST", url, json!({}), VALIDATION, "Value null at 'authType'").await;
    let latest = format!("{url}?Qualifier=$LATEST");
    expect(&platform, "POST", &latest, json!({"AuthType": "NONE"}), VALIDATION, "at 'qualifier'").await;
    platform.json("POST", url, json!({"AuthType": "NONE"})).await;
    expect(&platform, "POST", url, json!({"AuthType": "NONE"}), CONFLICT, "FunctionUrlConfig exists").await;

    let stale = json!({"RevisionId": "00000000-0000-0000-0000-000000000000"});
    let stale_code = "PreconditionFailedException";
    for path in ["configuration", "code"] {
        expect(&platform, "PUT", &format!("{FUNCTIONS}/f/{path}"), stale.clone(), stale_code, "Revision Id")
            .await;
    }
    expect(&platform, "POST", &format!("{FUNCTIONS}/f/versions"), stale, stale_code, "Revision Id").await;
    let sha = json!({"CodeSha256": "other"});
    expect(&platform, "POST", &format!("{FUNCTIONS}/f/versions"), sha, INVALID, "CodeSHA256 (other)").await;
    expect(
        &platform,
        "DELETE",
        &format!("{FUNCTIONS}/f?Qualifier=$LATEST"),
        json!({}),
        INVALID,
        "$LATEST version",
    )
    .await;
    let qualified = "/2017-10-31/functions/f:a/concurrency";
    expect(
        &platform,
        "PUT",
        qualified,
        json!({"ReservedConcurrentExecutions": 1}),
        INVALID,
        "permitted on Lambda functions only",
    )
    .await;
    let all = "/2017-10-31/functions/f/concurrency";
    expect(
        &platform,
        "PUT",
        all,
        json!({"ReservedConcurrentExecutions": 901}),
        INVALID,
        "minimum value of [100]",
    )
    .await;
}

#[tokio::test]
async fn permissions_are_kept_and_shown() {
    let platform = Platform::new().await;
    platform.create("f").await;
    let policy = format!("{FUNCTIONS}/f/policy");
    let add = |id: &str, principal: &str| json!({"StatementId": id, "Action": "lambda:InvokeFunctionUrl", "Principal": principal, "FunctionUrlAuthType": "NONE"});
    expect(&platform, "GET", &policy, json!({}), NOT_FOUND, "The resource you requested does not exist.")
        .await;
    expect(&platform, "POST", &policy, add("a", "bad"), INVALID, "The provided principal was invalid").await;
    expect(&platform, "POST", &policy, add("example.com", "*"), VALIDATION, "([a-zA-Z0-9-_]+)").await;
    let added = platform.json("POST", &policy, add("s", "*")).await;
    assert_eq!(added.status, StatusCode::CREATED);
    let statement: Value = serde_json::from_str(added.json["Statement"].as_str().unwrap()).unwrap();
    assert_eq!(
        statement,
        json!({
            "Sid": "s", "Effect": "Allow", "Principal": "*", "Action": "lambda:InvokeFunctionUrl",
            "Resource": "arn:aws:lambda:us-east-1:000000000000:function:f",
            "Condition": {"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}},
        })
    );
    expect(
        &platform,
        "POST",
        &policy,
        add("s", "*"),
        CONFLICT,
        "The statement id (s) provided already exists",
    )
    .await;
    let shown = platform.get(&policy).await.json;
    let document: Value = serde_json::from_str(shown["Policy"].as_str().unwrap()).unwrap();
    assert_eq!(document, json!({"Version": "2012-10-17", "Id": "default", "Statement": [statement]}));
    let latest = format!("{policy}?Qualifier=$LATEST");
    expect(&platform, "POST", &latest, add("t", "*"), INVALID, "adding policies for $LATEST").await;
    expect(&platform, "POST", &format!("{policy}?Qualifier=9"), add("t", "*"), NOT_FOUND, "function:f:9")
        .await;
    expect(
        &platform,
        "POST",
        &format!("{policy}?Qualifier=no"),
        add("t", "*"),
        NOT_FOUND,
        "Cannot find alias arn",
    )
    .await;
    expect(&platform, "DELETE", &format!("{policy}/x"), json!({}), NOT_FOUND, "Statement x is not found")
        .await;
    assert_eq!(platform.delete(&format!("{policy}/s")).await.status, StatusCode::NO_CONTENT);
    expect(&platform, "DELETE", &format!("{policy}/s"), json!({}), NOT_FOUND, "No policy is associated")
        .await;
}

#[tokio::test]
async fn tags_in_awss_words() {
    let platform = Platform::new().await;
    platform.create("f").await;
    let arn = "/2017-03-31/tags/arn:aws:lambda:us-east-1:000000000000:function:f";
    expect(&platform, "POST", arn, json!({"Tags": {}}), INVALID, "the request cannot be processed").await;
    expect(
        &platform,
        "POST",
        &format!("{arn}:1"),
        json!({"Tags": {"a": "b"}}),
        INVALID,
        "aliases and versions",
    )
    .await;
    expect(&platform, "DELETE", arn, json!({}), VALIDATION, "Value null at 'tagKeys'").await;
    expect(&platform, "GET", "/2017-03-31/tags/arn:aws:something", json!({}), VALIDATION, "at 'resource'")
        .await;
    let many: serde_json::Map<String, Value> =
        (0..51).map(|index| (format!("k{index}"), json!("v"))).collect();
    expect(&platform, "POST", arn, json!({"Tags": many}), INVALID, "exceeds resource tag limit").await;
    let setting = json!({"Tags": {"lambent:server": "both"}});
    expect(&platform, "POST", arn, setting, INVALID, "own or shim").await;
    assert_eq!(platform.get(arn).await.json, json!({"Tags": {}}), "nothing was kept");
}

#[tokio::test]
async fn operations_that_are_not_there_are_named() {
    let platform = Platform::new().await;
    for (method, path, operation) in [
        ("GET", "/2018-10-31/layers", "ListLayers"),
        ("POST", "/2015-03-31/event-source-mappings", "CreateEventSourceMapping"),
        ("PUT", "/2019-09-25/functions/f/event-invoke-config", "PutFunctionEventInvokeConfig"),
        ("POST", "/2014-11-13/functions/f/invoke-async", "InvokeAsync"),
    ] {
        let text = format!("lambda:{operation} is not supported");
        expect(&platform, method, path, json!({}), "NotImplementedException", &text).await;
    }
    expect(
        &platform,
        "GET",
        "/2015-03-31/nothing",
        json!({}),
        "UnknownOperationException",
        "GET /2015-03-31/nothing",
    )
    .await;
    assert!(ROLE.starts_with("arn:"));
}
