//! The task of one instance, from its start to its end.
//!
//! Made for [`autoscaler::Action::Start`]; ends after it has reported [`Event::StartFailed`] or
//! [`Event::Gone`], with nothing of the instance left. It holds one of the node's places for starts until
//! the instance is ready, but no longer than [`LONGEST_HOLD`]: an init that waits must not hold up others.

use std::sync::Arc;
use std::time::Duration;

use autoscaler::{Event, Instance as Key, StartFault, Tier};
use sandbox::handle::Exit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use types::function::Version;

use super::function::Function;
use super::node::Node;
use crate::failures;
use crate::instance::Instance;
use crate::metrics::StartResult;
use crate::start::{self, StartError};
use crate::template::Found;

/// How long a start may keep its place in the node's admission.
const LONGEST_HOLD: Duration = Duration::from_secs(1);
/// How long an instance that is retired may take to end itself.
const GRACE: Duration = Duration::from_millis(500);

/// A place among the node's concurrent starts; given back by `Drop`, with the time it was held if that came to an
/// instance.
struct Place {
    node: Arc<Node>,
    function: String,
    tier: Tier,
    began: Instant,
    took: Option<Duration>,
}

/// What is to be started.
pub(super) struct Order {
    pub version: Arc<Version>,
    /// From what, as the policy expects it.
    pub tier: Tier,
    /// Whether no request waits for it.
    pub ahead: bool,
}

/// Reports an instance as gone if its task ends without having reported anything: no request may wait for a
/// start that nobody makes any more.
struct Unreported {
    function: Arc<Function>,
    key: Key,
    reported: bool,
}

/// Runs one instance.
pub(super) async fn live(function: Arc<Function>, key: Key, order: Order, retire: CancellationToken) {
    let Order { version, tier, ahead } = order;
    let mut unreported = Unreported { function: Arc::clone(&function), key, reported: false };
    let began = Instant::now();
    let (node, name) = (Arc::clone(function.node()), function.name().to_owned());
    let place = Place { node, function: name, tier, began, took: None };
    let ending = function.node().ending.clone();
    let started = tokio::select! {
        biased;
        () = retire.cancelled() => None,
        () = ending.cancelled() => None,
        started = start_in_place(function.node(), &version, ahead, place) => Some(started),
    };
    let metrics = function.metrics();
    match started {
        None => function.send(Event::Gone { instance: key }),
        Some(Ok(instance)) => {
            let instance = Arc::new(instance);
            metrics.started(began.elapsed(), StartResult::Ready(instance.tier()));
            function.started(key, Arc::clone(&instance));
            let exit = until_gone(&instance, &retire, &ending).await;
            function.account().add(instance.books.close(exit.usage.cpu_micros));
            function.send(Event::Gone { instance: key });
        }
        Some(Err(StartError::Function(failure))) => {
            metrics.started(began.elapsed(), StartResult::InitFailed);
            tracing::warn!(
                function = version.name,
                version = version.version,
                error_type = failure.error_type,
                "init failed: {}",
                failure.message
            );
            function.start_failed(key, StartFault::Init, *failure);
        }
        Some(Err(StartError::Platform(reason))) => {
            metrics.started(began.elapsed(), StartResult::SandboxFailed);
            tracing::error!(function = version.name, "no sandbox could be made: {reason}");
            function.start_failed(key, StartFault::Platform, failures::no_sandbox(reason));
        }
    }
    unreported.reported = true;
}

/// Makes a version's ember ahead of the request that is expected.
pub(super) async fn prewarm(function: Arc<Function>, version: Arc<Version>) {
    let node = function.node();
    if let Found::Making(mut making, _) = node.templates.find(node, &version) {
        tokio::select! {
            () = node.draining.cancelled() => return,
            // Whatever it came to is seen in `has_template`.
            _ = making.wait_for(Option::is_some) => {}
        }
    }
    function.template_changed(&version);
}

/// Starts the instance and gives the place up when it is ready, has failed or has taken too long for it.
async fn start_in_place(
    node: &Arc<Node>,
    version: &Arc<Version>,
    ahead: bool,
    mut place: Place,
) -> Result<Instance, StartError> {
    let start = start::start(node, version, ahead);
    tokio::pin!(start);
    tokio::select! {
        started = &mut start => {
            place.took = started.is_ok().then(|| place.began.elapsed());
            return started;
        }
        () = tokio::time::sleep(LONGEST_HOLD) => {}
    }
    drop(place);
    start.await
}

/// Waits until the instance ends by itself, or ends it when it is to be retired.
async fn until_gone(
    instance: &Arc<Instance>,
    retire: &CancellationToken,
    ending: &CancellationToken,
) -> Exit {
    let exited = Arc::clone(&instance.tree).exited();
    let exit = tokio::select! {
        exit = exited => {
            tracing::debug!(instance = instance.id, status = ?exit.status, "an instance ended by itself");
            exit
        }
        () = retire.cancelled() => end(instance).await,
        () = ending.cancelled() => end(instance).await,
    };
    instance.closed.cancel();
    instance.output.finish();
    exit
}

/// Thaw, SIGTERM, SIGKILL.
async fn end(instance: &Arc<Instance>) -> Exit {
    instance.tree.thaw();
    Arc::clone(&instance.tree).stop(GRACE).await
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        self.node.start_is_over(&self.function, self.tier, self.took);
    }
}

// === impl Unreported ===

impl Drop for Unreported {
    fn drop(&mut self) {
        if !self.reported {
            let reason = "the instance's task ended".to_owned();
            self.function.start_failed(self.key, StartFault::Platform, failures::no_sandbox(reason));
            self.function.send(Event::Gone { instance: self.key });
        }
    }
}
