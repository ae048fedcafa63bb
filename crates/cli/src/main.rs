//! The binary `lambent`: becomes the sandbox broker if it was started as one, else reads the command
//! line, runs one command and turns its outcome into an exit status.
//!
//! What a command does is in [`commands`], one file each; this file only dispatches.
#![forbid(unsafe_code)]

mod api;
mod arguments;
mod commands;
mod deploy;
mod detect;
mod diagnostics;
mod package;
mod printer;
mod size;

use std::io;
use std::process::ExitCode;

use clap::Parser as _;

use crate::arguments::{Arguments, Command};
use crate::commands::ExitStatus;
use crate::printer::Printer;

fn main() -> ExitCode {
    // Before anything else: the broker must never parse arguments, start threads or hold more than it needs.
    if let Some(code) = sandbox::run_if_broker() {
        return code;
    }
    let arguments = Arguments::parse();
    let printer = Printer::new(arguments.global.json);
    match dispatch(arguments, printer) {
        Ok(status) => status.into(),
        // Whoever read our output has enough of it.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            diagnostics::report(&error, printer);
            diagnostics::exit_code(&error)
        }
    }
}

fn dispatch(arguments: Arguments, printer: Printer) -> anyhow::Result<ExitStatus> {
    // The server makes its own runtime, after it has launched the broker; no thread may exist before.
    let command = match arguments.command {
        Command::Serve(serve) => return commands::serve::run(*serve, printer),
        Command::Doctor(doctor) => return commands::doctor::run(&doctor, printer),
        Command::Simulate(simulate) => return commands::simulate::run(&simulate, printer),
        command => command,
    };
    let server = api::Server::new(&arguments.global.endpoint, &arguments.global.admin)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::Deploy(deploy) => Box::pin(commands::deploy::run(*deploy, &server, printer)).await,
            Command::List(list) => commands::list::run(&list, &server, printer).await,
            Command::Describe(describe) => commands::describe::run(&describe, &server, printer).await,
            Command::Invoke(invoke) => commands::invoke::run(&invoke, &server, printer).await,
            Command::Logs(logs) => commands::logs::run(&logs, &server, printer).await,
            Command::Delete(delete) => commands::delete::run(&delete, &server, printer).await,
            Command::Rollback(rollback) => commands::rollback::run(&rollback, &server, printer).await,
            Command::Status(status) => commands::status::run(&status, &server, printer).await,
            Command::Explain(explain) => commands::explain::run(&explain, &server, printer).await,
            Command::Trace(trace) => commands::trace::run(&trace, &server, printer).await,
            Command::Serve(_) | Command::Doctor(_) | Command::Simulate(_) => Ok(ExitStatus::Success),
        }
    })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .root_cause()
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
        && error.downcast_ref::<api::Error>().is_none()
}
