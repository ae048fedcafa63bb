//! The way up, in its written order: lock the data, find interpreters, bind, start the broker, give up
//! privileges and everything outside the data directory, and only then threads.
//!
//! Each step may refuse, and the earlier it is the less there is to undo: everything made so far is
//! undone by being dropped. Nothing is served before everything stands.

use std::num::NonZero;

use store::Claim;

use crate::announce::Announcement;
use crate::error::Error;
use crate::listeners::Listeners;
use crate::options::Options;
use crate::running::{Parts, Running};
use crate::signals::Signals;
use crate::{broker, descriptors, telemetry};

/// Runs a server until it is told to stop, or its broker ends. Call it in `main`, before any thread.
///
/// # Errors
/// [`Error`]: what stood in the way, with an exit status and a hint.
#[expect(clippy::needless_pass_by_value, reason = "a server owns what it was told for as long as it runs")]
pub fn run(options: Options) -> Result<(), Error> {
    telemetry::install(&options.log)?;
    descriptors::raise_limit();

    // The lock first: without it nothing below may touch what another server made.
    let claim =
        Claim::take(store::Options { directory: options.data_dir.clone(), ephemeral: options.ephemeral })?;
    let data_dir = claim.directory().to_owned();
    let listeners = Listeners::bind(&options)?;
    let addresses = listeners.addresses()?;
    let interpreters = worker::runtimes::discover();
    let shims = worker::shim::install(&data_dir, &interpreters)?;

    let name = broker::name(&data_dir)?;
    let launched = broker::launch(options.isolation, &name, &data_dir)?;
    let broker_pid = launched.broker_pid();
    let mut shortcomings = broker::shortcomings(launched.probe());
    // Asked now: the answer is in files that are out of reach afterwards.
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    shortcomings.extend(broker::confine(&options, &data_dir));

    // Here threads begin, all of them without privileges.
    let store = claim.open()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(processors)
        .enable_all()
        .build()
        .map_err(|source| Error::System { action: "start threads", source })?;
    let runtimes = interpreters.identifiers();
    let ended = runtime.block_on(async {
        let parts = Parts { options: &options, listeners, name: &name, launched, store, interpreters, shims };
        // Listened for before anything can be waited for.
        let signals = Signals::listen()?;
        let running = Running::start(parts).await?;
        Announcement {
            options: &options,
            addresses,
            data_dir: &data_dir,
            runtimes: &runtimes,
            name: &name,
            broker_pid,
            shortcomings: &shortcomings,
        }
        .make();
        running.until_stopped(signals).await
    });
    drop(runtime);
    ended
}
