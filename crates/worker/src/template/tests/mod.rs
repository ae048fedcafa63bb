//! Embers over process trees that are tasks of the test, with a hand on each step.

mod ends;
mod races;
mod starts;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use types::function::Version;
use types::limits::Limits;
use types::metering::Tier;

use crate::instance::Instance;
use crate::metrics::Metrics;
use crate::pool::{Node, Parts, Remembered};
use crate::start::{self, StartError};
use crate::status::{Template, TemplateState};
use crate::testing::{self, Forks, Kept, World};

/// A node over tasks, and one version.
struct Scene {
    node: Arc<Node>,
    version: Arc<Version>,
    forks: Forks,
    lines: Arc<Kept>,
}

type Starting = tokio::task::JoinHandle<Result<Instance, StartError>>;

// === impl Scene ===

impl Scene {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let (forks, lines) = (Forks::default(), Arc::new(Kept::default()));
        let launcher = Box::new(forks.clone());
        let composer = World::composer_of_forks();
        let (metrics, remembered) = (Metrics::new(), Remembered::new(None, Vec::new()));
        let mut version = testing::version("hello");
        // No interpreter waits for it: what is started is forked or runs an init of its own.
        version.environment.insert("LC_ALL".to_owned(), "C".to_owned());
        let parts = Parts { composer, launcher, logs: lines.clone(), limits, metrics, remembered };
        Self { node: Node::new(parts), version: Arc::new(version), forks, lines }
    }

    /// The version with other settings or another revision.
    fn change(&mut self, change: impl FnOnce(&mut Version)) {
        let mut version = Version::clone(&self.version);
        change(&mut version);
        self.version = Arc::new(version);
    }

    async fn start(&self) -> Instance {
        tokio::time::timeout(Duration::from_secs(10), start::start(&self.node, &self.version, false))
            .await
            .unwrap()
            .unwrap()
    }

    /// A start beside the test.
    fn starting(&self) -> Starting {
        let (node, version) = (Arc::clone(&self.node), Arc::clone(&self.version));
        self.node.tracker.spawn(async move { start::start(&node, &version, false).await })
    }

    fn inits(&self) -> u32 {
        self.forks.inits.load(Ordering::Relaxed)
    }

    fn template(&self) -> Template {
        let mut templates = self.node.templates.status("hello");
        assert_eq!(templates.len(), 1, "{templates:?}");
        templates.remove(0)
    }

    fn key(&self) -> super::Key {
        super::Key::of(&self.version)
    }
}

/// Shuts a gate of the hand.
fn shut(gate: &tokio::sync::Semaphore) {
    gate.forget_permits(gate.available_permits());
}

fn phases(instance: &Instance) -> Vec<&'static str> {
    instance.start.phases.iter().map(|phase| phase.name).collect()
}

/// Waits for a condition, with a deadline.
async fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
