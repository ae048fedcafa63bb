//! `lambent describe`: everything known about one function, or its isolation policy.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;
use serde_json::Value;
use types::arn::LATEST;

use super::ExitStatus;
use crate::api::{self, AliasConfiguration, FunctionConfiguration};
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

/// Everything about a function.
#[derive(Debug, Serialize)]
struct Description {
    configuration: FunctionConfiguration,
    tags: BTreeMap<String, String>,
    aliases: Vec<AliasConfiguration>,
    /// Published versions.
    versions: Vec<String>,
    urls: Vec<String>,
    /// What the server's worker holds of it.
    running: Option<Value>,
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
    let description = Description::gather(function, server).await?;
    if printer.is_json() {
        printer.document(&description)?;
    } else {
        for (label, text) in description.lines(arguments.show_env) {
            printer.data(format_args!("{label:<12} {text}"))?;
        }
    }
    Ok(ExitStatus::Success)
}

// === impl Description ===

impl Description {
    async fn gather(function: FunctionConfiguration, server: &api::Server) -> Result<Self, api::Error> {
        let name = function.function_name.as_str();
        let lambda = &server.lambda;
        let versions = lambda.versions(name).await?.into_iter().map(|version| version.version);
        // The admin interface knows instances; without it the rest still stands.
        let running = server.admin.function(name).await.ok();
        Ok(Self {
            tags: lambda.tags(&function.function_arn).await?,
            aliases: lambda.aliases(name).await?,
            versions: versions.filter(|version| version != LATEST).collect(),
            urls: lambda.urls(name).await?,
            running: running.and_then(|mut running| running.get_mut("worker").map(Value::take)),
            configuration: function,
        })
    }

    fn lines(&self, show_env: bool) -> Vec<(&'static str, String)> {
        let function = &self.configuration;
        let live = self.aliases.iter().find(|alias| alias.name == LIVE);
        let mut lines = vec![
            ("name", function.function_name.clone()),
            ("arn", function.function_arn.clone()),
            ("runtime", function.runtime.clone()),
            ("handler", function.handler.clone()),
            ("memory", format!("{} MiB", function.memory_size)),
            ("timeout", format!("{} s", function.timeout)),
            ("modified", function.last_modified.clone()),
            ("code", format!("{} bytes, sha256 {}", function.code_size, function.code_sha256)),
            ("live", live.map_or_else(|| "-".to_owned(), |alias| alias.function_version.clone())),
            ("versions", self.versions.join(", ")),
        ];
        for url in &self.urls {
            lines.push(("url", address::web_address(&function.function_name, url)));
            lines.push(("", url.clone()));
        }
        lines.extend(self.tags.iter().map(|(tag, value)| ("tag", format!("{tag} = {value}"))));
        lines.extend(function.environment.variables.iter().map(|(variable, value)| {
            let value = if show_env { value.as_str() } else { "(hidden: --show-env)" };
            ("env", format!("{variable} = {value}"))
        }));
        lines.extend(self.running.as_ref().map(running_lines).unwrap_or_default());
        lines
    }
}

fn running_lines(running: &Value) -> Vec<(&'static str, String)> {
    let instances = running.get("instances").and_then(Value::as_array).map_or(0, Vec::len);
    let mut lines = vec![("instances", instances.to_string())];
    if let Some(failure) = running.get("last_failure").filter(|failure| failure.is_object()) {
        let part = |key: &str| failure.get(key).and_then(Value::as_str).unwrap_or_default();
        lines.push(("last failure", format!("{}: {}", part("error_type"), part("message"))));
        lines.push(("", part("suggestion").to_owned()));
    }
    lines
}
