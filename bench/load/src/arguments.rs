//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Load for benchmarks.
#[derive(Debug, Parser)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub mode: Mode,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Mode {
    /// Each connection sends its next request when it has its answer.
    Closed(Target),
    /// Requests are due at a fixed rate, whatever the answers do; latency counts from when one was due.
    Open {
        /// Requests per second.
        #[arg(long)]
        rate: f64,
        #[command(flatten)]
        target: Target,
    },
    /// Every connection sends one request, all at the same moment.
    Burst(Target),
    /// A bare hyper server that answers with the body it got: what the stack below costs.
    Echo {
        /// Where to listen; the address is printed.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// Worker threads; the number of processors if 0.
        #[arg(long, default_value_t = 0)]
        threads: usize,
    },
    /// Starts a shim and speaks native frames to it: its throughput without the platform.
    Shim(Shim),
}

/// Where load goes, and how much of it.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The server's address.
    #[arg(long)]
    pub address: SocketAddr,
    /// The `Host` header.
    #[arg(long, default_value = "localhost")]
    pub host: String,
    /// The path and query asked for.
    #[arg(long, default_value = "/")]
    pub path: String,
    /// Bytes of a body that is POSTed; without it the request is a GET.
    #[arg(long)]
    pub body_bytes: Option<usize>,
    /// Connections, each kept alive.
    #[arg(long, default_value_t = 16)]
    pub connections: usize,
    /// Seconds that count.
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// Seconds of the same load before them.
    #[arg(long, default_value_t = 1.0)]
    pub warm_up: f64,
    /// The root of a process tree whose CPU time is counted; may be given several times.
    #[arg(long = "tree")]
    pub trees: Vec<u32>,
}

/// How a shim is driven.
#[derive(Debug, Args)]
pub(crate) struct Shim {
    /// The function's directory (`LAMBDA_TASK_ROOT`).
    #[arg(long)]
    pub directory: PathBuf,
    /// The handler (`_HANDLER`).
    #[arg(long, default_value = "")]
    pub handler: String,
    /// Shims at once, each driven by a thread of its own.
    #[arg(long, default_value_t = 1)]
    pub shims: usize,
    /// Seconds that count.
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// Seconds of the same load before them.
    #[arg(long, default_value_t = 1.0)]
    pub warm_up: f64,
    /// The shim's command, for example `python3 runtimes/python/bootstrap.py`.
    #[arg(last = true, required = true)]
    pub command: Vec<String>,
}
