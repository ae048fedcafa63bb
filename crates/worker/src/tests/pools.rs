//! Instances come, are shared out in order, and go.

use std::collections::BTreeSet;

use types::invocation::{Boxed, Provided};
use types::limits::Limits;
use types::routing::{Function, Snapshot};

use super::*;
use crate::pool::{Memories, Remembered};

const HANDLER: &str = r#"
import os, time
def lambda_handler(event, context):
    time.sleep(event.get("sleep", 0))
    return os.getpid()
"#;

fn snapshot(version: &Arc<Version>) -> Snapshot {
    let versions = [(version.version.clone(), Arc::clone(version))].into();
    let function = Function { versions, aliases: [].into(), urls: Vec::new() };
    Snapshot { functions: [(version.name.clone(), function)].into(), urls: [].into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_waits_in_order_under_the_cap_and_everyone_is_served() {
    let world = World::new(Limits::default());
    let mut version = world.version("hello", &[("lambda_function.py", HANDLER)]);
    version.settings.max_instances = Some(4);
    let version = Arc::new(version);
    let worker = &world.worker;
    let calls: Vec<_> =
        (0..40).map(|_| spawn(worker.invoke(Arc::clone(&version), event(r#"{"sleep": 0.05}"#)))).collect();
    let mut pids = BTreeSet::new();
    let mut most = 0;
    for call in calls {
        most = most.max(instances(&world));
        let outcome = call.await.unwrap().unwrap();
        assert!(outcome.failure.is_none());
        pids.insert(outcome.payload);
    }
    assert_eq!(pids.len(), 4);
    assert!(most <= 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_instances_go_to_zero_and_come_back() {
    let world = World::new(Limits::default());
    let mut version = world.version("hello", &[("lambda_function.py", HANDLER)]);
    version.settings.idle = Some(Duration::from_millis(200));
    let version = Arc::new(version);
    for _ in 0..3 {
        let pid = call(&world, &version, "{}").await;
        wait_until("no instance is left", || instances(&world) == 0).await;
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "{pid} lives");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_leaves_the_queue_is_not_run() {
    let world = World::new(Limits::default());
    let mut version = world.version("hello", &[("lambda_function.py", HANDLER)]);
    version.settings.max_instances = Some(1);
    let version = Arc::new(version);
    call(&world, &version, "{}").await;
    let running = spawn(world.worker.invoke(Arc::clone(&version), event(r#"{"sleep": 0.3}"#)));
    wait_until("it runs", || {
        let status = world.worker.status();
        status.functions[0].instances[0].state == crate::status::State::Busy
    })
    .await;
    let left = world.worker.invoke(Arc::clone(&version), event("{}"));
    assert!(tokio::time::timeout(Duration::from_millis(50), left).await.is_err());
    assert_eq!(world.worker.status().functions[0].queued, 0);
    running.await.unwrap().unwrap();
    let starts = world.lines.texts().iter().filter(|line| line.starts_with("START")).count();
    assert_eq!(starts, 2, "the one who left was run");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_leaves_while_it_runs_does_not_stop_it() {
    let world = World::new(Limits::default());
    let version = Arc::new(world.version("hello", &[("lambda_function.py", HANDLER)]));
    let pid = call(&world, &version, "{}").await;
    let left = world.worker.invoke(Arc::clone(&version), event(r#"{"sleep": 0.2}"#));
    assert!(tokio::time::timeout(Duration::from_millis(50), left).await.is_err());
    wait_until("it is finished", || {
        world.lines.texts().iter().filter(|line| line.starts_with("REPORT")).count() == 2
    })
    .await;
    assert_eq!(call(&world, &version, "{}").await, pid);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_instance_that_dies_is_not_given_to_anyone() {
    let world = World::new(Limits::default());
    let version = Arc::new(world.version("hello", &[("lambda_function.py", HANDLER)]));
    let mut pids = BTreeSet::new();
    for _ in 0..10 {
        let pid = call(&world, &version, "{}").await;
        let raw = i32::try_from(pid.as_i64().unwrap()).unwrap();
        let process = rustix::process::Pid::from_raw(raw).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
        pids.insert(raw);
        wait_until("it is gone", || instances(&world) == 0).await;
    }
    assert_eq!(pids.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn redeploying_under_load_fails_no_request_and_leaves_no_old_instance() {
    let world = World::new(Limits::default());
    let mut version = world.version("hello", &[("lambda_function.py", HANDLER)]);
    version.settings.max_instances = Some(2);
    let mut version = Arc::new(version);
    world.worker.sync(&snapshot(&version));
    let mut calls = Vec::new();
    for round in 0..6 {
        for _ in 0..6 {
            calls.push(spawn(world.worker.invoke(Arc::clone(&version), event(r#"{"sleep": 0.01}"#))));
        }
        call(&world, &version, "{}").await;
        version = Arc::new(Version { revision: format!("next-{round}"), ..Version::clone(&version) });
        world.worker.sync(&snapshot(&version));
    }
    for call in calls {
        let outcome = call.await.unwrap().unwrap();
        assert!(outcome.failure.is_none(), "{:?}", outcome.failure);
    }
    call(&world, &version, "{}").await;
    wait_until("only the new one is left", || instances(&world) == 1).await;
    world.worker.sync(&Snapshot::default());
    wait_until("nothing of a deleted function is left", || world.worker.status().functions.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reserved_concurrency_refuses_at_once_and_the_queue_in_time() {
    let world = World::new(Limits::default());
    let mut version = world.version("hello", &[("lambda_function.py", HANDLER)]);
    version.settings.max_instances = Some(1);
    version.settings.queue = Duration::from_millis(100);
    let queueing = Arc::new(version.clone());
    call(&world, &queueing, "{}").await;
    let running = spawn(world.worker.invoke(Arc::clone(&queueing), event(r#"{"sleep": 0.5}"#)));
    wait_until("it runs", || {
        world.worker.status().functions[0].instances[0].state == crate::status::State::Busy
    })
    .await;
    let refusal = invoke(&world, &queueing, "{}").await.unwrap_err();
    assert!(matches!(refusal, Refusal::QueueTimeout { limit: 1, .. }), "{refusal}");
    version.reserved_concurrency = Some(1);
    let reserved = Arc::new(version);
    world.worker.sync(&snapshot(&reserved));
    let refusal = invoke(&world, &reserved, "{}").await.unwrap_err();
    assert!(matches!(refusal, Refusal::ReservedConcurrency { limit: 1 }), "{refusal}");
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_finishes_what_runs_refuses_the_rest_and_leaves_nothing() {
    let world = World::new(Limits::default());
    let mut version = world.version("hello", &[("lambda_function.py", HANDLER)]);
    version.settings.max_instances = Some(1);
    let version = Arc::new(version);
    let pid = call(&world, &version, "{}").await;
    let running = spawn(world.worker.invoke(Arc::clone(&version), event(r#"{"sleep": 1}"#)));
    // One after the other, so that it is known which of them waits.
    wait_until("it runs", || {
        world.worker.status().functions[0].instances[0].state == crate::status::State::Busy
    })
    .await;
    let queued = spawn(world.worker.invoke(Arc::clone(&version), event("{}")));
    wait_until("the other waits", || world.worker.status().functions[0].queued == 1).await;
    world.worker.drain(Duration::from_secs(10)).await;
    assert!(running.await.unwrap().unwrap().failure.is_none());
    assert!(matches!(queued.await.unwrap(), Err(Refusal::Draining)));
    assert!(matches!(invoke(&world, &version, "{}").await, Err(Refusal::Draining)));
    assert_eq!(instances(&world), 0);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_does_not_wait_for_ever() {
    let world = World::new(Limits::default());
    let version = Arc::new(world.version("hello", &[("lambda_function.py", HANDLER)]));
    call(&world, &version, "{}").await;
    let running = spawn(world.worker.invoke(Arc::clone(&version), event(r#"{"sleep": 9}"#)));
    wait_until("it runs", || {
        world.worker.status().functions[0].instances[0].state == crate::status::State::Busy
    })
    .await;
    let began = Instant::now();
    world.worker.drain(Duration::from_millis(100)).await;
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(running.await.unwrap().unwrap().failure.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_provisioned_is_ready_before_it_is_called_and_again_when_it_dies() {
    let world = World::new(Limits::default());
    let mut version = world.version("hello", &[("lambda_function.py", HANDLER)]);
    version.provisioned = 2;
    version.settings.idle = Some(Duration::from_millis(50));
    let version = Arc::new(version);
    let provided = || world.worker.provided(&version);
    assert_eq!(provided(), Provided::default());
    world.worker.sync(&snapshot(&version));
    wait_until("both are ready", || provided().ready == 2).await;
    let pid = call(&world, &version, "{}").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(provided().ready, 2, "idle time does not end them");
    let raw = i32::try_from(pid.as_i64().unwrap()).unwrap();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(raw).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    wait_until("the other is alone", || provided().ready == 1).await;
    wait_until("there are two again", || provided().ready == 2).await;
    let next = Arc::new(Version { provisioned: 0, ..Version::clone(&version) });
    world.worker.sync(&snapshot(&next));
    wait_until("they go when nothing is provisioned", || instances(&world) == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_init_that_fails_is_told_as_failed_provisioning() {
    let world = World::new(Limits::default());
    let mut version = world.version("broken", &[("lambda_function.py", "raise ValueError('no')")]);
    version.provisioned = 1;
    let version = Arc::new(version);
    world.worker.sync(&snapshot(&version));
    wait_until("it has failed", || world.worker.provided(&version).failed).await;
    assert_eq!(world.worker.provided(&version).ready, 0);
    world.worker.drain(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_learned_is_written_and_found_again() {
    let kept = Arc::new(Shelf::default());
    let world = World::remembering(Remembered::new(Some(kept.clone()), Vec::new()));
    let version = Arc::new(world.version("hello", &[("lambda_function.py", HANDLER)]));
    call(&world, &version, "{}").await;
    let known = |world: &World| {
        let scaling = world.worker.status().functions[0].scaling.clone().unwrap();
        (scaling.load.service_micros, scaling.load.start_micros)
    };
    wait_until("it was served", || known(&world).0.is_some()).await;
    let before = known(&world);
    world.worker.remember().await;
    let values: Vec<(String, Vec<u8>)> = kept.0.lock().clone().into_iter().collect();
    assert!(values.iter().any(|(name, _)| name == "hello"), "{values:?}");
    world.worker.remember().await;
    assert_eq!(kept.0.lock().len(), values.len());

    let world = World::remembering(Remembered::new(Some(kept.clone()), values));
    let mut again = world.version("hello", &[("lambda_function.py", HANDLER)]);
    again.provisioned = 1;
    world.worker.sync(&snapshot(&Arc::new(again)));
    // Before its first call.
    assert_eq!(known(&world), before);
    world.worker.sync(&Snapshot::default());
    world.worker.remember().await;
    assert!(!kept.0.lock().contains_key("hello"), "a function that is deleted is forgotten");
    // What cannot be read is learned again.
    let broken = vec![("hello".to_owned(), b"{".to_vec()), ("!node".to_owned(), b"[]".to_vec())];
    drop(World::remembering(Remembered::new(Some(kept), broken)));
}

#[derive(Default)]
struct Shelf(parking_lot::Mutex<std::collections::BTreeMap<String, Vec<u8>>>);

impl Memories for Shelf {
    fn save(&self, values: Vec<(String, Option<Vec<u8>>)>) -> Boxed<Result<(), String>> {
        let mut kept = self.0.lock();
        for (name, value) in values {
            match value {
                Some(value) => drop(kept.insert(name, value)),
                None => drop(kept.remove(&name)),
            }
        }
        Box::pin(std::future::ready(Ok(())))
    }
}
