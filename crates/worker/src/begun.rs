//! What has begun is finished, whoever leaves: a request that its caller drives, and that goes on in a task of
//! its own once the caller has gone.
//!
//! Driven in place a request needs no task, no channel and no other thread to be woken: that is most of what the
//! way through the server would cost. Made when the instance is leased; ends with the request. It counts as
//! the tracker's from the beginning, so a drain waits for it. A request that panics in place is dropped like any
//! other, which retires its instance.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use types::invocation::Boxed;

/// A request under way. Dropping it moves the rest to a task.
pub(crate) struct Begun<T: Send + 'static> {
    running: Option<Boxed<T>>,
    tracker: TaskTracker,
    _token: TaskTrackerToken,
}

// === impl Begun ===

impl<T: Send + 'static> Begun<T> {
    pub fn new(tracker: &TaskTracker, running: impl Future<Output = T> + Send + 'static) -> Self {
        Self { running: Some(Box::pin(running)), tracker: tracker.clone(), _token: tracker.token() }
    }
}

impl<T: Send + 'static> Future for Begun<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // Taken out, so that one that panics is not polled again.
        let Some(mut running) = self.running.take() else { return Poll::Pending };
        let polled = running.as_mut().poll(context);
        if polled.is_pending() {
            self.running = Some(running);
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Begun<T> {
    fn drop(&mut self) {
        if let (Some(running), Ok(runtime)) = (self.running.take(), Handle::try_current()) {
            self.tracker.spawn_on(running, &runtime);
        }
    }
}

/// Drives a request until it has given its answer. What is left of it then goes on in a task.
pub(crate) async fn answered<T: Send + 'static, U>(
    mut begun: Begun<T>,
    mut answer: oneshot::Receiver<U>,
) -> Option<U> {
    tokio::select! {
        biased;
        // In this order: a request that is over when its answer is there needs no task.
        _ = &mut begun => {}
        answer = &mut answer => return answer.ok(),
    }
    answer.await.ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn goes_on_where_its_caller_leaves_and_the_tracker_waits_for_it() {
        let tracker = TaskTracker::new();
        let (go, over) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let mut begun = Begun::new(&tracker, {
            let (go, over) = (Arc::clone(&go), Arc::clone(&over));
            async move {
                go.notified().await;
                over.notify_one();
            }
        });
        assert!(
            std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut begun).poll(context)))
                .await
                .is_pending()
        );
        tracker.close();
        assert_eq!(tracker.len(), 1);
        drop(begun);
        assert_eq!(tracker.len(), 1);
        go.notify_one();
        over.notified().await;
        tracker.wait().await;
    }

    #[tokio::test]
    async fn an_answer_in_the_middle_is_given_at_once_and_the_rest_goes_on() {
        let tracker = TaskTracker::new();
        let go = Arc::new(Notify::new());
        let (send, answer) = oneshot::channel();
        let begun = Begun::new(&tracker, {
            let go = Arc::clone(&go);
            async move {
                send.send(7).unwrap();
                go.notified().await;
            }
        });
        assert_eq!(answered(begun, answer).await, Some(7));
        assert_eq!(tracker.len(), 1);
        go.notify_one();
        tracker.close();
        tracker.wait().await;
    }

    #[tokio::test]
    async fn one_that_panics_is_gone() {
        let tracker = TaskTracker::new();
        let begun = Begun::new(&tracker, async { panic!("on purpose") });
        let driven = TaskTracker::new().spawn(begun);
        assert!(driven.await.unwrap_err().is_panic());
        assert!(tracker.is_empty());
    }
}
