//! From a version to a process that waits to be forked, or to one that will not be and is an instance.
//!
//! A shim says that it is ready and waits for either a request or a fork. A program with a server of its own is
//! held by the shim where it would begin to listen; it listens itself as soon as it is let go. What it says of
//! itself can only stand against sharing, never for it: that is asked of the platform afterwards.

use std::net::SocketAddr;
use std::sync::Arc;

use types::function::Version;

use crate::call::Fault;
use crate::compose::{Protocol as Composed, Purpose};
use crate::frames::shim::{self, Held};
use crate::frames::{Connection, Shim};
use crate::init::{self, Parts, Ready, StartError};
use crate::instance::Protocol;
use crate::phases::Clock;
use crate::pool::Node;
use crate::web::Server;

/// A process that has run its init.
pub(super) enum Kindled {
    /// It waits to be forked.
    Waits(Box<Candidate>),
    /// It is an instance, and why no other comes from its init.
    Alone(Box<Ready>, String),
}

/// A process that waits to be forked.
pub(super) struct Candidate {
    parts: Parts,
    pub voice: Voice,
    /// Why it must not be, as far as it can tell itself.
    pub unshareable: Option<String>,
}

/// How what is forked from it is spoken to.
pub(super) enum Voice {
    /// By frames.
    Shim(Shim),
    /// In HTTP, at an address of its own. Its frames are only kept open.
    Held(Connection),
}

enum Said {
    Waits(Voice, Option<String>),
    Listens(SocketAddr, String),
}

/// Starts a process for `version` and waits until it could be forked.
pub(super) async fn kindle(
    node: &Node,
    version: &Arc<Version>,
    clock: &mut Clock,
) -> Result<Kindled, StartError> {
    let mut parts = init::launch(node, version, Purpose::Ember).await?;
    clock.mark("sandbox");
    let said = init::in_time(node, version, &mut parts, clock, async |parts| said(parts).await).await?;
    Ok(match said {
        Said::Waits(voice, unshareable) => Kindled::Waits(Box::new(Candidate { parts, voice, unshareable })),
        Said::Listens(address, reason) => {
            let server = Server::new(Arc::clone(&parts.tree), address, node.tracker.clone());
            Kindled::Alone(Box::new(ready(parts, Protocol::Own(server))), reason)
        }
    })
}

async fn said(parts: &mut Parts) -> Result<Said, Fault> {
    let mut connection = parts.frames.take().ok_or(Fault::Broken)?;
    if parts.composition.protocol == Composed::Frames {
        let mut shim = Shim::init(connection).await?;
        let unshareable = shim.unshareable.take();
        return Ok(Said::Waits(Voice::Shim(shim), unshareable));
    }
    let tree = Arc::clone(&parts.tree);
    let held = tokio::select! {
        biased;
        held = shim::held(&mut connection) => held?,
        Some(address) = Arc::clone(&tree).listening(Some(parts.composition.port)) => {
            let reason = "it began to listen where the shim could not hold it".to_owned();
            return Ok(Said::Listens(address, reason));
        }
        _ = tree.exited() => return Err(Fault::Broken),
    };
    Ok(match held {
        Held::Waits { unshareable } => Said::Waits(Voice::Held(connection), unshareable),
        Held::Listens { address, unshareable } => Said::Listens(address, unshareable),
    })
}

// === impl Candidate ===

impl Candidate {
    /// It is not forked, and goes on as an instance.
    pub async fn alone(self, node: &Node, version: &Version, clock: &mut Clock) -> Result<Ready, StartError> {
        let Self { mut parts, voice, .. } = self;
        let mut connection = match voice {
            Voice::Shim(shim) => return Ok(ready(parts, Protocol::Frames(shim))),
            Voice::Held(connection) => connection,
        };
        let listens = async |parts: &mut Parts| {
            shim::let_go(&mut connection).await.map_err(|_| Fault::Broken)?;
            let wanted = Some(parts.composition.port);
            Arc::clone(&parts.tree).listening(wanted).await.ok_or(Fault::Broken)
        };
        let address = init::in_time(node, version, &mut parts, clock, listens).await?;
        let server = Server::new(Arc::clone(&parts.tree), address, node.tracker.clone());
        Ok(ready(parts, Protocol::Own(server)))
    }

    /// Its process.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }
}

fn ready(parts: Parts, protocol: Protocol) -> Ready {
    let Parts { identity, tree, output, closing, address, .. } = parts;
    Ready { id: identity.id, tree, output, protocol, address, lineage: None, closing }
}
