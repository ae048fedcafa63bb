//! `lambent delete`: removes a function with all its versions.

use std::io::{self, IsTerminal as _};

use clap::Args;
use serde_json::json;

use super::ExitStatus;
use crate::api;
use crate::diagnostics::Advised;
use crate::printer::Printer;

/// Delete a function and all its versions
///
/// Requests in progress finish. Its log stays readable.
#[derive(Debug, Args)]
pub struct DeleteArguments {
    /// The function
    name: String,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// Runs the command.
pub async fn run(
    arguments: &DeleteArguments,
    server: &api::Server,
    printer: Printer,
) -> anyhow::Result<ExitStatus> {
    let name = &arguments.name;
    server.lambda.function(name, None).await?;
    if !arguments.yes && !confirmed(name, printer)? {
        printer.talk("nothing was deleted");
        return Ok(ExitStatus::Failure);
    }
    server.lambda.delete_function(name).await?;
    printer.step("deleted", name);
    if printer.is_json() {
        printer.document(&json!({ "deleted": name }))?;
    }
    Ok(ExitStatus::Success)
}

fn confirmed(name: &str, printer: Printer) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        let message = format!("deleting {name} needs a confirmation, and nobody can be asked");
        return Err(Advised::new(message, "repeat it with --yes").into());
    }
    printer.talk(format_args!("delete {name} and all its versions? type its name to confirm:"));
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(answer.trim() == name)
}
