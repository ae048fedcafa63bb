//! The life of a function through its API, what of it can be called, and what of it survives a restart.

#[cfg(test)]
mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use support::{Platform, encoded, function, function_with};
use types::body;
use types::limits::Limits;
use types::settings::Init;

const FUNCTIONS: &str = "/2015-03-31/functions";

#[tokio::test]
async fn a_function_is_shown_as_aws_shows_it() {
    let platform = Platform::new().await;
    let made = platform.create("hello").await;
    // Members and defaults as recorded from AWS (`test_lambda_code_location_zipfile`), but that a function
    // is active at once.
    for (member, value) in [
        ("FunctionName", json!("hello")),
        ("FunctionArn", json!("arn:aws:lambda:us-east-1:000000000000:function:hello")),
        ("Version", json!("$LATEST")),
        ("Runtime", json!("python3.11")),
        ("Handler", json!("app.handler")),
        ("Description", json!("")),
        ("Timeout", json!(3)),
        ("MemorySize", json!(128)),
        ("PackageType", json!("Zip")),
        ("EphemeralStorage", json!({"Size": 512})),
        ("TracingConfig", json!({"Mode": "PassThrough"})),
        ("SnapStart", json!({"ApplyOn": "None", "OptimizationStatus": "Off"})),
        ("LoggingConfig", json!({"LogFormat": "Text", "LogGroup": "/aws/lambda/hello"})),
        ("State", json!("Active")),
        ("LastUpdateStatus", json!("Successful")),
    ] {
        assert_eq!(made[member], value, "{member}");
    }
    assert!(made.get("Environment").is_none(), "no environment was given");
    let modified = made["LastModified"].as_str().unwrap();
    assert!(modified.len() == 28 && modified.ends_with("+0000"), "{modified}");

    let shown = platform.get("/2015-03-31/functions/hello").await.json;
    assert_eq!(shown["Configuration"], made);
    assert_eq!(shown["Code"]["RepositoryType"], "S3");
    let location = shown["Code"]["Location"].as_str().unwrap();
    let path = &location[location.find("/_lambent").unwrap()..];
    assert_eq!(platform.get(path).await.bytes, support::zip_of("app.py", "one"));

    let latest = platform.get("/2015-03-31/functions/hello/configuration?Qualifier=$LATEST").await.json;
    assert_eq!(latest["FunctionArn"], "arn:aws:lambda:us-east-1:000000000000:function:hello:$LATEST");
}

#[tokio::test]
async fn what_is_answered_can_be_called() {
    let platform = Platform::new().await;
    platform.create("hello").await;
    let first = platform.resolve("hello").unwrap();
    assert_eq!((first.memory_mib, first.timeout), (128, Duration::from_secs(3)));
    assert_eq!(std::fs::read_to_string(first.code.join("app.py")).unwrap(), "one");

    let settings = json!({"MemorySize": 256, "Timeout": 9, "Environment": {"Variables": {"MODE": "x"}}});
    let changed = platform.json("PUT", &format!("{FUNCTIONS}/hello/configuration"), settings).await;
    assert_eq!((changed.status, &changed.json["MemorySize"]), (StatusCode::OK, &json!(256)));
    let second = platform.resolve("hello").unwrap();
    assert_eq!((second.memory_mib, second.environment["MODE"].as_str()), (256, "x"));
    assert_ne!(first.revision, second.revision);

    let code = json!({"ZipFile": encoded("two"), "Publish": true});
    let updated = platform.json("PUT", &format!("{FUNCTIONS}/hello/code"), code).await;
    assert_eq!(updated.json["Version"], "1");
    let third = platform.resolve("hello:1").unwrap();
    assert_eq!(std::fs::read_to_string(third.code.join("app.py")).unwrap(), "two");
    assert_eq!(third.arn, "arn:aws:lambda:us-east-1:000000000000:function:hello:1");
    assert_eq!(platform.changes.load(Ordering::SeqCst), 4, "one on open and one for each change");
}

#[tokio::test]
async fn a_description_makes_no_instance_stale_and_a_tag_may() {
    let platform = Platform::new().await;
    let arn = platform.create("hello").await["FunctionArn"].as_str().unwrap().to_owned();
    let first = platform.resolve("hello").unwrap();
    platform.json("PUT", &format!("{FUNCTIONS}/hello/configuration"), json!({"Description": "d"})).await;
    assert_eq!(platform.resolve("hello").unwrap().revision, first.revision);

    let tags = json!({"Tags": {"lambent:idle-seconds": "7", "team": "blue"}});
    let tagged = platform.json("POST", &format!("/2017-03-31/tags/{arn}"), tags).await;
    assert_eq!(tagged.status, StatusCode::NO_CONTENT);
    let second = platform.resolve("hello").unwrap();
    assert_eq!(second.settings.idle, Some(Duration::from_secs(7)));
    assert_eq!(second.revision, first.revision, "how long an instance idles does not change what it is");

    platform
        .json("POST", &format!("/2017-03-31/tags/{arn}"), json!({"Tags": {"lambent:server": "own"}}))
        .await;
    assert_ne!(platform.resolve("hello").unwrap().revision, first.revision);
    platform.delete(&format!("/2017-03-31/tags/{arn}?tagKeys=lambent:server&tagKeys=team")).await;
    let left = platform.get(&format!("/2017-03-31/tags/{arn}")).await.json;
    assert_eq!(left, json!({"Tags": {"lambent:idle-seconds": "7"}}));
}

#[tokio::test]
async fn a_version_is_published_once_per_change() {
    let platform = Platform::new().await;
    platform.create("hello").await;
    let versions = format!("{FUNCTIONS}/hello/versions");
    let first = platform.json("POST", &versions, json!({"Description": "first"})).await;
    assert_eq!((first.status, &first.json["Version"]), (StatusCode::CREATED, &json!("1")));
    assert_eq!(first.json["Description"], "first");
    let again = platform.json("POST", &versions, json!({})).await;
    assert_eq!(again.json, first.json);

    platform.json("PUT", &format!("{FUNCTIONS}/hello/configuration"), json!({"Timeout": 5})).await;
    let second = platform.json("POST", &versions, json!({})).await;
    assert_eq!(second.json["Version"], "2");
    let shown = platform.get(&versions).await.json;
    let numbers: Vec<&Value> =
        shown["Versions"].as_array().unwrap().iter().map(|one| &one["Version"]).collect();
    assert_eq!(numbers, ["$LATEST", "1", "2"]);
    assert!(shown["Versions"][1].get("State").is_none(), "lists show no state");

    // A number is not used again, even when its version is gone.
    assert_eq!(
        platform.delete(&format!("{FUNCTIONS}/hello?Qualifier=2")).await.status,
        StatusCode::NO_CONTENT
    );
    assert!(platform.resolve("hello:2").is_none());
    platform.json("PUT", &format!("{FUNCTIONS}/hello/configuration"), json!({"Timeout": 6})).await;
    assert_eq!(platform.json("POST", &versions, json!({})).await.json["Version"], "3");
}

#[tokio::test]
async fn snap_start_is_in_force_for_published_versions() {
    let platform = Platform::new().await;
    platform.create("hello").await;
    let configuration = format!("{FUNCTIONS}/hello/configuration");
    let versions = format!("{FUNCTIONS}/hello/versions");
    platform.json("POST", &versions, json!({})).await;
    let asked = json!({"SnapStart": {"ApplyOn": "PublishedVersions"}});
    let refused = platform.json("PUT", &configuration, asked.clone()).await;
    let message = "python3.11 is not supported for SnapStart enabled functions.";
    assert_eq!(
        (refused.code(), &refused.json["message"]),
        ("InvalidParameterValueException", &json!(message))
    );
    let mut wanted = asked;
    wanted["Runtime"] = "python3.12".into();
    let latest = platform.json("PUT", &configuration, wanted).await;
    let shown = |status: &str| json!({"ApplyOn": "PublishedVersions", "OptimizationStatus": status});
    assert_eq!((latest.status, &latest.json["SnapStart"]), (StatusCode::OK, &shown("Off")));
    let published = platform.json("POST", &versions, json!({})).await;
    assert_eq!((&published.json["Version"], &published.json["SnapStart"]), (&json!("2"), &shown("On")));
    let settings = |name| {
        let version = platform.resolve(name).unwrap();
        (version.snap_start, version.settings.init)
    };
    assert_eq!(settings("hello:1"), (false, Init::Auto));
    assert_eq!(settings("hello"), (false, Init::Auto));
    assert_eq!(settings("hello:2"), (true, Init::Shared));
    platform.json("PUT", &configuration, json!({"SnapStart": {"ApplyOn": "None"}})).await;
    let published = platform.json("POST", &versions, json!({})).await;
    assert_eq!(published.json["Version"], "3", "it is a change");
}

#[tokio::test]
async fn an_alias_moves_and_a_url_follows_it() {
    let platform = Platform::new().await;
    platform.create("hello").await;
    let (functions, aliases) = (format!("{FUNCTIONS}/hello"), format!("{FUNCTIONS}/hello/aliases"));
    platform.json("POST", &format!("{functions}/versions"), json!({})).await;
    let made = platform.json("POST", &aliases, json!({"Name": "live", "FunctionVersion": "1"})).await;
    assert_eq!(made.status, StatusCode::CREATED);
    assert_eq!(made.json["AliasArn"], "arn:aws:lambda:us-east-1:000000000000:function:hello:live");

    let path = "/2021-10-31/functions/hello/url?Qualifier=live";
    let url = platform.json("POST", path, json!({"AuthType": "NONE"})).await;
    assert_eq!(url.status, StatusCode::CREATED, "{}", url.json);
    let address = url.json["FunctionUrl"].as_str().unwrap();
    let (id, rest) = address.strip_prefix("http://").unwrap().split_once('.').unwrap();
    assert_eq!(rest, "lambda-url.us-east-1.localhost:8080/");
    assert_eq!(platform.routes.load().resolve_label(id).unwrap().version, "1");
    assert_eq!(platform.routes.load().resolve_label("hello").unwrap().version, "1");

    let code = json!({"ZipFile": encoded("two"), "Publish": true});
    platform.json("PUT", &format!("{functions}/code"), code).await;
    let moved = platform.json("PUT", &format!("{aliases}/live"), json!({"FunctionVersion": "2"})).await;
    assert_eq!((moved.status, &moved.json["FunctionVersion"]), (StatusCode::OK, &json!("2")));
    assert_eq!(platform.routes.load().resolve_label(id).unwrap().version, "2");
    assert_eq!(platform.get(path).await.json["FunctionUrl"], address);

    let busy = platform.delete(&format!("{functions}?Qualifier=2")).await;
    assert_eq!((busy.status, busy.code()), (StatusCode::CONFLICT, "ResourceConflictException"));
    platform.delete(&format!("{aliases}/live")).await;
    assert!(platform.routes.load().resolve_label(id).is_none(), "the url stays and leads nowhere");
    assert_eq!(platform.delete(path).await.status, StatusCode::NO_CONTENT);
    assert_eq!(platform.get(path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn everything_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let open = || {
        let options = store::Options { directory: directory.path().join("data"), ephemeral: false };
        store::Store::open(options).unwrap()
    };
    let platform = Platform::over(open(), Limits::default()).await;
    let body = function_with("kept", json!({"Tags": {"lambent:max-instances": "3"}, "Publish": true}));
    platform.json("POST", FUNCTIONS, body).await;
    let alias = json!({"Name": "live", "FunctionVersion": "1"});
    platform.json("POST", &format!("{FUNCTIONS}/kept/aliases"), alias).await;
    platform.json("POST", "/2021-10-31/functions/kept/url?Qualifier=live", json!({"AuthType": "NONE"})).await;
    platform
        .json("PUT", "/2017-10-31/functions/kept/concurrency", json!({"ReservedConcurrentExecutions": 4}))
        .await;
    platform.create("gone").await;
    platform.delete(&format!("{FUNCTIONS}/gone")).await;
    let before = platform.get(&format!("{FUNCTIONS}/kept?Qualifier=live")).await.json;
    let routed = platform.resolve("kept:live").unwrap();
    platform.service.drain().await;
    drop(platform);

    // The unpacked tree is a copy: it is made again when it is missing.
    std::fs::rename(&routed.code, directory.path().join("lost")).unwrap();
    let platform = Platform::over(open(), Limits::default()).await;
    assert_eq!(platform.get(&format!("{FUNCTIONS}/kept?Qualifier=live")).await.json, before);
    assert_eq!(*platform.resolve("kept:live").unwrap(), *routed);
    assert_eq!(std::fs::read_to_string(routed.code.join("app.py")).unwrap(), "one");
    assert_eq!(platform.routes.load().resolve_label("kept").unwrap().version, "1");
    assert!(platform.resolve("gone").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_changes_are_all_kept_in_some_order() {
    let platform = std::sync::Arc::new(Platform::new().await);
    let tasks = tokio_util::task::TaskTracker::new();
    let create = |platform: std::sync::Arc<Platform>| async move {
        platform.json("POST", FUNCTIONS, function("one")).await.status
    };
    let racing: Vec<_> = (0..12).map(|_| tasks.spawn(create(platform.clone()))).collect();
    let mut made = 0;
    for task in racing {
        match task.await.unwrap() {
            StatusCode::CREATED => made += 1,
            status => assert_eq!(status, StatusCode::CONFLICT),
        }
    }
    assert_eq!(made, 1);

    let publish = |platform: std::sync::Arc<Platform>, index: usize| async move {
        let code = json!({"ZipFile": encoded(&format!("code {index}")), "Publish": true});
        platform.json("PUT", &format!("{FUNCTIONS}/one/code"), code).await.json["Version"].clone()
    };
    let racing: Vec<_> = (0..20).map(|index| tasks.spawn(publish(platform.clone(), index))).collect();
    let mut numbers = Vec::new();
    for task in racing {
        numbers.push(task.await.unwrap().as_str().unwrap().parse::<u64>().unwrap());
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=20).collect::<Vec<_>>());
    assert!((1..=20).all(|number| platform.resolve(&format!("one:{number}")).is_some()));
}

#[tokio::test]
async fn a_change_goes_on_without_its_caller() {
    let platform = Platform::new().await;
    let request = http::Request::post(FUNCTIONS).body(body::full(function("left").to_string())).unwrap();
    // Polled until it waits for something, then dropped, as when a client closes its connection.
    let mut call = platform.router.handle(request);
    let once = std::future::poll_fn(|context| std::task::Poll::Ready(call.as_mut().poll(context)));
    assert!(once.await.is_pending());
    drop(call);
    platform.service.drain().await;
    assert!(platform.resolve("left").is_some());
    assert_eq!(platform.get(&format!("{FUNCTIONS}/left")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn lists_come_in_pages() {
    let platform = Platform::new().await;
    for index in 0..5 {
        platform.create(&format!("f{index}")).await;
    }
    let mut names = Vec::new();
    let mut path = format!("{FUNCTIONS}?MaxItems=2");
    loop {
        let page = platform.get(&path).await.json;
        let functions = page["Functions"].as_array().unwrap();
        names.extend(functions.iter().map(|one| one["FunctionName"].as_str().unwrap().to_owned()));
        let Some(marker) = page["NextMarker"].as_str() else { break };
        assert_eq!(functions.len(), 2);
        path = format!("{FUNCTIONS}?MaxItems=2&Marker={marker}");
    }
    assert_eq!(names, ["f0", "f1", "f2", "f3", "f4"]);
    let bad = platform.get(&format!("{FUNCTIONS}?Marker=!")).await;
    assert_eq!(bad.code(), "InvalidParameterValueException");
}
