//! The grammar of the command line: what is common to all commands, and the list of commands. Each
//! command's own arguments are in its file under `commands/`.

use clap::{Args, Parser, Subcommand};

use crate::commands;

/// Run functions and web applications that scale from zero, on a machine of your own
///
/// Start a server with `lambent serve`, then turn a folder into a running service with
/// `lambent deploy DIR`. Every command but `serve`, `doctor` and `simulate` talks to a running server through the
/// AWS operations that any AWS SDK uses.
#[derive(Debug, Parser)]
#[command(name = "lambent", version, arg_required_else_help = true, subcommand_required = true)]
pub struct Arguments {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub struct Global {
    /// Where the server's AWS API answers
    #[arg(
        long,
        global = true,
        env = "LAMBENT_ENDPOINT",
        default_value = "http://127.0.0.1:4566",
        value_name = "URL",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    pub endpoint: String,
    /// Where the server's admin interface answers
    #[arg(
        long,
        global = true,
        env = "LAMBENT_ADMIN",
        default_value = "http://127.0.0.1:4567",
        value_name = "URL",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    pub admin: String,
    /// Print data as JSON on standard output
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,
}

/// One variant per command.
#[derive(Debug, Subcommand)]
pub enum Command {
    Serve(Box<commands::serve::ServeArguments>),
    Deploy(Box<commands::deploy::DeployArguments>),
    List(commands::list::ListArguments),
    Describe(commands::describe::DescribeArguments),
    Invoke(commands::invoke::InvokeArguments),
    Logs(commands::logs::LogsArguments),
    Rollback(commands::rollback::RollbackArguments),
    Delete(commands::delete::DeleteArguments),
    Status(commands::status::StatusArguments),
    Explain(commands::explain::ExplainArguments),
    Trace(commands::trace::TraceArguments),
    Doctor(commands::doctor::DoctorArguments),
    Simulate(commands::simulate::SimulateArguments),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_grammar_is_consistent() {
        super::Arguments::command().debug_assert();
    }
}
