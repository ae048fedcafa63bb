//! Being told to stop: the first Ctrl-C or SIGTERM asks, the second one hurries.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::Error;

/// Listens for both signals from the moment it is made.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

// === impl Signals ===

impl Signals {
    /// Takes over both signals. Needs a runtime.
    pub(crate) fn listen() -> Result<Self, Error> {
        let take =
            |kind| signal(kind).map_err(|source| Error::System { action: "listen for signals", source });
        Ok(Self { interrupt: take(SignalKind::interrupt())?, terminate: take(SignalKind::terminate())? })
    }

    /// Done at the next signal.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
