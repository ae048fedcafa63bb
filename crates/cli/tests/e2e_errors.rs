//! Bad input through the real server: each a named, correct error, in AWS's shape where it is AWS's.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's panic is its verdict")]

mod fixture;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use fixture::{HELLO, SmallDisk, create, deploy, host, invoke, not_run, world, zipped};
use testkit::Response;

const HANDLER: &str = "lambda_function.lambda_handler";

#[test]
fn a_zip_that_is_none_or_escapes_is_refused_and_leaves_no_function() {
    let world = world().start().unwrap();
    let escaping = zipped(&[("../../escaped.py", HELLO)]);
    for (zip, text) in [(BASE64_STANDARD.encode("no zip"), "zip"), (escaping, "../../escaped.py")] {
        let refused = create(&world, "bad", &zip, "lambda_function.lambda_handler");
        assert_eq!(refused.status, 400, "{}", refused.text());
        assert_eq!(refused.header("x-amzn-errortype"), Some("InvalidParameterValueException"));
        assert!(refused.text().contains(text), "{}", refused.text());
        assert_eq!(world.aws("GET", "/2015-03-31/functions/bad", "").unwrap().status, 404);
    }
}

#[test]
fn a_disk_that_is_full_later_is_named_and_what_runs_goes_on() {
    let Some(disk) = SmallDisk::mount("48m") else {
        return not_run("a_disk_that_is_full_later_is_named", "mounting a small disk needs root");
    };
    let world = world().data_dir(&disk.path().join("data")).start().unwrap();
    deploy(&world, "hello", HELLO, &[]);
    assert_eq!(world.get(&host("hello"), "/").unwrap().status, 200);
    let zip = zipped(&[("lambda_function.py", HELLO), ("weight.bin", &incompressible(8 * 1024 * 1024))]);
    let refused = (0..8)
        .map(|number| create(&world, &format!("heavy-{number}"), &with_comment(&zip, number), HANDLER))
        .find(|answer| answer.status != 201)
        .unwrap();
    assert_eq!(
        refused.header("x-amzn-errortype"),
        Some("CodeStorageExceededException"),
        "{}",
        refused.text()
    );
    assert!(refused.text().to_lowercase().contains("no space left"), "{}", refused.text());
    assert_eq!(world.get(&host("hello"), "/").unwrap().status, 200);
    let listed = world.aws("GET", "/2015-03-31/functions", "").unwrap().text();
    for number in 0..8 {
        let name = format!("heavy-{number}");
        let found = world.aws("GET", &format!("/2015-03-31/functions/{name}"), "").unwrap().status;
        assert_eq!(found == 200, listed.contains(&name), "{name} is half there");
    }
}

#[test]
fn init_errors_are_told_apart() {
    let world = world().start().unwrap();
    for (name, handler, code, error, text) in [
        ("missing-module", "nothing.handler", HELLO, "Runtime.ImportModuleError", "nothing"),
        ("missing-handler", "lambda_function.nope", HELLO, "Runtime.HandlerNotFound", "nope"),
        ("syntax", "lambda_function.x", "def (:\n", "Runtime.UserCodeSyntaxError", "lambda_function"),
    ] {
        let made = create(&world, name, &zipped(&[("lambda_function.py", code)]), handler);
        assert_eq!(made.status, 201, "{}", made.text());
        failed(&invoke(&world, name, "{}"), error, text);
    }
}

#[test]
fn failures_of_a_handler_are_told_apart() {
    let world = world().start().unwrap();
    for (name, body, error, text) in [
        ("raises", "    raise ValueError('bad input')", "ValueError", "bad input"),
        ("exits", "    import os; os._exit(3)", "Runtime.ExitError", "exit status 3"),
        ("killed", "    import os; os.kill(os.getpid(), 9)", "Runtime.ExitError", "killed"),
        ("slow", "    import time; time.sleep(60)", "Sandbox.Timedout", "timed out after 3.00 seconds"),
        ("odd", "    return object()", "Runtime.MarshalError", "Unable to marshal response"),
    ] {
        let code = format!("def lambda_handler(event, context):\n{body}\n");
        let zip = zipped(&[("lambda_function.py", &code)]);
        assert_eq!(create(&world, name, &zip, "lambda_function.lambda_handler").status, 201);
        failed(&invoke(&world, name, "{}"), error, text);
    }
}

#[test]
fn running_out_of_memory_names_the_limit() {
    let world = world().start().unwrap();
    if !world.has_namespaces() {
        return not_run("running_out_of_memory_names_the_limit", "this host refuses namespaces");
    }
    let code = "def lambda_handler(event, context):\n    return len(bytearray(300 * 1024 * 1024))\n";
    let zip = zipped(&[("lambda_function.py", code)]);
    assert_eq!(create(&world, "hungry", &zip, "lambda_function.lambda_handler").status, 201);
    failed(&invoke(&world, "hungry", "{}"), "Runtime.OutOfMemory", "128");
}

#[test]
fn a_payload_over_the_limit_names_limit_and_setting() {
    let world = world().start().unwrap();
    deploy(&world, "hello", HELLO, &[]);
    let limit = 6 * 1024 * 1024;
    let most = vec![b'x'; limit];
    let over = vec![b'x'; limit + 1];
    // An ordinary body becomes base64 inside the event, so what fits is text.
    let refused = world.send("POST", &host("hello"), "/", &over).unwrap();
    assert_eq!(refused.status, 413, "{}", refused.text());
    assert!(
        refused.text().contains("6291456") && refused.text().contains("--limit-payload"),
        "{}",
        refused.text()
    );

    let mut event = most;
    event[0] = b'"';
    event[limit - 1] = b'"';
    let fits = invoke(&world, "hello", std::str::from_utf8(&event).unwrap());
    assert_eq!(fits.status, 200, "{}", fits.text());
    event.insert(1, b'x');
    let refused = invoke(&world, "hello", std::str::from_utf8(&event).unwrap());
    assert_eq!(refused.status, 413, "{}", refused.text());
    assert!(
        refused.text().contains("6291456") && refused.text().contains("--limit-payload"),
        "{}",
        refused.text()
    );
}

#[test]
fn the_gateway_explains_a_failure_to_a_local_client() {
    let world = world().start().unwrap();
    deploy(&world, "broken", "def lambda_handler(event, context):\n    raise KeyError('user')\n", &[]);
    let answer = world.get(&host("broken"), "/").unwrap();
    assert_eq!(answer.status, 502);
    let text = answer.text();
    assert!(text.starts_with("Internal Server Error\n"), "{text}");
    assert!(text.contains("KeyError") && text.contains("lambent logs broken"), "{text}");
}

#[test]
fn init_that_keeps_failing_backs_off_and_is_explained() {
    let world = world().start().unwrap();
    deploy(
        &world,
        "broken",
        "import nothing_like_this\n\ndef lambda_handler(event, context):\n    pass\n",
        &[],
    );
    let mut last = None;
    for _ in 0..20 {
        let answer = world.get(&host("broken"), "/").unwrap();
        assert!(matches!(answer.status, 429 | 502), "{}: {}", answer.status, answer.text());
        assert!(answer.text().contains("nothing_like_this"), "{}", answer.text());
        last = Some(answer);
    }
    let last = last.unwrap();
    assert_eq!(last.status, 429, "init is tried for every request: {}", last.text());
    assert!(last.header("retry-after").is_some());
}

fn failed(answer: &Response, error: &str, text: &str) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("x-amz-function-error"), Some("Unhandled"), "{}", answer.text());
    let payload: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(payload["errorType"], error, "{payload}");
    assert!(payload["errorMessage"].as_str().unwrap_or_default().contains(text), "{payload}");
}

/// Text that deflate can do little with.
fn incompressible(length: usize) -> String {
    let mut state = 0x9e37_79b9_u32;
    let letters = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        char::from(b' ' + u8::try_from(state % 95).unwrap())
    });
    letters.take(length).collect()
}

/// The same zip with other bytes: a comment at its end, so that it is stored once more.
fn with_comment(zip: &str, number: u8) -> String {
    let mut bytes = BASE64_STANDARD.decode(zip).unwrap();
    let length = bytes.len();
    bytes[length - 2..].copy_from_slice(&1_u16.to_le_bytes());
    bytes.push(b'a' + number);
    BASE64_STANDARD.encode(bytes)
}
