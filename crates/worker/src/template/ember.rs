//! One ember that lives: forked for each instance, counted as long as its instances live.
//!
//! Made by [`super::life`], held by [`super::templates`] while it may be used and by each fork under way; its
//! process ends when the last of them lets go, and its instances live on. It decides nothing about its life.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sandbox::handle::Channels;
use tokio::sync::watch;
use tokio::time::Instant;
use types::function::Version;

use super::kindle::{Candidate, Voice};
use crate::compose::Identity;
use crate::frames::{Connection, Shim};
use crate::init::{Outlet, Ready};
use crate::instance::Protocol;
use crate::launcher::Tree;
use crate::output::Output;
use crate::phases::Clock;
use crate::pool::Node;
use crate::web::Server;

/// What tells a newborn that nobody waits for it.
const SPARE: &str = "LAMBENT_SPARE";

/// One ember.
pub(crate) struct Ember {
    /// Its process, its frames and what reads its output.
    candidate: Candidate,
    /// What making it took.
    clock: Clock,
    made: Instant,
    account: Arc<watch::Sender<Account>>,
    forks: AtomicU64,
    memory: AtomicU64,
}

/// Who uses an ember, and how long it may stay without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Account {
    /// Instances forked from it that live, and forks under way.
    pub living: u32,
    /// When the last of them came or went.
    pub last: Instant,
    /// How long it stays once none is left.
    pub keep: Duration,
}

/// One use of an ember: from the fork to the end of the instance.
#[derive(Debug)]
pub(crate) struct Use(Arc<watch::Sender<Account>>);

/// Why no instance was forked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForkError {
    #[error("{0}")]
    System(#[from] std::io::Error),
    #[error(transparent)]
    Sandbox(#[from] sandbox::handle::StartError),
    #[error("its newborn ended before it listened")]
    Ended,
    #[error("it did not answer within {0:?}")]
    Silent(Duration),
}

// === impl Ember ===

impl Ember {
    pub(super) fn new(candidate: Candidate, clock: Clock, account: Arc<watch::Sender<Account>>) -> Self {
        let (forks, memory) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { candidate, clock, made: Instant::now(), account, forks, memory }
    }

    /// Forks an instance of `version`, which is the ember's own but for its settings. A `spare` does what its first
    /// request would have to.
    pub async fn fork(
        &self,
        node: &Node,
        version: &Arc<Version>,
        spare: bool,
        clock: &mut Clock,
    ) -> Result<Ready, ForkError> {
        let lineage = Use::begin(&self.account);
        let identity = Identity::new(version, jiff::Timestamp::now());
        let (Outlet { output, closing, .. }, writer) = Outlet::open(node, version, &identity)?;
        let (frames, theirs) = Connection::pair()?;
        let channels = Channels { output: writer, frames: Some(theirs) };
        let mut environment = vec![("AWS_LAMBDA_LOG_STREAM_NAME".to_owned(), identity.stream)];
        if spare {
            environment.push((SPARE.to_owned(), "1".to_owned()));
        }
        let limit = Duration::from_secs(node.limits.init_seconds.into());
        let fork = async {
            let tree = self.tree().fork(channels, environment).await?;
            let protocol = self.protocol(node, &tree, frames).await?;
            Ok::<_, ForkError>((tree, protocol))
        };
        let forked = tokio::time::timeout(limit, fork).await;
        let (tree, protocol) = forked.map_err(|_| ForkError::Silent(limit))??;
        clock.mark("fork");
        self.forks.fetch_add(1, Ordering::Relaxed);
        Ok(Ready { id: identity.id, tree, output, protocol, address: None, lineage: Some(lineage), closing })
    }

    /// How a newborn is spoken to.
    async fn protocol(
        &self,
        node: &Node,
        newborn: &Arc<dyn Tree>,
        frames: Connection,
    ) -> Result<Protocol, ForkError> {
        match &self.candidate.voice {
            Voice::Shim(shim) => Ok(Protocol::Frames(Shim::forked(frames, shim.serves))),
            Voice::Held(_) => {
                let wanted = Some(self.candidate.parts().composition.port);
                let address = Arc::clone(newborn).listening(wanted).await.ok_or(ForkError::Ended)?;
                Ok(Protocol::Own(Server::new(Arc::clone(newborn), address, node.tracker.clone())))
            }
        }
    }

    /// What making it took.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// When it was ready.
    pub fn made(&self) -> Instant {
        self.made
    }

    /// Instances that were forked from it.
    pub fn forks(&self) -> u64 {
        self.forks.load(Ordering::Relaxed)
    }

    /// Bytes it uses, as of the last look.
    pub fn memory_bytes(&self) -> u64 {
        self.memory.load(Ordering::Relaxed)
    }

    /// The sandbox's name.
    pub fn sandbox(&self) -> String {
        self.tree().id()
    }

    pub(super) fn output(&self) -> &Output {
        &self.candidate.parts().output
    }

    pub(super) fn tree(&self) -> Arc<dyn Tree> {
        Arc::clone(&self.candidate.parts().tree)
    }

    pub(super) fn account(&self) -> &Arc<watch::Sender<Account>> {
        &self.account
    }

    pub(super) fn set_memory(&self, bytes: u64) {
        self.memory.store(bytes, Ordering::Relaxed);
    }
}

// === impl Account ===

impl Account {
    /// Of an ember that nobody uses yet.
    pub fn new(keep: Duration) -> Self {
        Self { living: 0, last: Instant::now(), keep }
    }

    /// When it goes, if nobody uses it until then.
    pub fn ends(&self) -> Option<Instant> {
        (self.living == 0).then(|| self.last.checked_add(self.keep))?
    }
}

// === impl Use ===

impl Use {
    fn begin(account: &Arc<watch::Sender<Account>>) -> Self {
        account.send_modify(|account| {
            account.living += 1;
            account.last = Instant::now();
        });
        Self(Arc::clone(account))
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        self.0.send_modify(|account| {
            account.living = account.living.saturating_sub(1);
            account.last = Instant::now();
        });
    }
}
