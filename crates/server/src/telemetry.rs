//! Where log lines go: stderr, by the filter of `--log`. Metrics are another thing, under `roles::admin`.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::error::Error;

/// Starts the log. A program that has one already keeps it.
pub(crate) fn install(filter: &str) -> Result<(), Error> {
    let parsed = EnvFilter::try_new(filter)
        .map_err(|source| Error::LogFilter { filter: filter.to_owned(), source: Box::new(source) })?;
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(parsed).with_writer(io::stderr).with_ansi(colour).finish();
    if let Err(error) = tracing::subscriber::set_global_default(subscriber) {
        tracing::debug!(%error, "the log of this process stays as it is");
    }
    Ok(())
}
