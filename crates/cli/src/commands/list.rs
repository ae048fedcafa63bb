//! `lambent list`: every function, which version is live, where it is reached.

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::ExitStatus;
use super::status::function_status;
use crate::api::{self, FunctionConfiguration};
use crate::deploy::{LIVE, address};
use crate::printer::Printer;

/// List functions
#[derive(Debug, Args)]
pub struct ListArguments {}

/// One row.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    runtime: String,
    handler: String,
    live: Option<String>,
    memory_mib: u32,
    instances: Option<usize>,
    last_modified: String,
    url: Option<String>,
    function_url: Option<String>,
}

/// Runs the command.
pub async fn run(_: &ListArguments, server: &api::Server, printer: Printer) -> anyhow::Result<ExitStatus> {
    let functions = server.lambda.functions().await?;
    // Instances are the admin interface's knowledge; a list without them is still a list.
    let status = server.admin.status().await.ok();
    let mut rows = Vec::with_capacity(functions.len());
    for function in functions {
        rows.push(row(function, server, status.as_ref()).await?);
    }
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    if printer.is_json() {
        printer.document(&rows)?;
        return Ok(ExitStatus::Success);
    }
    if rows.is_empty() {
        printer.talk("no functions yet: `lambent deploy DIR` makes one");
        return Ok(ExitStatus::Success);
    }
    let header = ["name", "runtime", "live", "memory", "instances", "modified", "url"];
    printer.table(header, rows.into_iter().map(Row::cells).collect())?;
    Ok(ExitStatus::Success)
}

async fn row(
    function: FunctionConfiguration,
    server: &api::Server,
    status: Option<&Value>,
) -> Result<Row, api::Error> {
    let name = function.function_name;
    let live = server.lambda.find_alias(&name, LIVE).await?.map(|alias| alias.function_version);
    let function_url = server.lambda.urls(&name).await?.into_iter().next();
    // A function that was never called has no entry: no instances.
    let instances = status.map(|status| {
        function_status(status, &name)
            .and_then(|function| function.get("instances")?.as_array().map(Vec::len))
            .unwrap_or(0)
    });
    Ok(Row {
        url: function_url.as_deref().map(|url| address::web_address(&name, url)),
        name,
        runtime: function.runtime,
        handler: function.handler,
        live,
        memory_mib: function.memory_size,
        instances,
        last_modified: function.last_modified,
        function_url,
    })
}

// === impl Row ===

impl Row {
    fn cells(self) -> [String; 7] {
        let unknown = || "-".to_owned();
        let modified = self.last_modified.get(..16).unwrap_or(&self.last_modified).replace('T', " ");
        [
            self.name,
            self.runtime,
            self.live.unwrap_or_else(unknown),
            format!("{} MiB", self.memory_mib),
            self.instances.map_or_else(unknown, |instances| instances.to_string()),
            modified,
            self.url.unwrap_or_else(unknown),
        ]
    }
}
