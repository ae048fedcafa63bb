//! `lambent describe`: everything known about one function, or its isolation policy.

use clap::Args;
use serde_json::{Value, json};

use super::ExitStatus;
use crate::api;
use crate::deploy::{LIVE, address};
use crate::printer::Printer;

/// Show everything about a function
#[derive(Debug, Args)]
pub struct DescribeArguments {
    /// The function
    name: String,
    /// Print the isolation policy its instances live under, as JSON
    #[arg(long)]
    isolation: bool,
    /// Show the values of environment variables too
    #[arg(long)]
    show_env: bool,
}

/// Runs the command.
pub async fn run(
    arguments: &DescribeArguments,
    server: &api::Server,
    printer: Printer,
) -> anyhow::Result<ExitStatus> {
    let name = &arguments.name;
    let function = server.lambda.function(name, None).await?;
    if arguments.isolation {
        printer.document(&server.admin.isolation(name).await?)?;
        return Ok(ExitStatus::Success);
    }
    let tags = server.lambda.tags(&function.function_arn).await?;
    let aliases = server.lambda.aliases(name).await?;
    let versions = server.lambda.versions(name).await?;
    let urls = server.lambda.urls(name).await?;
    // The admin interface knows instances; without it the rest still stands.
    let running = server.admin.function(name).await.ok();
    let running = running.and_then(|mut running| running.get_mut("worker").map(Value::take));
    if printer.is_json() {
        let versions: Vec<&str> = versions.iter().map(|version| version.version.as_str()).collect();
        printer.document(&json!({
            "configuration": function, "tags": tags, "aliases": aliases, "versions": versions,
            "urls": urls, "running": running,
        }))?;
        return Ok(ExitStatus::Success);
    }
    let line = |name: &str, value: String| printer.data(format_args!("{name:<12} {value}"));
    line("name", function.function_name.clone())?;
    line("arn", function.function_arn.clone())?;
    line("runtime", function.runtime.clone())?;
    line("handler", function.handler.clone())?;
    line("memory", format!("{} MiB", function.memory_size))?;
    line("timeout", format!("{} s", function.timeout))?;
    line("modified", function.last_modified.clone())?;
    line("code", format!("{} bytes, sha256 {}", function.code_size, function.code_sha256))?;
    let live = aliases.iter().find(|alias| alias.name == LIVE).map(|alias| alias.function_version.clone());
    line("live", live.unwrap_or_else(|| "-".to_owned()))?;
    let numbers: Vec<&str> = versions
        .iter()
        .map(|version| version.version.as_str())
        .filter(|version| *version != "$LATEST")
        .collect();
    line("versions", numbers.join(", "))?;
    for url in &urls {
        line("url", address::web_address(name, url))?;
        line("", url.clone())?;
    }
    for (tag, value) in &tags {
        line("tag", format!("{tag} = {value}"))?;
    }
    for (variable, value) in &function.environment.variables {
        let value = if arguments.show_env { value.as_str() } else { "(hidden: --show-env)" };
        line("env", format!("{variable} = {value}"))?;
    }
    if let Some(running) = running.as_ref().filter(|running| running.is_object()) {
        let count = |key: &str| running.get(key).and_then(Value::as_array).map_or(0, Vec::len);
        line("instances", count("instances").to_string())?;
        if let Some(failure) = running.get("last_failure").filter(|failure| failure.is_object()) {
            let part = |key: &str| failure.get(key).and_then(Value::as_str).unwrap_or_default();
            line("last failure", format!("{}: {}", part("error_type"), part("message")))?;
            line("", part("suggestion").to_owned())?;
        }
    }
    Ok(ExitStatus::Success)
}
