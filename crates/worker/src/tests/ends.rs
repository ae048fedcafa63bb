//! The ways a request can end, told apart: with the phase, the last lines and a suggestion.

use types::failure::{Cause, Failure, Phase};
use types::function::Runtime;
use types::limits::Limits;
use types::metering::Tier;

use super::*;

const HANDLER: &str = r#"
import os, signal, sys, time
def lambda_handler(event, context):
    what = event.get("do")
    print("doing", what)
    if what == "raise":
        raise KeyError("missing")
    if what == "sleep":
        time.sleep(60)
    if what == "exit":
        sys.exit(3)
    if what == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "large":
        return "x" * (6 * 1024 * 1024 + 200)
    return {"pid": os.getpid(), "event": event, "arn": context.invoked_function_arn}
"#;

async fn failure(world: &World, version: &Arc<Version>, payload: &str) -> Failure {
    let outcome = invoke(world, version, payload).await.unwrap();
    let failure = outcome.failure.expect("it has to fail");
    assert!(!failure.suggestion.is_empty());
    failure
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_answers_and_its_lines_are_in_order() {
    let world = World::new(Limits::default());
    let version = Arc::new(world.version("hello", &[("lambda_function.py", HANDLER)]));
    let outcome = invoke(&world, &version, r#"{"a": 1}"#).await.unwrap();
    let result: Value = serde_json::from_slice(&outcome.payload).unwrap();
    assert_eq!(result["event"]["a"], 1);
    assert_eq!(result["arn"], version.arn);
    let tail = String::from_utf8(outcome.log_tail.to_vec()).unwrap();
    let kinds: Vec<&str> = tail.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(kinds, ["START", "doing", "END", "REPORT"], "{tail}");
    assert!(tail.contains("Init Duration") && tail.contains("\tStart: bare\tQueue: "), "{tail}");
    let again = invoke(&world, &version, "{}").await.unwrap();
    let tail = String::from_utf8_lossy(&again.log_tail).into_owned();
    assert!(!tail.contains("Init Duration") && tail.contains("\tStart: warm\t"), "{tail}");
    // Plain processes have no meter: nothing is made up.
    assert!(!tail.contains("CPU Time"), "{tail}");
    let summary = again.summary.unwrap();
    assert_eq!((summary.start, summary.start_micros, summary.cpu_micros), (Tier::Warm, 0, None));
    assert_eq!((summary.bytes_in, summary.bytes_out), (2, Some(again.payload.len() as u64)));
    assert_eq!(outcome.summary.unwrap().start, Tier::Bare);
    assert!(outcome.summary.unwrap().start_micros > 0);
    let trace = world.worker.trace(summary.request_id).unwrap();
    let sum: u64 = trace.spans.iter().map(|span| span.micros).sum();
    // Each stretch is cut off to a whole microsecond.
    assert!(sum <= trace.wall_micros && trace.wall_micros - sum <= trace.spans.len() as u64, "{trace:?}");
    let cold = world.worker.trace(outcome.summary.unwrap().request_id).unwrap();
    let names: Vec<&str> = cold.spans.iter().map(|span| span.name.as_str()).collect();
    assert!(names.starts_with(&["queue", "sandbox", "init"]), "{names:?}");
    assert!(names.ends_with(&["run", "after"]), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_was_raised_leaves_the_instance_in_use() {
    let world = World::new(Limits::default());
    let version = Arc::new(world.version("hello", &[("lambda_function.py", HANDLER)]));
    let before = call(&world, &version, "{}").await["pid"].clone();
    let outcome = invoke(&world, &version, r#"{"do": "raise"}"#).await.unwrap();
    let payload: Value = serde_json::from_slice(&outcome.payload).unwrap();
    let failure = outcome.failure.unwrap();
    assert_eq!((failure.phase, &failure.cause), (Phase::Handler, &Cause::Raised));
    assert_eq!((&payload["errorType"], &payload["errorMessage"]), (&"KeyError".into(), &"'missing'".into()));
    assert!(payload["stackTrace"].as_array().is_some_and(|frames| !frames.is_empty()));
    assert!(failure.log_lines.iter().any(|line| line == "doing raise"), "{:?}", failure.log_lines);
    assert_eq!(call(&world, &version, "{}").await["pid"], before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_the_process_is_named_and_the_next_request_gets_another() {
    let world = World::new(Limits::default());
    let mut version = world.version("hello", &[("lambda_function.py", HANDLER)]);
    version.timeout = Duration::from_secs(1);
    let version = Arc::new(version);
    let cases = [
        ("exit", Cause::Exited { code: 3 }, "Runtime.ExitError", "Runtime exited with error: exit status 3"),
        ("crash", Cause::Killed { signal: 11 }, "Runtime.ExitError", "signal: segmentation fault"),
        (
            "sleep",
            Cause::TimedOut { after_ms: 1000 },
            "Sandbox.Timedout",
            "Task timed out after 1.00 seconds",
        ),
    ];
    for (what, cause, kind, text) in cases {
        let before = call(&world, &version, "{}").await["pid"].clone();
        let failure = failure(&world, &version, &format!(r#"{{"do": "{what}"}}"#)).await;
        assert_eq!((failure.phase, failure.cause), (Phase::Handler, cause));
        assert_eq!(failure.error_type, kind);
        assert!(failure.message.contains(text), "{}", failure.message);
        assert!(failure.log_lines.contains(&format!("doing {what}")), "{:?}", failure.log_lines);
        assert_ne!(call(&world, &version, "{}").await["pid"], before, "{what}");
    }
    assert!(world.lines.texts().iter().any(|line| line.ends_with("Task timed out after 1.00 seconds")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_over_the_limit_is_named_and_harms_nobody() {
    let world = World::new(Limits::default());
    let version = Arc::new(world.version("hello", &[("lambda_function.py", HANDLER)]));
    let before = call(&world, &version, "{}").await["pid"].clone();
    let failure = failure(&world, &version, r#"{"do": "large"}"#).await;
    assert_eq!(failure.error_type, "Function.ResponseSizeTooLarge");
    assert!(failure.message.contains("(6291556 bytes)"), "{}", failure.message);
    assert_eq!(call(&world, &version, "{}").await["pid"], before);
    let large = format!("\"{}\"", "x".repeat(6 * 1024 * 1024));
    let refusal = invoke(&world, &version, &large).await.unwrap_err();
    assert!(matches!(refusal, Refusal::TooLarge { limit: 6_291_456, .. }), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_init_that_fails_is_explained_then_left_alone_until_the_next_revision() {
    let world = World::new(Limits::default());
    let broken = Arc::new(world.version("hello", &[("lambda_function.py", "import nowhere\n")]));
    for _ in 0..3 {
        let failure = failure(&world, &broken, "{}").await;
        assert_eq!((failure.phase, failure.error_type.as_str()), (Phase::Init, "Runtime.ImportModuleError"));
        assert!(failure.message.contains("nowhere"), "{}", failure.message);
    }
    let refusal = invoke(&world, &broken, "{}").await.unwrap_err();
    let Refusal::BackingOff { failure, .. } = refusal else { panic!("{refusal}") };
    assert!(failure.message.contains("nowhere"));
    assert_eq!(world.worker.status().functions[0].backing_off[0].rounds, 3);
    let fixed = world.version("hello", &[("lambda_function.py", HANDLER)]);
    let fixed = Arc::new(Version { revision: "two".to_owned(), ..fixed });
    call(&world, &fixed, "{}").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn syntax_errors_missing_handlers_and_exits_during_init_are_told_apart() {
    let world = World::new(Limits { init_seconds: 2, ..Limits::default() });
    let cases = [
        ("syntax", "def lambda_handler(:\n", "Runtime.UserCodeSyntaxError"),
        ("missing", "x = 1\n", "Runtime.HandlerNotFound"),
        ("exits", "import os\nprint('last words', flush=True)\nos._exit(4)\n", "Runtime.ExitError"),
        ("sleeps", "import time\nprint('first words', flush=True)\ntime.sleep(60)\n", "Sandbox.Timedout"),
    ];
    for (name, code, kind) in cases {
        let version = Arc::new(world.version(name, &[("lambda_function.py", code)]));
        let failure = failure(&world, &version, "{}").await;
        assert_eq!((failure.phase, failure.error_type.as_str()), (Phase::Init, kind), "{}", failure.message);
        if code.contains("words") {
            assert!(failure.log_lines[0].ends_with("words"), "{:?}", failure.log_lines);
        }
    }
    let none = Version { runtime: Runtime::Python { minor: 99 }, ..world.version("none", &[]) };
    let failure = failure(&world, &Arc::new(none), "{}").await;
    assert_eq!(failure.error_type, "Runtime.InvalidEntrypoint");
    wait_until("nothing is left", || instances(&world) == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_whose_task_breaks_leaves_nobody_waiting() {
    let world = World::new(Limits::default());
    let mut version = world.version("hello", &[("lambda_function.py", HANDLER)]);
    version.environment.insert("PANIC".to_owned(), "1".to_owned());
    let version = Arc::new(version);
    let refused = tokio::time::timeout(Duration::from_secs(10), invoke(&world, &version, "{}")).await;
    assert!(matches!(refused.unwrap(), Err(Refusal::Platform(_))));
    wait_until("its place is free again", || {
        (instances(&world), world.worker.status().starts_running) == (0, 0)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_that_fails_is_tried_again_and_then_it_is_the_platforms_fault() {
    let world = World::new(Limits::default());
    let version = Arc::new(world.version("hello", &[("lambda_function.py", HANDLER)]));
    *world.failures.lock() = 2;
    call(&world, &version, "{}").await;
    let other = Arc::new(world.version("other", &[("lambda_function.py", HANDLER)]));
    *world.failures.lock() = u32::MAX;
    let refusal = invoke(&world, &other, "{}").await.unwrap_err();
    assert!(matches!(&refusal, Refusal::Platform(reason) if reason.contains("mount /usr")), "{refusal}");
}
