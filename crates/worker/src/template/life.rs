//! The task of one ember: made, told to those who wait, kept until it has to go.
//!
//! Spawned with its slot. It ends with the slot settled and the ember let go of; whatever ends it early, a panic
//! included, the slot does not go on saying that an ember is being made. Bounded by the server's init limit
//! while it makes one; ended at once by its retirement and by the drain.

use std::sync::Arc;
use std::time::Duration;

use sandbox::handle::{Exit, Sharing, Status};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use types::function::Version;
use types::metering::Tier;
use types::settings::Init;

use super::ember::{Account, Ember};
use super::inputs::Key;
use super::kindle::{Candidate, Kindled, kindle};
use super::templates::{Only, Outcome, State, not_shared};
use crate::init::{Ready, StartError};
use crate::metering::{Books, Origin, Shared};
use crate::phases::Clock;
use crate::pool::Node;

/// What the task is given.
pub(super) struct Work {
    pub key: Key,
    pub number: u64,
    pub version: Arc<Version>,
    pub retire: CancellationToken,
    pub account: Arc<watch::Sender<Account>>,
    pub told: Arc<watch::Sender<Option<Outcome>>>,
}

/// What a run of the init came to.
enum Made {
    /// It may be forked.
    Sharable(Box<Candidate>),
    /// It must not be.
    Refused(Box<Ready>, Vec<String>),
    Failed(StartError),
}

/// Why an ember is not kept any longer.
enum End {
    /// Somebody has decided it and settled the slot, or the server stops.
    Retired,
    Exited(Exit),
    Unused(Duration),
    Age,
}

/// Settles the slot if the task ends without having done so.
struct Unsettled<'a> {
    node: &'a Node,
    key: &'a Key,
    number: u64,
}

/// Runs one ember.
pub(super) async fn live(node: Arc<Node>, work: Work) {
    let Work { key, number, version, retire, account, told } = work;
    let _unsettled = Unsettled { node: &node, key: &key, number };
    let mut clock = Clock::begin();
    let made = until(&node, &retire, make(&node, &version, &mut clock)).await;
    let (state, outcome, ember) = verdict(made, clock, account);
    let ours = node.templates.settle(&key, number, state);
    // Where nobody waits any more, what was in the outcome ends here.
    let _ = told.send(Some(if ours { outcome } else { Outcome::Retired }));
    drop(told);
    let Some(mut ember) = ember.filter(|_| ours) else { return };
    let mut costs = costs(&node, &version, &ember);
    loop {
        let kept = async {
            weigh(&ember).await;
            guard(&node, &ember).await
        };
        let end = until(&node, &retire, kept).await.unwrap_or(End::Retired);
        let gone = match end {
            End::Retired => return,
            End::Age => match renew(&node, &key, number, &version, &retire, &ember).await {
                Some(next) => {
                    costs = self::costs(&node, &version, &next);
                    ember = next;
                    continue;
                }
                None => return,
            },
            End::Exited(exit) => {
                if let Some(costs) = costs {
                    costs.close(exit.usage.cpu_micros);
                }
                ended(&ember, exit)
            }
            End::Unused(keep) => State::Gone(format!("the last one had not been used for {keep:?}")),
        };
        node.templates.settle(&key, number, gone);
        return;
    }
}

/// The books of an ember, from now on.
fn costs(node: &Node, version: &Version, ember: &Ember) -> Option<Shared> {
    let function = node.known(&version.name)?;
    let start = ember.clock().start(Tier::Bare, String::new());
    let origin = Origin {
        function: version.name.clone(),
        version: version.version.clone(),
        instance: String::new(),
        start: Some(Arc::new(start)),
        ready: Instant::now(),
    };
    Some(function.account().share(Books::new(Box::new(ember.tree().meter()), origin)))
}

/// Until the ember is retired or the server stops.
async fn until<T>(node: &Node, retire: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = retire.cancelled() => None,
        () = node.draining.cancelled() => None,
        done = work => Some(done),
    }
}

/// Runs the init and has the platform look at what it has left behind.
async fn make(node: &Node, version: &Arc<Version>, clock: &mut Clock) -> Made {
    let kindled = kindle(node, version, clock).await;
    let (ready, vetoes) = match kindled {
        Err(error) => return Made::Failed(error),
        Ok(Kindled::Alone(ready, reason)) => (ready, vec![reason]),
        Ok(Kindled::Waits(candidate)) => {
            let vetoes = vetoes(node, &candidate).await;
            clock.mark("sharing");
            if vetoes.is_empty() {
                return Made::Sharable(candidate);
            }
            match candidate.alone(node, version, clock).await {
                Ok(ready) => (Box::new(ready), vetoes),
                Err(error) => return Made::Failed(error),
            }
        }
    };
    let reason = not_shared(&vetoes);
    if version.settings.init == Init::Shared {
        ready.output.note(format!("WARNING lambent:init is shared, but {reason}"));
    }
    tracing::debug!(function = version.name, "{reason}");
    Made::Refused(ready, vetoes)
}

/// What stands against forking it: the platform's own findings, and what the process says against itself.
async fn vetoes(node: &Node, candidate: &Candidate) -> Vec<String> {
    let limit = Duration::from_secs(node.limits.init_seconds.into());
    let tree = Arc::clone(&candidate.parts().tree);
    let mut vetoes = match tokio::time::timeout(limit, tree.sharing()).await {
        Ok(Sharing { vetoes, .. }) => vetoes,
        Err(_) => vec![format!("the platform could not tell within {limit:?} whether it may be")],
    };
    vetoes.extend(candidate.unshareable.clone());
    vetoes
}

/// What is made of it: the slot's state, what those who wait are told, and the ember.
fn verdict(
    made: Option<Made>,
    clock: Clock,
    account: Arc<watch::Sender<Account>>,
) -> (State, Outcome, Option<Arc<Ember>>) {
    match made {
        None => (State::Gone("the last one was taken away".to_owned()), Outcome::Retired, None),
        Some(Made::Failed(error)) => {
            (State::Gone("the last init failed".to_owned()), Outcome::Failed(error), None)
        }
        Some(Made::Refused(ready, vetoes)) => {
            let why = not_shared(&vetoes);
            let state = State::Refused { reasons: vetoes.into(), until: None };
            (state, Outcome::Refused { only: Only::new(*ready), clock, why }, None)
        }
        Some(Made::Sharable(candidate)) => {
            let ember = Arc::new(Ember::new(*candidate, clock, account));
            (State::Alive(Arc::clone(&ember)), Outcome::Alive(Arc::clone(&ember)), Some(ember))
        }
    }
}

/// Waits for what ends an ember.
async fn guard(node: &Node, ember: &Ember) -> End {
    let mut account = ember.account().subscribe();
    let exited = ember.tree().exited();
    tokio::pin!(exited);
    let oldest = ember.made().checked_add(Duration::from_secs(node.limits.ember_seconds.into()));
    loop {
        let now = *account.borrow_and_update();
        tokio::select! {
            biased;
            exit = &mut exited => return End::Exited(exit),
            () = moment(oldest) => return End::Age,
            () = moment(now.ends()) => return End::Unused(now.keep),
            changed = account.changed() => {
                if changed.is_err() {
                    return End::Retired;
                }
            }
        }
    }
}

/// Makes the successor of an ember that is too old. The old one serves until it is there.
async fn renew(
    node: &Arc<Node>,
    key: &Key,
    number: u64,
    version: &Arc<Version>,
    retire: &CancellationToken,
    old: &Ember,
) -> Option<Arc<Ember>> {
    let mut clock = Clock::begin();
    let made = until(node, retire, make(node, version, &mut clock)).await?;
    // The instances of the old one are counted on.
    let (state, _, ember) = verdict(Some(made), clock, Arc::clone(old.account()));
    let ours = node.templates.settle(key, number, state);
    ember.filter(|_| ours)
}

/// Measures an ember that has nothing to say from now on.
async fn weigh(ember: &Ember) {
    ember.output().shrink();
    let bytes = ember.tree().usage().await.memory_bytes;
    ember.set_memory(bytes);
}

/// What the end of an ember means for its version.
fn ended(ember: &Ember, exit: Exit) -> State {
    let how = match exit.status {
        _ if exit.out_of_memory => "reached its memory limit".to_owned(),
        Status::Exited(code) => format!("ended by itself with exit status {code}"),
        Status::Signaled(signal) => format!("was ended by signal {signal}"),
    };
    if ember.forks() == 0 {
        return State::refused_for_now(format!("its ember {how} before it was of use"));
    }
    State::Gone(format!("the last one {how}"))
}

async fn moment(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

// === impl Unsettled ===

impl Drop for Unsettled<'_> {
    fn drop(&mut self) {
        self.node.templates.abandoned(self.key, self.number);
    }
}
