//! A request's hold on an instance. Released by `Drop`, exactly once.
//!
//! An instance that is given back between [`Lease::busy`] and [`Lease::well`] is retired and never reused,
//! so a task that is aborted or panics in the middle of a request harms nobody else.

use std::sync::Arc;
use std::time::Duration;

use autoscaler::{Event, Instance as Key, Request};

use super::function::{Function, Refused};
use crate::instance::Instance;

/// One hold on one instance.
pub(crate) struct Lease {
    function: Arc<Function>,
    instance: Arc<Instance>,
    key: Key,
    request: Request,
    arrived: Duration,
    /// When it got its place.
    since: Duration,
    healthy: bool,
    given_back: bool,
}

// === impl Lease ===

impl Lease {
    pub(super) fn new(
        function: Arc<Function>,
        instance: Arc<Instance>,
        key: Key,
        request: Request,
        arrived: Duration,
    ) -> Self {
        let since = function.node().now();
        Self { function, instance, key, request, arrived, since, healthy: true, given_back: false }
    }

    /// The instance.
    pub fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }

    /// The function it belongs to.
    pub fn function(&self) -> &Arc<Function> {
        &self.function
    }

    /// Until [`Self::well`], the instance is in the middle of something and of no use to anyone else.
    pub fn busy(&mut self) {
        self.healthy = false;
    }

    /// The instance has answered as it should.
    pub fn well(&mut self) {
        self.healthy = true;
    }

    /// The request never reached the instance, which is gone: waits for another, at its old place.
    pub async fn again(mut self) -> Result<Self, Refused> {
        self.given_back = true;
        let function = Arc::clone(&self.function);
        let version = Arc::clone(&self.instance.version);
        function.requeue(version, self.request, self.arrived, self.key).await
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.given_back {
            let (instance, healthy) = (self.key, self.healthy);
            let served = self.function.node().now().saturating_sub(self.since);
            self.function.send(Event::Released { instance, healthy, served });
        }
    }
}
