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
    print(&reference.name, &invocation, printer)?;
    Ok(if invocation.function_error.is_some() { ExitStatus::Failure } else { ExitStatus::Success })
}

fn print(name: &str, invocation: &Invocation, printer: Printer) -> anyhow::Result<()> {
    let result: Option<Value> = serde_json::from_slice(&invocation.payload).ok();
    if printer.is_json() {
        let text = || Value::from(String::from_utf8_lossy(&invocation.payload).into_owned());
        printer.document(&json!({
            "payload": result.clone().unwrap_or_else(text),
            "function_error": invocation.function_error,
            "executed_version": invocation.executed_version,
            "request_id": invocation.request_id,
            "log_tail": invocation.log_tail,
        }))?;
    } else {
        printer.raw(&invocation.payload)?;
        if !invocation.payload.ends_with(b"\n") {
            printer.data("")?;
        }
        for line in invocation.log_tail.iter().flat_map(|tail| tail.lines()) {
            printer.talk(format_args!("  | {line}"));
        }
    }
    if invocation.function_error.is_some() {
        let part = |key: &str| {
            result.as_ref().and_then(|result| result.get(key)?.as_str()).unwrap_or_default().to_owned()
        };
        printer.talk(format_args!("error: {name} failed: {}: {}", part("errorType"), part("errorMessage")));
        let request = invocation.request_id.as_ref().map(|id| format!(" --request {id}")).unwrap_or_default();
        printer.talk(format_args!("\nhint: `lambent logs {name}{request}` shows what it wrote"));
    }
    Ok(())
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
