//! Runs a version's own init: from a version to a process that has said it is ready.
//!
//! Composes the sandbox, has it made, waits for the init. Bounded by the server's init limit. Whatever goes
//! wrong, nothing of the process is left when the error is returned, and the error says whose doing it was.
//! Whether the process becomes an instance or an ember is the caller's to decide.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use sandbox::handle::{Channels, Signal};
use tokio_util::sync::{CancellationToken, DropGuard};
use types::failure::{Failure, Phase};
use types::function::Version;

use crate::addresses::Address;
use crate::call::Fault;
use crate::compose::{self, Composition, Identity, Isolation, Purpose};
use crate::failures;
use crate::frames::{Connection, Shim, shim};
use crate::instance::{Protocol, last_breath};
use crate::launcher::Tree;
use crate::output::Output;
use crate::phases::Clock;
use crate::pool::Node;
use crate::runtime_api::Api;
use crate::template::Use;
use crate::web::Server;

/// Why there is no instance.
#[derive(Debug, Clone)]
pub(crate) enum StartError {
    /// The function's doing.
    Function(Box<Failure>),
    /// The platform's.
    Platform(String),
}

/// A process that is ready, and everything that serves it. Dropping it ends the process.
pub(crate) struct Ready {
    /// Unique; the last part of the log stream's name.
    pub id: String,
    pub tree: Arc<dyn Tree>,
    pub output: Arc<Output>,
    pub protocol: Protocol,
    /// Its address, where it shares the host's network.
    pub address: Option<Arc<Address>>,
    /// Its mark in the account of the ember that it was forked from.
    pub lineage: Option<Use>,
    /// Ends what serves the process, unless it is taken over.
    pub closing: DropGuard,
}

/// The output of one process while it is read, and what ends the reading.
pub(crate) struct Outlet {
    pub output: Arc<Output>,
    pub closed: CancellationToken,
    pub closing: DropGuard,
}

/// Everything of a process before its protocol is known to work.
pub(crate) struct Parts {
    pub identity: Identity,
    pub composition: Composition,
    pub address: Option<Arc<Address>>,
    pub output: Arc<Output>,
    pub frames: Option<Connection>,
    pub tree: Arc<dyn Tree>,
    pub closed: CancellationToken,
    pub closing: DropGuard,
}

/// Starts a process for `version` and waits until it is ready.
pub(crate) async fn run(
    node: &Node,
    version: &Arc<Version>,
    purpose: Purpose,
    clock: &mut Clock,
) -> Result<Ready, StartError> {
    let parts = launch(node, version, purpose).await?;
    clock.mark("sandbox");
    settle(node, version, parts, clock).await
}

/// Waits until a process that was started for `version` is ready.
pub(crate) async fn settle(
    node: &Node,
    version: &Version,
    mut parts: Parts,
    clock: &mut Clock,
) -> Result<Ready, StartError> {
    let protocol = in_time(node, version, &mut parts, clock, async |parts| ready(node, parts).await).await?;
    let Parts { identity, tree, output, closing, address, .. } = parts;
    Ok(Ready { id: identity.id, tree, output, protocol, address, lineage: None, closing })
}

/// Waits for a process that was started for `version` to say what `said` waits for, within the init limit.
pub(crate) async fn in_time<T>(
    node: &Node,
    version: &Version,
    parts: &mut Parts,
    clock: &mut Clock,
    said: impl AsyncFnOnce(&mut Parts) -> Result<T, Fault>,
) -> Result<T, StartError> {
    let limit = Duration::from_secs(node.limits.init_seconds.into());
    let result = tokio::time::timeout(limit, said(parts)).await;
    clock.mark("init");
    let listens = parts.composition.protocol == compose::Protocol::Own;
    let failure = match result {
        Ok(Ok(said)) => return Ok(said),
        Ok(Err(fault)) => explain(fault, parts, version, listens).await,
        Err(_) => {
            parts.tree.signal(Signal::Kill);
            Arc::clone(&parts.tree).exited().await;
            failures::init_timed_out(limit, listens)
        }
    };
    if let Some(function) = node.known(&version.name) {
        let exit = Arc::clone(&parts.tree).exited().await;
        function.account().add_init(exit.usage.cpu_micros);
    }
    Err(StartError::Function(Box::new(abandon(parts, clock.elapsed(), failure))))
}

/// Starts a process for `version`.
pub(crate) async fn launch(
    node: &Node,
    version: &Arc<Version>,
    purpose: Purpose,
) -> Result<Parts, StartError> {
    let mut identity = Identity::new(version, jiff::Timestamp::now());
    let address = (node.composer.isolation == Isolation::Process).then(|| Arc::new(node.addresses.take()));
    if let Some(address) = &address {
        identity.address = Some(address.ip);
        identity.port = Some(address.free_port().map_err(platform)?);
    }
    let composed = node.composer.compose(version, &identity, purpose);
    let composition = composed.map_err(|error| {
        let failure = failures::no_entry(error.message, &error.suggestion);
        StartError::Function(Box::new(failure))
    })?;
    let (Outlet { output, closed, closing }, writer) =
        Outlet::open(node, version, &identity).map_err(platform)?;
    let (frames, theirs) = if composition.frames {
        let (ours, theirs) = Connection::pair().map_err(platform)?;
        (Some(ours), Some(theirs))
    } else {
        (None, None)
    };
    let channels = Channels { output: writer, frames: theirs };
    if let Some(note) = &composition.note {
        output.note(note.clone());
    }
    let tree = node.launcher.start(composition.spec.clone(), channels).await.map_err(platform)?;
    Ok(Parts { identity, composition, address, output, frames, tree, closed, closing })
}

/// Waits for the init, in the way of the process's protocol.
async fn ready(node: &Node, parts: &mut Parts) -> Result<Protocol, Fault> {
    let tree = Arc::clone(&parts.tree);
    match parts.composition.protocol {
        compose::Protocol::Frames => {
            let connection = parts.frames.take().ok_or(Fault::Broken)?;
            Ok(Protocol::Frames(Shim::init(connection).await?))
        }
        compose::Protocol::Own => {
            let address = listening(parts).await?;
            Ok(Protocol::Own(Server::new(tree, address, node.tracker.clone())))
        }
        compose::Protocol::RuntimeApi => {
            let listener = tree.take_listener().ok_or(Fault::Broken)?;
            let held = parts.address.clone();
            let api = Api::serve(listener, node.limits.payload, &node.tracker, parts.closed.clone(), held);
            tokio::select! {
                ready = api.ready() => ready?,
                _ = tree.exited() => return Err(Fault::Broken),
            }
            Ok(Protocol::RuntimeApi(api))
        }
    }
}

/// The address an own server listens on: told by the kernel, or by the shim that started it.
async fn listening(parts: &mut Parts) -> Result<SocketAddr, Fault> {
    let tree = Arc::clone(&parts.tree);
    let wanted = Some(parts.composition.port);
    let Some(connection) = &mut parts.frames else {
        return tree.listening(wanted).await.ok_or(Fault::Broken);
    };
    tokio::select! {
        biased;
        told = shim::listening(connection) => told,
        Some(address) = Arc::clone(&tree).listening(wanted) => Ok(address),
        _ = tree.exited() => Err(Fault::Broken),
    }
}

async fn explain(fault: Fault, parts: &Parts, version: &Version, listens: bool) -> Failure {
    let exit = last_breath(&parts.tree).await;
    match fault {
        Fault::Raised(raised) => failures::raised(Phase::Init, raised),
        Fault::Malformed(what) => failures::malformed(Phase::Init, &what),
        Fault::Known(failure) => *failure,
        Fault::NotSent | Fault::Broken if listens => failures::ended_before_listening(&exit, version),
        Fault::NotSent | Fault::Broken => failures::ended(Phase::Init, &exit, version),
    }
}

/// Completes the failure of a start whose tree is gone, and says so in the log.
fn abandon(parts: &Parts, duration: Duration, mut failure: Failure) -> Failure {
    let output = &parts.output;
    output.finish();
    failure.log_lines = output.recent();
    let duration = duration.as_secs_f64() * 1000.0;
    let status =
        if matches!(failure.cause, types::failure::Cause::TimedOut { .. }) { "timeout" } else { "error" };
    output.note(format!("{}: {}", failure.error_type, failure.message));
    output.note(format!(
        "INIT_REPORT Init Duration: {duration:.2} ms\tPhase: init\tStatus: {status}\tError Type: {}",
        failure.error_type
    ));
    failure
}

fn platform(error: impl std::fmt::Display) -> StartError {
    StartError::Platform(error.to_string())
}

// === impl Outlet ===

impl Outlet {
    /// Opens the output of a new process, and reads it; with it the descriptor for the process.
    pub fn open(node: &Node, version: &Version, identity: &Identity) -> std::io::Result<(Self, OwnedFd)> {
        let (output, writer) = Output::pair(Arc::clone(&node.logs), &version.name, &identity.stream)?;
        Ok((Self::over(node, output), writer))
    }

    /// Reads an output until it is closed.
    pub fn over(node: &Node, output: Arc<Output>) -> Self {
        let closed = CancellationToken::new();
        node.tracker.spawn({
            let (output, closed) = (Arc::clone(&output), closed.clone());
            async move {
                tokio::select! {
                    () = output.run() => {}
                    () = closed.cancelled() => output.finish(),
                }
            }
        });
        let closing = closed.clone().drop_guard();
        Self { output, closed, closing }
    }
}
