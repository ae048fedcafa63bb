//! One running instance: a process tree, its output, and the protocol it is spoken to by.
//!
//! Made by [`crate::start`], held by the pool and by the lease of each request; the process tree is killed
//! when the last reference is dropped. It never decides about its own life: that is the pool's.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sandbox::handle::{Exit, Signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use types::failure::{Failure, Phase};
use types::function::Version;
use types::metering::{Start, Tier};

use crate::addresses::Address;
use crate::answer::Answer;
use crate::call::{EventCall, Fault, HttpCall};
use crate::failures;
use crate::frames::Shim;
use crate::frames::head::Serves;
use crate::init::Ready;
use crate::launcher::Tree;
use crate::metering::{Books, Origin};
use crate::output::Output;
use crate::runtime_api::Api;
use crate::template::Use;
use crate::web::Server;

/// How long an instance that has broken off may take to end by itself before it is killed: a crash is
/// reported with its own status, not with our signal.
const LAST_BREATH: Duration = Duration::from_millis(500);

/// One instance.
pub(crate) struct Instance {
    pub id: String,
    pub version: Arc<Version>,
    pub tree: Arc<dyn Tree>,
    pub output: Arc<Output>,
    pub protocol: Protocol,
    /// How it came to be.
    pub start: Arc<Start>,
    /// What it costs.
    pub books: Books,
    /// Ends what serves this instance: set when it is gone.
    pub closed: CancellationToken,
    /// Its address, where it shares the host's network: in use as long as it lives.
    _address: Option<Arc<Address>>,
    /// Its mark in the account of the ember that it was forked from, as long as it lives.
    _lineage: Option<Use>,
}

/// How an instance is spoken to.
pub(crate) enum Protocol {
    Frames(Shim),
    Own(Server),
    RuntimeApi(Arc<Api>),
}

/// What an instance takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Serving {
    /// Events.
    Handler,
    /// HTTP requests.
    Web,
}

// === impl Instance ===

impl Instance {
    /// What is ready becomes an instance of `version`.
    pub fn new(version: &Arc<Version>, ready: Ready, start: Start) -> Self {
        let Ready { id, tree, output, protocol, address, lineage, closing } = ready;
        let start = Arc::new(start);
        let origin = Origin {
            function: version.name.clone(),
            version: version.version.clone(),
            instance: id.clone(),
            start: Some(Arc::clone(&start)),
            ready: Instant::now(),
        };
        let books = Books::new(Box::new(tree.meter()), origin);
        Self {
            id,
            version: Arc::clone(version),
            tree,
            output,
            protocol,
            start,
            books,
            closed: closing.disarm(),
            _address: address,
            _lineage: lineage,
        }
    }

    /// What it takes.
    pub fn serving(&self) -> Serving {
        match &self.protocol {
            Protocol::Frames(shim) if shim.serves == Serves::Handler => Serving::Handler,
            Protocol::Frames(_) | Protocol::Own(_) => Serving::Web,
            Protocol::RuntimeApi(_) => Serving::Handler,
        }
    }

    /// Calls the handler.
    pub async fn invoke(&self, call: &EventCall) -> Result<Bytes, Fault> {
        if self.closed.is_cancelled() {
            return Err(Fault::NotSent);
        }
        match &self.protocol {
            Protocol::Frames(shim) => shim.invoke(call).await,
            Protocol::RuntimeApi(api) => {
                tokio::select! {
                    answer = api.invoke(call) => answer,
                    _ = Arc::clone(&self.tree).exited() => Err(Fault::Broken),
                }
            }
            Protocol::Own(_) => Err(Fault::Malformed("an event for a web server".to_owned())),
        }
    }

    /// Passes an HTTP request and its answer.
    pub async fn serve(&self, call: &HttpCall, answer: &mut Answer) -> Result<(), Fault> {
        if self.closed.is_cancelled() {
            return Err(Fault::NotSent);
        }
        match &self.protocol {
            Protocol::Frames(shim) => shim.serve(call, answer).await,
            Protocol::Own(server) => {
                tokio::select! {
                    served = server.serve(call, answer) => served,
                    _ = Arc::clone(&self.tree).exited() => Err(Fault::Broken),
                }
            }
            Protocol::RuntimeApi(_) => Err(Fault::Malformed("an HTTP request for a handler".to_owned())),
        }
    }

    /// What a fault comes to, once the evidence is in, and whether the instance may be used again.
    pub async fn explain(&self, fault: Fault) -> (Failure, bool) {
        let phase = Phase::Handler;
        match fault {
            Fault::Raised(raised) => (failures::raised(phase, raised), true),
            Fault::Malformed(what) => (failures::malformed(phase, &what), false),
            Fault::Known(failure) => (*failure, true),
            Fault::NotSent | Fault::Broken => {
                if let Protocol::Own(_) = self.protocol
                    && !has_ended(&self.tree).await
                {
                    // A server may close one connection and be well.
                    let what = "the server closed the connection without a whole answer";
                    return (failures::malformed(phase, what), true);
                }
                let exit = last_breath(&self.tree).await;
                (failures::ended(phase, &exit, &self.version), false)
            }
        }
    }

    /// From what it was made.
    pub fn tier(&self) -> Tier {
        self.start.tier
    }

    /// Kills the tree at once.
    pub fn kill(&self) {
        self.tree.signal(Signal::Kill);
    }
}

impl Protocol {
    /// Its name in the status.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Frames(_) => "frames",
            Self::Own(_) => "http",
            Self::RuntimeApi(_) => "runtime-api",
        }
    }
}

/// Whether a tree that has broken off ends by itself.
async fn has_ended(tree: &Arc<dyn Tree>) -> bool {
    tokio::time::timeout(LAST_BREATH, Arc::clone(tree).exited()).await.is_ok()
}

/// Waits for the end of a tree that has broken off, and brings it about if it does not come.
pub(crate) async fn last_breath(tree: &Arc<dyn Tree>) -> Exit {
    if !has_ended(tree).await {
        tree.signal(Signal::Kill);
    }
    Arc::clone(tree).exited().await
}
