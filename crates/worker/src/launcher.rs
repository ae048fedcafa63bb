//! The seam to the sandbox crate: what the worker asks of whoever starts process trees.
//!
//! In the server it is the broker's [`Handle`]; in this crate's tests it is a plain child process, so
//! that pools and protocols are tested without privilege.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sandbox::handle::{Channels, Exit, Handle, Sandbox, Sharing, Signal, StartError, Usage};
use sandbox::meter::Meter;
use sandbox::spec::{Assignment, Spec};
use tokio::net::{TcpListener, TcpStream};
use types::invocation::Boxed;

/// Starts process trees.
pub(crate) trait Launcher: Send + Sync {
    /// Makes a sandbox and starts its program.
    fn start(&self, spec: Spec, channels: Channels) -> Boxed<Result<Arc<dyn Tree>, StartError>>;
    /// Says that sandboxes with a `/tmp` of so many bytes will be wanted.
    fn expect_scratch(&self, bytes: u64);
}

/// One process tree; dropping the last reference kills it. See [`Sandbox`] for each call.
pub(crate) trait Tree: Send + Sync {
    fn id(&self) -> String;
    fn listening(self: Arc<Self>, wanted: Option<u16>) -> Boxed<Option<SocketAddr>>;
    fn connect(self: Arc<Self>, address: SocketAddr) -> Boxed<io::Result<TcpStream>>;
    fn take_listener(&self) -> Option<TcpListener>;
    fn exited(self: Arc<Self>) -> Boxed<Exit>;
    fn signal(&self, signal: Signal);
    fn freeze(&self);
    fn thaw(&self);
    fn sharing(self: Arc<Self>) -> Boxed<Sharing>;
    fn fork(
        self: Arc<Self>,
        channels: Channels,
        environment: Vec<(String, String)>,
    ) -> Boxed<Result<Arc<dyn Tree>, StartError>>;
    fn assign(self: Arc<Self>, assignment: Assignment) -> Boxed<Result<(), StartError>>;
    fn meter(&self) -> Meter;
    fn usage(self: Arc<Self>) -> Boxed<Usage>;
    fn stop(self: Arc<Self>, grace: Duration) -> Boxed<Exit>;
}

// === impl Launcher ===

impl Launcher for Handle {
    fn start(&self, spec: Spec, channels: Channels) -> Boxed<Result<Arc<dyn Tree>, StartError>> {
        let handle = self.clone();
        Box::pin(async move {
            let sandbox = Self::start(&handle, spec, channels).await?;
            let tree: Arc<dyn Tree> = Arc::new(sandbox);
            Ok(tree)
        })
    }

    fn expect_scratch(&self, bytes: u64) {
        Self::expect_scratch(self, bytes);
    }
}

// === impl Tree ===

impl Tree for Sandbox {
    fn id(&self) -> String {
        Self::id(self).to_owned()
    }

    fn listening(self: Arc<Self>, wanted: Option<u16>) -> Boxed<Option<SocketAddr>> {
        Box::pin(async move { Self::listening(&self, wanted).await })
    }

    fn connect(self: Arc<Self>, address: SocketAddr) -> Boxed<io::Result<TcpStream>> {
        Box::pin(async move { Self::connect(&self, address).await })
    }

    fn take_listener(&self) -> Option<TcpListener> {
        Self::take_listener(self)
    }

    fn exited(self: Arc<Self>) -> Boxed<Exit> {
        Box::pin(async move { Self::exited(&self).await })
    }

    fn signal(&self, signal: Signal) {
        Self::signal(self, signal);
    }

    fn freeze(&self) {
        Self::freeze(self);
    }

    fn thaw(&self) {
        Self::thaw(self);
    }

    fn sharing(self: Arc<Self>) -> Boxed<Sharing> {
        Box::pin(async move { Self::sharing(&self).await })
    }

    fn fork(
        self: Arc<Self>,
        channels: Channels,
        environment: Vec<(String, String)>,
    ) -> Boxed<Result<Arc<dyn Tree>, StartError>> {
        Box::pin(async move {
            let newborn = Self::fork(&self, channels, environment).await?;
            let tree: Arc<dyn Tree> = Arc::new(newborn);
            Ok(tree)
        })
    }

    fn assign(self: Arc<Self>, assignment: Assignment) -> Boxed<Result<(), StartError>> {
        Box::pin(async move { Self::assign(&self, &assignment).await })
    }

    fn meter(&self) -> Meter {
        Self::meter(self)
    }

    fn usage(self: Arc<Self>) -> Boxed<Usage> {
        Box::pin(async move { Self::usage(&self).await })
    }

    fn stop(self: Arc<Self>, grace: Duration) -> Boxed<Exit> {
        Box::pin(async move { Self::stop(&self, grace).await })
    }
}
