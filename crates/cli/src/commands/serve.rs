//! `lambent serve`: the grammar of the server's options. Everything else is the `server` crate's.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use types::limits::{Limits, MIB};

use super::ExitStatus;
use crate::printer::Printer;

/// Run a server
///
/// Keeps everything in one data directory and listens on loopback. Ctrl-C and SIGTERM stop it in order:
/// requests in progress finish, a second signal hurries.
///
/// Example: lambent serve --data-dir /var/lib/lambent
#[derive(Debug, Args)]
pub struct ServeArguments {
    /// Where functions, versions, code and logs are kept [default: ~/.local/share/lambent]
    #[arg(long, env = "LAMBENT_DATA_DIR", hide_env_values = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Keep everything in a temporary directory that is removed at the end
    #[arg(long, conflicts_with = "data_dir")]
    ephemeral: bool,
    /// Where the AWS API listens
    #[arg(long, value_name = "ADDRESS", default_value_t = defaults().listen)]
    listen: SocketAddr,
    /// Where functions and web applications are reached
    #[arg(long, value_name = "ADDRESS", default_value_t = defaults().gateway_listen)]
    gateway_listen: SocketAddr,
    /// Where /healthz, /metrics and /v1/status are
    #[arg(long, value_name = "ADDRESS", default_value_t = defaults().admin_listen)]
    admin_listen: SocketAddr,
    /// How functions are kept apart: namespaces, or process (much less: for trusted code on hosts that
    /// refuse namespaces)
    #[arg(long, value_name = "MODE", default_value_t = server::Isolation::Namespaces)]
    isolation: server::Isolation,
    /// Seconds that requests in progress may take to finish once the server is told to stop
    #[arg(long, value_name = "SECONDS", default_value_t = defaults().grace.as_secs())]
    grace: u64,
    /// Which log lines are shown, in the syntax of tracing filters
    #[arg(long, env = "LAMBENT_LOG", hide_env_values = true, value_name = "FILTER")]
    log: Option<String>,
    #[command(flatten)]
    limits: LimitArguments,
}

/// The limits, each an option of the same name.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
struct LimitArguments {
    /// Bytes of a request's or an answer's payload
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().payload)]
    limit_payload: u64,
    /// MiB of a zip that is sent
    #[arg(long, value_name = "MIB", default_value_t = Limits::default().code_zip / MIB)]
    limit_code_zip: u64,
    /// MiB of the code once unpacked
    #[arg(long, value_name = "MIB", default_value_t = Limits::default().code_unzipped / MIB)]
    limit_code_unzipped: u64,
    /// Entries in a zip
    #[arg(long, value_name = "NUMBER", default_value_t = Limits::default().code_entries)]
    limit_code_entries: u64,
    /// Seconds a function may run
    #[arg(long, value_name = "SECONDS", default_value_t = Limits::default().timeout_seconds)]
    limit_timeout: u32,
    /// Seconds a function's init may take
    #[arg(long, value_name = "SECONDS", default_value_t = Limits::default().init_seconds)]
    limit_init: u32,
    /// Instances of one function that sets no lambent:max-instances [default: as many of 128 MiB as the
    /// machine's memory holds, from 16 to 1000]
    #[arg(long, value_name = "NUMBER")]
    limit_instances: Option<u32>,
    /// Most instances of all functions that may be starting at once; how many of them make starts slow is found
    /// out
    #[arg(long, value_name = "NUMBER", default_value_t = Limits::default().starts)]
    limit_starts: u32,
    /// Seconds a process that instances are forked from may live before a new one takes its place; 0: none is forked
    #[arg(long, value_name = "SECONDS", default_value_t = Limits::default().ember_seconds)]
    limit_ember: u32,
    /// Percent of the machine's memory that idle instances may hold before they stay for less time
    #[arg(long, value_name = "PERCENT", default_value_t = Limits::default().idle_percent)]
    limit_idle_memory: u32,
}

/// Runs the command; returns when the server has ended.
pub fn run(arguments: ServeArguments, printer: Printer) -> anyhow::Result<ExitStatus> {
    server::run(arguments.options(printer))?;
    Ok(ExitStatus::Success)
}

// === impl ServeArguments ===

impl ServeArguments {
    fn options(self, printer: Printer) -> server::Options {
        let defaults = defaults();
        server::Options {
            data_dir: self.data_dir.unwrap_or_else(data_directory),
            ephemeral: self.ephemeral,
            listen: self.listen,
            gateway_listen: self.gateway_listen,
            admin_listen: self.admin_listen,
            limits: self.limits.limits(),
            isolation: self.isolation,
            grace: Duration::from_secs(self.grace),
            json: printer.is_json(),
            log: self.log.unwrap_or(defaults.log),
        }
    }
}

// === impl LimitArguments ===

impl LimitArguments {
    fn limits(&self) -> Limits {
        Limits {
            payload: self.limit_payload,
            code_zip: self.limit_code_zip.saturating_mul(MIB),
            code_unzipped: self.limit_code_unzipped.saturating_mul(MIB),
            code_entries: self.limit_code_entries,
            timeout_seconds: self.limit_timeout,
            init_seconds: self.limit_init,
            instances: self.limit_instances.unwrap_or_else(worker::machine::instances),
            starts: self.limit_starts,
            ember_seconds: self.limit_ember,
            idle_percent: self.limit_idle_memory,
        }
    }
}

fn defaults() -> server::Options {
    server::Options::default()
}

/// `$XDG_DATA_HOME/lambent`, else `~/.local/share/lambent`, else a directory beside us.
pub fn data_directory() -> PathBuf {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share"));
    let base = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).or_else(home);
    base.map_or(defaults().data_dir, |base| base.join("lambent"))
}
