//! Embers behind the pools: a burst costs one init, and what is no longer current keeps none.

use std::sync::atomic::Ordering;

use types::limits::Limits;
use types::routing::{Function, Snapshot};

use super::*;
use crate::testing;

fn snapshot(version: &Arc<Version>) -> Snapshot {
    let versions = [(version.version.clone(), Arc::clone(version))].into();
    let function = Function { versions, aliases: [].into(), urls: Vec::new() };
    Snapshot { functions: [(version.name.clone(), function)].into(), urls: [].into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_calls_runs_one_init_under_the_cap() {
    let (world, forks) = World::of_forks(Limits::default());
    let mut version = testing::version("hello");
    version.settings.max_instances = Some(10);
    let version = Arc::new(version);
    let calls: Vec<_> =
        (0..100).map(|_| spawn(world.worker.invoke(Arc::clone(&version), event("{}")))).collect();
    for call in calls {
        let outcome = call.await.unwrap().unwrap();
        let result: Value = serde_json::from_slice(&outcome.payload).unwrap();
        assert_eq!(result["born"], "fork");
    }
    assert_eq!((forks.inits.load(Ordering::Relaxed), forks.embers.load(Ordering::Relaxed)), (1, 1));
    assert!(instances(&world) <= 10);
    let status = world.worker.status();
    assert_eq!(status.functions[0].templates[0].state, crate::status::TemplateState::Alive);
    world.worker.drain(Duration::from_secs(5)).await;
    assert_eq!(forks.counts(), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_replaced_or_deleted_keeps_no_ember() {
    let (world, forks) = World::of_forks(Limits::default());
    let first = Arc::new(testing::version("hello"));
    world.worker.sync(&snapshot(&first));
    call(&world, &first, "{}").await;
    assert_eq!(forks.counts().0, 1);
    let second = Arc::new(Version { revision: "two".to_owned(), ..Version::clone(&first) });
    world.worker.sync(&snapshot(&second));
    wait_until("the old one goes", || forks.counts().0 == 0).await;
    call(&world, &second, "{}").await;
    assert_eq!((forks.counts().0, forks.embers.load(Ordering::Relaxed)), (1, 2));
    world.worker.sync(&Snapshot::default());
    wait_until("nothing is left of a deleted function", || forks.counts().0 == 0).await;
}
