//! Tests of the whole crate over plain processes; see [`crate::testing`].

mod embers;
mod ends;
mod pools;
mod web;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::time::Instant;
use types::function::Version;
use types::invocation::{Dispatch as _, Event, Outcome, Refusal};
use types::request_id::RequestId;

use crate::testing::World;

fn event(payload: &str) -> Event {
    let payload = Bytes::copy_from_slice(payload.as_bytes());
    Event { request_id: RequestId::new(), payload, client_context: None, trace: None }
}

async fn invoke(world: &World, version: &Arc<Version>, payload: &str) -> Result<Outcome, Refusal> {
    world.worker.invoke(Arc::clone(version), event(payload)).await
}

/// The result of a call that has to go well.
async fn call(world: &World, version: &Arc<Version>, payload: &str) -> Value {
    let outcome = invoke(world, version, payload).await.unwrap();
    assert!(outcome.failure.is_none(), "{:?}", outcome.failure);
    serde_json::from_slice(&outcome.payload).unwrap()
}

/// Waits for a condition, with a deadline.
async fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn instances(world: &World) -> usize {
    world.worker.status().functions.iter().map(|function| function.instances.len()).sum()
}

/// Runs a call beside the test.
fn spawn<T: Send + 'static>(call: impl Future<Output = T> + Send + 'static) -> tokio::task::JoinHandle<T> {
    tokio_util::task::TaskTracker::new().spawn(call)
}
