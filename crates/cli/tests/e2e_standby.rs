//! Node.js functions on interpreters that waited before the function was known, through the real server.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's panic is its verdict")]

mod fixture;

use fixture::{SOON, host, invoke, not_run, status, world};
use testkit::{World, wait_until};

/// Shows what a function finds around it.
const LOOK: &str = "\
import { readdirSync, readFileSync, writeFileSync, statfsSync } from 'node:fs';
import { hostname } from 'node:os';
import { shared } from './lib/shared.cjs';
const begun = process.uptime();
export const handler = async (event, context) => {
  writeFileSync('/tmp/mine', 'x');
  const tmp = statfsSync('/tmp');
  return {
    shared, event, begun,
    directory: process.cwd(), arguments: process.argv.length,
    code: readdirSync('/var/task'), opt: readdirSync('/opt'), tmp: readdirSync('/tmp'),
    bytes: tmp.bavail * tmp.bsize,
    variables: Object.keys(process.env).sort(), stage: process.env.STAGE,
    names: [context.functionName, process.env.AWS_LAMBDA_FUNCTION_NAME, process.env._HANDLER],
    hostname: hostname(), at_exec: readFileSync('/proc/self/environ', 'latin1'),
    mounts: readFileSync('/proc/self/mountinfo', 'utf8'),
  };
};
";

const SHARED: &str = "exports.shared = 'required';\n";

fn deploy(world: &World, name: &str, options: &[&str]) {
    let files = [("index.mjs", LOOK), ("lib/shared.cjs", SHARED), (&format!("{name}.txt"), "x")];
    let folder = world.folder(name, &files).unwrap();
    let mut arguments = vec!["deploy", folder.to_str().unwrap(), "--name", name];
    arguments.extend(["--runtime", "nodejs18.x", "--handler", "index.handler", "--idle-seconds", "1"]);
    arguments.extend_from_slice(options);
    world.run(&arguments).unwrap();
}

/// Waits until an interpreter waits.
fn wait_for_standby(world: &World) {
    wait_until(SOON, "an interpreter waits", || status(world)["standby"] == 1).unwrap();
}

fn has_node(world: &World) -> bool {
    let there = status(world)["runtimes"].to_string().contains("nodejs");
    let usable = there && world.has_namespaces();
    if !usable {
        not_run("standby", "it takes Node.js and namespaces");
    }
    usable
}

#[test]
fn a_function_starts_on_an_interpreter_that_waited_and_finds_only_what_is_its() {
    let world = world().start().unwrap();
    if !has_node(&world) {
        return;
    }
    deploy(&world, "first", &["--env", "STAGE=one"]);
    wait_for_standby(&world);
    let first = invoke(&world, "first", r#"{"n":1}"#);
    assert_eq!(first.header("x-lambent-start"), Some("standby"), "{}", first.text());
    let seen: serde_json::Value = serde_json::from_slice(&first.body).unwrap();
    assert_eq!((&seen["shared"], &seen["event"]["n"]), (&"required".into(), &1.into()));
    assert_eq!((&seen["directory"], &seen["stage"]), (&"/var/task".into(), &"one".into()));
    assert_eq!(seen["names"], serde_json::json!(["first", "first", "index.handler"]));
    assert_eq!(seen["code"], serde_json::json!(["first.txt", "index.mjs", "lib"]));
    assert_eq!((&seen["opt"], &seen["arguments"]), (&serde_json::json!([]), &1.into()));
    assert!(seen["hostname"].as_str().is_some_and(|name| name.starts_with("lambent-")), "{seen}");
    assert!(seen["bytes"].as_u64().is_some_and(|bytes| bytes >= (512 << 20) - (1 << 20)), "{seen}");
    let executed = seen["at_exec"].as_str().unwrap();
    assert!(!executed.contains("STAGE") && !executed.contains("first"), "{executed}");
    assert!(!seen["variables"].to_string().contains("LAMBENT_"), "{}", seen["variables"]);

    deploy(&world, "second", &["--env", "OTHER=two"]);
    wait_for_standby(&world);
    let second = invoke(&world, "second", "{}");
    assert_eq!(second.header("x-lambent-start"), Some("standby"), "{}", second.text());
    let text = second.text();
    assert!(text.contains("second.txt") && text.contains("OTHER"), "the control: {text}");
    assert!(!text.contains("first") && !text.contains("STAGE"), "nothing of another function: {text}");
}

#[test]
fn what_is_read_at_the_start_of_node_is_never_late() {
    let world = world().start().unwrap();
    if !has_node(&world) {
        return;
    }
    deploy(&world, "early", &["--env", "NODE_OPTIONS=--max-old-space-size=64"]);
    let answer = invoke(&world, "early", "{}");
    assert_eq!(answer.header("x-lambent-start"), Some("bare"), "{}", answer.text());
    assert!(answer.text().contains("NODE_OPTIONS"));
}

#[test]
fn an_init_that_fails_on_a_waiting_interpreter_is_the_functions_failure() {
    let world = world().start().unwrap();
    if !has_node(&world) {
        return;
    }
    let folder = world.folder("broken", &[("index.mjs", "throw new TypeError('at the top');\n")]).unwrap();
    let arguments = ["deploy", folder.to_str().unwrap(), "--name", "broken", "--runtime", "nodejs18.x"];
    world.run(&[&arguments[..], &["--handler", "index.handler"]].concat()).unwrap();
    wait_for_standby(&world);
    let failed = invoke(&world, "broken", "{}");
    assert!(failed.text().contains("at the top") && failed.text().contains("TypeError"), "{}", failed.text());
    let page = world.get(&host("broken"), "/").unwrap();
    assert_eq!(page.status, 502, "{}", page.text());
}

#[test]
fn python_waits_for_a_function_whose_init_is_its_own() {
    let world = world().start().unwrap();
    if !world.has_namespaces() {
        return not_run("standby", "it takes namespaces");
    }
    let code = "\
import os
made = os.urandom(4).hex()
def lambda_handler(event, context):
    return [made, os.environ['STAGE'], context.function_name, sorted(os.listdir('/var/task'))]
";
    let options = ["--init", "per-instance", "--idle-seconds", "1", "--env", "STAGE=own"];
    fixture::deploy(&world, "alone", code, &options);
    let mut made = Vec::new();
    for _ in 0..2 {
        wait_for_standby(&world);
        let answer = invoke(&world, "alone", "{}");
        assert_eq!(answer.header("x-lambent-start"), Some("standby"), "{}", answer.text());
        let seen: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!((&seen[1], &seen[2]), (&"own".into(), &"alone".into()));
        assert!(seen[3].to_string().contains("lambda_function.py"), "{seen}");
        made.push(seen[0].to_string());
        let gone = || status(&world)["functions"][0]["instances"].as_array().is_none_or(Vec::is_empty);
        wait_until(SOON, "the instance is gone", gone).unwrap();
    }
    made.dedup();
    assert_eq!(made.len(), 2, "each instance has run its own init");
}
