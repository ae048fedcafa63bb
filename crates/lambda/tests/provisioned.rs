//! Provisioned concurrency over the API: what is asked for, what is refused and with which words, and that versions
//! carry it.

#[cfg(test)]
mod support;

use http::StatusCode;
use serde_json::{Value, json};
use support::{Platform, ephemeral, function_with};
use types::limits::Limits;

const FUNCTIONS: &str = "/2015-03-31/functions";
const CONFIGS: &str = "/2019-09-30/functions";
const INVALID: &str = "InvalidParameterValueException";

fn path(function: &str, qualifier: &str) -> String {
    format!("{CONFIGS}/{function}/provisioned-concurrency?Qualifier={qualifier}")
}

fn wanted(executions: u32) -> Value {
    json!({"ProvisionedConcurrentExecutions": executions})
}

/// A function `f` with the versions 1 and 2, and the alias `live` at 1.
async fn platform() -> Platform {
    let platform = Platform::over(ephemeral(), Limits::default()).await;
    let made = platform.json("POST", FUNCTIONS, function_with("f", json!({"Publish": true}))).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.json);
    let change = json!({"Description": "another"});
    platform.json("PUT", &format!("{FUNCTIONS}/f/configuration"), change).await;
    let second = platform.json("POST", &format!("{FUNCTIONS}/f/versions"), json!({})).await;
    assert_eq!(second.json.pointer("/Version"), Some(&json!("2")));
    let alias = json!({"Name": "live", "FunctionVersion": "1"});
    platform.json("POST", &format!("{FUNCTIONS}/f/aliases"), alias).await;
    platform
}

#[tokio::test]
async fn what_is_asked_for_is_shown_listed_carried_by_the_version_and_taken_back() {
    let platform = platform().await;
    let put = platform.json("PUT", &path("f", "live"), wanted(5)).await;
    assert_eq!(put.status, StatusCode::ACCEPTED, "{}", put.json);
    assert_eq!(put.json["Status"], "IN_PROGRESS");
    assert_eq!(put.json["RequestedProvisionedConcurrentExecutions"], 5);
    assert_eq!(put.json["AvailableProvisionedConcurrentExecutions"], 0);
    assert!(put.json["LastModified"].as_str().unwrap().ends_with("+0000"));
    let provisioned = |name: &str| platform.resolve(name).unwrap().provisioned;
    assert_eq!((provisioned("f:1"), provisioned("f:2"), provisioned("f")), (5, 0, 0));

    let alias = format!("{FUNCTIONS}/f/aliases/live");
    platform.json("PUT", &alias, json!({"FunctionVersion": "2"})).await;
    assert_eq!((provisioned("f:1"), provisioned("f:2")), (0, 5), "it follows its alias");
    platform.json("PUT", &path("f", "1"), wanted(1)).await;
    let shown = platform.get(&path("f", "1")).await;
    assert_eq!((shown.status, &shown.json["Status"]), (StatusCode::OK, &json!("IN_PROGRESS")));
    let list = platform.get(&format!("{CONFIGS}/f/provisioned-concurrency?List=ALL")).await;
    let arns: Vec<&str> = list.json["ProvisionedConcurrencyConfigs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|config| config["FunctionArn"].as_str().unwrap())
        .collect();
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:f";
    assert_eq!(arns, [format!("{arn}:1"), format!("{arn}:live")]);

    for _ in 0..2 {
        assert_eq!(platform.delete(&path("f", "live")).await.status, StatusCode::NO_CONTENT);
    }
    assert_eq!(
        platform.get(&path("f", "live")).await.code(),
        "ProvisionedConcurrencyConfigNotFoundException"
    );
    assert_eq!(provisioned("f:2"), 0);
    platform.delete(&format!("{FUNCTIONS}/f?Qualifier=1")).await;
    let list = platform.get(&format!("{CONFIGS}/f/provisioned-concurrency?List=ALL")).await;
    assert_eq!(list.json["ProvisionedConcurrencyConfigs"], json!([]), "it goes with its version");
}

#[tokio::test]
async fn what_aws_refuses_is_refused_in_its_words() {
    let platform = platform().await;
    let not_found = "ResourceNotFoundException";
    for (target, body, code, text) in [
        (path("f", "$LATEST"), wanted(1), INVALID, "cannot be applied to unpublished function versions."),
        (path("f", "1"), wanted(0), "ValidationException", "Value '0' at 'provisionedConcurrentExecutions'"),
        (path("f", "1"), json!({}), "ValidationException", "'provisionedConcurrentExecutions'"),
        (
            path("f", "10"),
            wanted(1),
            not_found,
            "Function not found: arn:aws:lambda:us-east-1:000000000000:function:f:10",
        ),
        (
            path("f", "no"),
            wanted(1),
            not_found,
            "Cannot find alias arn: arn:aws:lambda:us-east-1:000000000000:function:f:no",
        ),
        (
            path("gone", "1"),
            wanted(1),
            not_found,
            "Function not found: arn:aws:lambda:us-east-1:000000000000:function:gone:1",
        ),
        (path("gone", "no"), wanted(1), not_found, "Cannot find alias arn"),
        (path("f", "1"), wanted(950), INVALID, "below its minimum value of [100]."),
        (path("f", "1"), wanted(1_001), INVALID, "greater than account's unreserved concurrency [1000]."),
        (format!("{CONFIGS}/f/provisioned-concurrency"), wanted(1), "ValidationException", "'qualifier'"),
    ] {
        let answer = platform.json("PUT", &target, body).await;
        assert_eq!(answer.code(), code, "{target}: {}", answer.json);
        assert!(answer.message().contains(text), "{target}: {}", answer.json);
    }
    for method in ["GET", "DELETE"] {
        for (target, code, text) in [
            (path("f", "$LATEST"), INVALID, "must be an alias or a published version."),
            (path("f", "10"), not_found, "Function not found"),
            (path("f", "no"), not_found, "Cannot find alias arn"),
        ] {
            let answer = platform.json(method, &target, json!({})).await;
            assert_eq!(answer.code(), code, "{method} {target}: {}", answer.json);
            assert!(answer.message().contains(text), "{method} {target}: {}", answer.json);
        }
    }
}

#[tokio::test]
async fn it_fits_into_what_is_reserved() {
    let platform = platform().await;
    let reserve = |executions: u32| {
        let body = json!({"ReservedConcurrentExecutions": executions});
        platform.json("PUT", "/2017-10-31/functions/f/concurrency", body)
    };
    assert_eq!(reserve(3).await.status, StatusCode::OK);
    assert_eq!(platform.json("PUT", &path("f", "1"), wanted(2)).await.status, StatusCode::ACCEPTED);
    for (qualifier, executions) in [("1", 4), ("2", 2)] {
        let answer = platform.json("PUT", &path("f", qualifier), wanted(executions)).await;
        assert_eq!(answer.code(), INVALID);
        assert!(answer.message().contains("greater than the reservedConcurrentExecution"), "{}", answer.json);
    }
    let answer = reserve(1).await;
    assert_eq!(answer.code(), INVALID);
    let text = " ReservedConcurrentExecutions  1 should not be lower than function's total provisioned concurrency [2].";
    assert_eq!(answer.message(), text);
    let alias = platform.json("PUT", &path("f", "live"), wanted(1)).await;
    assert!(alias.message().contains("an already Provisioned version"), "{}", alias.json);
}
