//! Requests that nobody would write: every operation with members of any type and any value. Each is
//! answered with a named error or done, never with a 500, and what can be called stays consistent.

#[cfg(test)]
mod support;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};
use support::Platform;
use types::body;

/// Members that operations look at, so that random bodies reach beyond the first check.
const MEMBERS: &[&str] = &[
    "FunctionName",
    "Runtime",
    "Handler",
    "Role",
    "Code",
    "Description",
    "Timeout",
    "MemorySize",
    "Publish",
    "VpcConfig",
    "PackageType",
    "Environment",
    "TracingConfig",
    "Tags",
    "Layers",
    "Architectures",
    "EphemeralStorage",
    "SnapStart",
    "LoggingConfig",
    "ZipFile",
    "S3Bucket",
    "DryRun",
    "RevisionId",
    "CodeSha256",
    "Name",
    "FunctionVersion",
    "RoutingConfig",
    "AuthType",
    "Cors",
    "InvokeMode",
    "StatementId",
    "Action",
    "Principal",
    "SourceArn",
    "ReservedConcurrentExecutions",
    "Unknown",
];

#[cfg(test)]
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        prop::sample::select(vec![
            "f",
            "1",
            "live",
            "$LATEST",
            "NONE",
            "*",
            "python3.11",
            "app.handler",
            support::ROLE
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        let member = prop_oneof![Just("Variables".to_owned()), Just("Size".to_owned()), "[a-zA-Z:]{1,8}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec((member, inner), 0..3)
                .prop_map(|members| Value::from(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

#[cfg(test)]
fn request() -> impl Strategy<Value = (&'static str, String, Value)> {
    let name = prop::sample::select(vec![
        "f",
        "f:live",
        "f:1",
        "f:$LATEST",
        "gone",
        "%20",
        "arn:aws:lambda:us-east-1:000000000000:function:f",
    ]);
    let path = prop::sample::select(vec![
        "2015-03-31/functions/{}",
        "2015-03-31/functions/{}/code",
        "2015-03-31/functions/{}/configuration",
        "2015-03-31/functions/{}/versions",
        "2015-03-31/functions/{}/aliases",
        "2015-03-31/functions/{}/aliases/live",
        "2015-03-31/functions/{}/policy",
        "2015-03-31/functions/{}/policy/s",
        "2015-03-31/functions/{}/invocations",
        "2021-10-31/functions/{}/url",
        "2021-10-31/functions/{}/urls",
        "2017-03-31/tags/{}",
        "2017-10-31/functions/{}/concurrency",
        "2019-09-30/functions/{}/concurrency",
        "2015-03-31/functions",
        "2016-08-19/account-settings",
    ]);
    let query = prop_oneof![
        Just(String::new()),
        "[a-zA-Z]{1,8}=\\PC{0,8}",
        Just("Qualifier=live".to_owned()),
        Just("MaxItems=x".to_owned()),
        Just("tagKeys=a".to_owned())
    ];
    let method = prop::sample::select(vec!["GET", "POST", "PUT", "DELETE"]);
    // Half of the bodies are a function's with some members replaced.
    let base = prop::sample::select(vec![json!({}), support::function("f")]);
    let members = prop::collection::vec((prop::sample::select(MEMBERS), value()), 0..8);
    (method, path, name, query, base, members).prop_map(|(method, path, name, query, base, members)| {
        let query: String = query
            .bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'=' => char::from(byte).to_string(),
                other => format!("%{other:02X}"),
            })
            .collect();
        let mut body = base;
        for (member, value) in members {
            body[member] = value;
        }
        (method, format!("/{}?{query}", path.replace("{}", name)), body)
    })
}

#[test]
fn every_request_is_answered_with_a_reason() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let platform = runtime.block_on(Platform::new());
    let done = std::cell::Cell::new(0);
    let mut runner = TestRunner::new(Config { cases: 1500, ..Config::default() });
    let checked = runner.run(&request(), |(method, path, body)| {
        runtime.block_on(async {
            if platform.resolve("f").is_none() {
                platform.create("f").await;
                platform.json("POST", "/2015-03-31/functions/f/versions", json!({})).await;
                let alias = json!({"Name": "live", "FunctionVersion": "1"});
                platform.json("POST", "/2015-03-31/functions/f/aliases", alias).await;
            }
            let answer = platform.send(method, &path, &[], body::full(body.to_string())).await;
            done.set(done.get() + usize::from(answer.status.is_success()));
            let allowed = answer.status.as_u16() != 500 && answer.status.as_u16() != 503;
            prop_assert!(allowed, "{method} {path} {body}: {} {}", answer.status, answer.json);
            prop_assert!(answer.status.is_success() || !answer.code().is_empty(), "{method} {path}: no code");
            prop_assert!(answer.header("x-amzn-requestid").is_some());
            Ok(())
        })
    });
    checked.unwrap();
    assert!(done.get() > 100, "only {} requests did anything: the test does not reach far", done.get());

    // What is left can be read by the next server: every record parses and routes as before.
    let again = runtime.block_on(Platform::over(platform.store.clone(), types::limits::Limits::default()));
    let names = |platform: &Platform| {
        let routes = platform.routes.load();
        let mut names: Vec<_> = routes
            .functions
            .iter()
            .map(|(name, one)| (name.clone(), one.versions.clone(), one.aliases.clone()))
            .collect();
        names.sort_by(|one, other| one.0.cmp(&other.0));
        names
    };
    assert_eq!(names(&again), names(&platform));
}
