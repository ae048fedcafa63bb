//! `lambent invoke`: calls a function with a payload and prints its result.

use std::fs;
use std::io::{self, Read as _};

use bytes::Bytes;
use clap::Args;
use serde_json::{Value, json};
use types::arn::FunctionReference;

use super::ExitStatus;
use crate::api::{self, Invocation};
use crate::deploy::LIVE;
use crate::diagnostics::Advised;
use crate::package;
use crate::printer::Printer;

/// Call a function
///
/// Prints the result on standard output. When the function fails, the error object is printed there, an
/// explanation on standard error, and the exit status is 1.
///
/// Example: lambent invoke resize --payload '{"width": 640}'
#[derive(Debug, Args)]
pub struct InvokeArguments {
    /// The function: NAME or NAME:VERSION [default version: live]
    name: String,
    /// The payload: JSON text, @FILE, or - for standard input
    #[arg(long, short, value_name = "JSON", default_value = "{}")]
    payload: String,
    /// Show the end of the invocation's log on standard error
    #[arg(long)]
    tail: bool,
}

/// Runs the command.
pub async fn run(
    arguments: &InvokeArguments,
    server: &api::Server,
    printer: Printer,
) -> anyhow::Result<ExitStatus> {
    let reference: FunctionReference = arguments.name.parse()?;
    let payload = payload(&arguments.payload)?;
    let qualifier = match reference.qualifier {
        Some(qualifier) => Some(qualifier),
        None => server.lambda.find_alias(&reference.name, LIVE).await?.map(|alias| alias.name),
    };
    let lambda = &server.lambda;
    let invocation = lambda.invoke(&reference.name, qualifier.as_deref(), payload, arguments.tail).await?;
    let result: Option<Value> = serde_json::from_slice(&invocation.payload).ok();
    print(result.as_ref(), &invocation, printer)?;
    if invocation.function_error.is_some() {
        let known = server.admin.function(&reference.name).await.ok();
        let failure = known.as_ref().and_then(|page| page.pointer("/worker/last_failure"));
        explain(&reference.name, result.as_ref(), failure, invocation.request_id.as_deref(), printer);
    }
    Ok(if invocation.function_error.is_some() { ExitStatus::Failure } else { ExitStatus::Success })
}

fn print(result: Option<&Value>, invocation: &Invocation, printer: Printer) -> anyhow::Result<()> {
    if printer.is_json() {
        let text = || Value::from(String::from_utf8_lossy(&invocation.payload).into_owned());
        printer.document(&json!({
            "payload": result.cloned().unwrap_or_else(text),
            "function_error": invocation.function_error,
            "executed_version": invocation.executed_version,
            "request_id": invocation.request_id,
            "log_tail": invocation.log_tail,
        }))?;
        return Ok(());
    }
    printer.raw(&invocation.payload)?;
    if !invocation.payload.ends_with(b"\n") {
        printer.data("")?;
    }
    for line in invocation.log_tail.iter().flat_map(|tail| tail.lines()) {
        printer.talk(format_args!("  | {line}"));
    }
    Ok(())
}

/// Says what failed, in which phase, what was written last and what would help. AWS's answer has only the
/// first; the rest is the server's own account of the function's last failure, used where it is this one.
fn explain(
    name: &str,
    result: Option<&Value>,
    failure: Option<&Value>,
    request_id: Option<&str>,
    printer: Printer,
) {
    let part = |key: &str| result.and_then(|result| result.get(key)?.as_str()).unwrap_or_default();
    let (kind, message) = (part("errorType"), part("errorMessage"));
    let failure = failure.filter(|failure| is_about(failure, kind, message));
    let of_failure = |key: &str| failure.and_then(|failure| failure.get(key)?.as_str());
    let phase = of_failure("phase").map(|phase| format!(" ({phase})")).unwrap_or_default();
    printer.talk(format_args!("error: {name} failed{phase}: {kind}: {message}"));
    let lines = failure.and_then(|failure| failure.get("log_lines")?.as_array());
    for line in lines.into_iter().flatten().filter_map(Value::as_str) {
        printer.talk(format_args!("  | {line}"));
    }
    let request = request_id.map(|id| format!(" --request {id}")).unwrap_or_default();
    let more = format!("`lambent logs {name}{request}` shows all it wrote");
    match of_failure("suggestion") {
        Some(suggestion) => printer.talk(format_args!("\nhint: {suggestion}; {more}")),
        None => printer.talk(format_args!("\nhint: {more}")),
    }
}

/// Whether the server's last failure is the one that was answered: another call may have failed since.
fn is_about(failure: &Value, kind: &str, message: &str) -> bool {
    let says = |key: &str| failure.get(key).and_then(Value::as_str);
    says("error_type") == Some(kind) && says("message").is_some_and(|known| message.ends_with(known))
}

fn payload(given: &str) -> anyhow::Result<Bytes> {
    let bytes = match given.strip_prefix('@') {
        Some(file) => fs::read(file).map_err(package::Error::file("read", file))?,
        None if given == "-" => {
            let mut bytes = Vec::new();
            io::stdin().lock().read_to_end(&mut bytes)?;
            bytes
        }
        None => given.as_bytes().to_vec(),
    };
    if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(&bytes) {
        let hint = "quote text for JSON ('\"text\"'), read a file with @FILE, or standard input with -";
        return Err(Advised::new(format!("the payload is not JSON: {error}"), hint).into());
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_json_from_anywhere() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("event.json");
        fs::write(&file, "[1]").unwrap();
        assert_eq!(payload("{\"a\":1}").unwrap(), "{\"a\":1}");
        assert_eq!(payload(&format!("@{}", file.display())).unwrap(), "[1]");
        assert!(payload("hello").unwrap_err().to_string().contains("not JSON"));
        assert!(payload("@/nowhere").is_err());
    }
}
