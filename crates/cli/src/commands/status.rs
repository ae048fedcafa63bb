//! `lambent status`: the server, its functions and their instances at this moment, as its admin interface
//! tells it.

use clap::Args;
use serde_json::Value;

use super::ExitStatus;
use crate::api;
use crate::printer::Printer;

/// Show the server, functions and instances
#[derive(Debug, Args)]
pub struct StatusArguments {}

/// Runs the command.
pub async fn run(_: &StatusArguments, server: &api::Server, printer: Printer) -> anyhow::Result<ExitStatus> {
    let status = server.admin.status().await?;
    if printer.is_json() {
        printer.document(&status)?;
        return Ok(ExitStatus::Success);
    }
    for line in server_lines(&status) {
        printer.data(line)?;
    }
    let functions = functions(&status);
    let instances: Vec<[String; 7]> = functions.iter().flat_map(|function| instance_rows(function)).collect();
    if instances.is_empty() {
        printer.data("\nno instances: every function is at zero")?;
    } else {
        printer.data("")?;
        let header = ["function", "version", "instance", "state", "age", "idle", "requests"];
        printer.table(header, instances)?;
    }
    for line in functions.iter().flat_map(|function| trouble(function)) {
        printer.note(line);
    }
    Ok(ExitStatus::Success)
}

/// The part of a status that is about one function.
pub fn function_status<'a>(status: &'a Value, name: &str) -> Option<&'a Value> {
    functions(status).into_iter().find(|function| text(function, "name") == name)
}

fn functions(status: &Value) -> Vec<&Value> {
    status
        .get("functions")
        .and_then(Value::as_array)
        .map(|functions| functions.iter().collect())
        .unwrap_or_default()
}

/// Everything about the server that is not about a function, one member per line.
fn server_lines(status: &Value) -> Vec<String> {
    let members = status.as_object().into_iter().flatten();
    members
        .filter_map(|(name, value)| {
            let value = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Bool(flag) => flag.to_string(),
                Value::Array(items) if items.iter().all(Value::is_string) => {
                    items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
                }
                _ => return None,
            };
            Some(format!("{:<16} {value}", name.replace('_', " ")))
        })
        .collect()
}

fn instance_rows(function: &Value) -> Vec<[String; 7]> {
    let instances = function.get("instances").and_then(Value::as_array).into_iter().flatten();
    instances
        .map(|instance| {
            let milliseconds = |key: &str| instance.get(key).and_then(Value::as_u64);
            [
                text(function, "name").to_owned(),
                text(instance, "version").to_owned(),
                text(instance, "id").chars().take(8).collect(),
                text(instance, "state").to_owned(),
                milliseconds("age_ms").map(duration).unwrap_or_default(),
                milliseconds("idle_ms").map(duration).unwrap_or_default(),
                milliseconds("requests").map(|requests| requests.to_string()).unwrap_or_default(),
            ]
        })
        .collect()
}

/// What is not as it should be with a function, a sentence each.
fn trouble(function: &Value) -> Vec<String> {
    let name = text(function, "name");
    let mut lines = Vec::new();
    let queued = function.get("queued").and_then(Value::as_u64).unwrap_or(0);
    if queued > 0 {
        lines.push(format!("{name}: {queued} requests wait for an instance"));
    }
    for paused in function.get("backing_off").and_then(Value::as_array).into_iter().flatten() {
        let retry = paused.get("retry_after_ms").and_then(Value::as_u64).map(duration).unwrap_or_default();
        lines.push(format!(
            "{name}: init of version {} keeps failing, retried in {retry}",
            text(paused, "version")
        ));
    }
    if let Some(failure) = function.get("last_failure").filter(|failure| failure.is_object()) {
        lines.push(format!(
            "{name}: last failure {}: {}",
            text(failure, "error_type"),
            text(failure, "message")
        ));
    }
    lines
}

/// `850 ms`, `12 s`, `3 min`, `2 h`.
pub fn duration(milliseconds: u64) -> String {
    match milliseconds {
        0..1_000 => format!("{milliseconds} ms"),
        1_000..120_000 => format!("{} s", milliseconds / 1_000),
        120_000..7_200_000 => format!("{} min", milliseconds / 60_000),
        _ => format!("{} h", milliseconds / 3_600_000),
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_instances_and_trouble() {
        let status = serde_json::json!({
            "version": "0.1.0", "runtimes": ["python3.11"],
            "functions": [{
                "name": "shop", "queued": 2,
                "instances": [{ "id": "0123456789", "version": "3", "state": "idle", "age_ms": 130_000, "idle_ms": 900 }],
                "backing_off": [{ "version": "4", "retry_after_ms": 5_000 }],
                "last_failure": { "error_type": "KeyError", "message": "'x'" },
            }],
        });
        assert_eq!(server_lines(&status), ["runtimes         python3.11", "version          0.1.0"]);
        let function = function_status(&status, "shop").unwrap();
        assert_eq!(instance_rows(function)[0], ["shop", "3", "01234567", "idle", "2 min", "900 ms", ""]);
        assert_eq!(trouble(function).len(), 3);
    }
}
