//! `lambent-load`: load for benchmarks, and what it is compared with. Not part of the product.
//!
//! One thread per connection, blocking sockets and no runtime: the client costs the same for everyone and
//! little. Each mode prints one JSON object on stdout; errors of the load are in it, not in the exit status.
#![forbid(unsafe_code)]

mod arguments;
mod echo;
mod http;
mod load;
mod processes;
mod shim;
mod summary;

use std::io::{self, Write as _};

use clap::Parser as _;

use crate::arguments::{Arguments, Mode};

fn main() -> anyhow::Result<()> {
    let result = match Arguments::parse().mode {
        Mode::Closed(target) => load::closed(&target)?,
        Mode::Open { rate, target } => load::open(rate, &target)?,
        Mode::Burst(target) => load::burst(&target)?,
        Mode::Echo { listen, threads } => return echo::serve(listen, threads),
        Mode::Shim(options) => shim::drive(&options)?,
    };
    writeln!(io::stdout(), "{result}")?;
    Ok(())
}
