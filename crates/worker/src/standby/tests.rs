//! Interpreters that wait, over process trees that are tasks of the test.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use types::function::{Runtime, Version};
use types::limits::Limits;
use types::metering::Tier;
use types::settings::{Init, Server};

use crate::compose::Isolation;
use crate::instance::Instance;
use crate::metrics::Metrics;
use crate::pool::{Node, Parts, Remembered};
use crate::runtimes::{Interpreter, Runtimes};
use crate::start;
use crate::testing::{self, Forks, Kept, World};

struct Scene {
    node: Arc<Node>,
    version: Arc<Version>,
    forks: Forks,
}

// === impl Scene ===

impl Scene {
    fn new() -> Self {
        Self::isolated(Isolation::Namespaces)
    }

    fn isolated(isolation: Isolation) -> Self {
        let forks = Forks::default();
        let mut composer = World::composer_of_forks();
        let node = Interpreter { program: "/usr/bin/node".into(), prefix: "/usr".into() };
        let python = Interpreter { program: "/usr/bin/python3.11".into(), prefix: "/usr".into() };
        composer.runtimes =
            Runtimes { node: BTreeMap::from([(20, node)]), python: BTreeMap::from([(11, python)]) };
        composer.isolation = isolation;
        let (launcher, logs) = (Box::new(forks.clone()), Arc::new(Kept::default()));
        let (metrics, remembered) = (Metrics::new(), Remembered::new(None, Vec::new()));
        let limits = Limits::default();
        let node = Node::new(Parts { composer, launcher, logs, limits, metrics, remembered });
        let version = Version { runtime: Runtime::Node { major: 18 }, ..testing::version("hello") };
        Self { node, version: Arc::new(version), forks }
    }

    async fn start(&self) -> Instance {
        let start = start::start(&self.node, &self.version, false);
        tokio::time::timeout(Duration::from_secs(10), start).await.unwrap().unwrap()
    }

    async fn waiting(&self) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while self.node.standby.count() == 0 {
            assert!(tokio::time::Instant::now() < deadline, "no interpreter came to wait");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn made(&self) -> u32 {
        self.forks.standbys.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn the_first_start_goes_without_and_the_next_finds_one_that_waits() {
    let scene = Scene::new();
    let first = scene.start().await;
    assert_eq!((first.start.tier, scene.forks.inits.load(Ordering::Relaxed)), (Tier::Bare, 1));
    assert!(first.start.why.contains("no interpreter was waiting"), "{}", first.start.why);
    scene.waiting().await;
    let second = scene.start().await;
    assert_eq!((second.start.tier, scene.forks.inits.load(Ordering::Relaxed)), (Tier::Standby, 1));
    let phases: Vec<_> = second.start.phases.iter().map(|phase| phase.name).collect();
    assert_eq!(phases, ["assign", "init"]);
    scene.waiting().await;
    assert_eq!(scene.made(), 2, "one is made for each that is taken, never more");
}

#[tokio::test]
async fn it_is_told_what_the_function_is_and_nothing_before() {
    let mut scene = Scene::new();
    let mut version = Version::clone(&scene.version);
    version.environment.insert("SECRET".to_owned(), "value".to_owned());
    scene.version = Arc::new(version);
    scene.node.standby.fill(&scene.node, &scene.version);
    scene.waiting().await;
    let begun = scene.forks.begun_with.lock().clone();
    assert!(!begun.contains("SECRET") && !begun.contains("hello"), "{begun}");
    scene.start().await;
    let told = scene.forks.told.lock().clone();
    assert!(told.contains(r#"["SECRET","value"]"#) && told.contains("/var/task"), "{told}");
}

#[tokio::test]
async fn a_variable_that_is_read_at_the_start_wants_a_start_of_its_own() {
    for name in ["NODE_OPTIONS", "LD_PRELOAD", "TZ", "SSL_CERT_FILE"] {
        let mut scene = Scene::new();
        scene.node.standby.fill(&scene.node, &scene.version);
        scene.waiting().await;
        let mut version = Version::clone(&scene.version);
        version.environment.insert(name.to_owned(), "x".to_owned());
        scene.version = Arc::new(version);
        let instance = scene.start().await;
        assert_eq!(instance.start.tier, Tier::Bare);
        assert!(instance.start.why.contains(name), "{}", instance.start.why);
        assert_eq!(scene.node.standby.count(), 1, "it waits for somebody else");
    }
}

#[tokio::test]
async fn one_that_has_ended_or_cannot_be_assigned_fails_no_start() {
    let scene = Scene::new();
    scene.node.standby.fill(&scene.node, &scene.version);
    scene.waiting().await;
    scene.forks.assign_failures.store(1, Ordering::Relaxed);
    let instance = scene.start().await;
    assert_eq!(instance.start.tier, Tier::Bare);
    assert!(instance.start.why.contains("made to fail"), "{}", instance.start.why);
    scene.waiting().await;
    for life in scene.forks.living.lock().clone() {
        life.end();
    }
    assert_eq!(scene.start().await.start.tier, Tier::Bare, "it had ended meanwhile");
}

#[tokio::test]
async fn where_none_can_be_made_it_is_not_tried_for_ever() {
    let scene = Scene::new();
    scene.forks.standby_failures.store(100, Ordering::Relaxed);
    for _ in 0..6 {
        assert_eq!(scene.start().await.start.tier, Tier::Bare);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(scene.made(), 3);
    let last = scene.start().await;
    assert!(last.start.why.contains("interpreters cannot wait here"), "{}", last.start.why);
}

#[tokio::test]
async fn drain_and_want_of_memory_end_those_that_wait() {
    let scene = Scene::new();
    scene.node.standby.fill(&scene.node, &scene.version);
    scene.waiting().await;
    scene.node.standby.release();
    assert_eq!(scene.node.standby.count(), 0);
    scene.node.standby.fill(&scene.node, &scene.version);
    scene.waiting().await;
    scene.node.draining.cancel();
    scene.node.tracker.close();
    tokio::time::timeout(Duration::from_secs(10), scene.node.tracker.wait()).await.unwrap();
    assert_eq!(scene.forks.counts(), (0, 0), "nothing is left");
    scene.node.standby.fill(&scene.node, &scene.version);
    assert_eq!(scene.made(), 2, "none is made while the server drains");
}

#[tokio::test]
async fn nothing_waits_without_namespaces_or_for_what_the_shim_does_not_serve() {
    let reduced = Scene::isolated(Isolation::Process);
    reduced.node.standby.fill(&reduced.node, &reduced.version);
    let (own, provided) = (Scene::new(), Scene::new());
    let mut server = Version::clone(&own.version);
    server.settings.server = Some(Server::Own);
    own.node.standby.fill(&own.node, &server);
    let other = Version { runtime: Runtime::Provided, ..Version::clone(&provided.version) };
    provided.node.standby.fill(&provided.node, &other);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!((reduced.made(), own.made(), provided.made()), (0, 0, 0));
}

#[tokio::test]
async fn python_waits_where_init_is_not_shared_and_only_there() {
    let mut scene = Scene::new();
    let mut version = testing::version("hello");
    version.settings.init = Init::PerInstance;
    scene.version = Arc::new(version);
    assert_eq!(scene.start().await.start.tier, Tier::Bare);
    scene.waiting().await;
    assert_eq!(scene.start().await.start.tier, Tier::Standby);
    scene.waiting().await;
    scene.version = Arc::new(testing::version("shared"));
    scene.start().await;
    assert_eq!(scene.start().await.start.tier, Tier::Ember);
    assert_eq!((scene.node.standby.count(), scene.made()), (1, 2), "it is left to those who need it");
}
