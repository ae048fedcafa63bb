//! How a server ends: the written order, as data, and the one function that walks it.
//!
//! The order is the promise. Nothing is accepted before requests finish; what was acknowledged is on
//! disk before instances are told to end; instances are thawed before they are signalled, since a frozen
//! process hears nothing; cgroups go last, when nothing is in them. A first signal starts the walk; a
//! second one fires `hurry`, which ends the waiting in every step but skips none of them.

use tokio_util::sync::CancellationToken;

/// One step of ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Close the listeners; connections that idle are closed.
    StopAccepting,
    /// Let requests in progress finish, for as long as the grace says.
    FinishRequests,
    /// Write out what is still in memory.
    Persist,
    /// Refuse what still waits; thaw, SIGTERM, and after a moment SIGKILL every instance.
    StopInstances,
    /// Let the broker go, which removes cgroups and mounts.
    RemoveSandboxes,
}

/// The order. Logs are persisted twice: instances may say something while they end.
pub(crate) const ORDER: [Step; 6] = [
    Step::StopAccepting,
    Step::FinishRequests,
    Step::Persist,
    Step::StopInstances,
    Step::Persist,
    Step::RemoveSandboxes,
];

/// What can be drained.
pub(crate) trait Drained {
    /// Does one step; returns soon once `hurry` has fired.
    async fn step(&mut self, step: Step, hurry: &CancellationToken);
}

/// Walks the order to its end.
pub(crate) async fn drain(drained: &mut impl Drained, hurry: &CancellationToken) {
    for step in ORDER {
        tracing::debug!(?step, "ending");
        drained.step(step, hurry).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Waits in one step for the hurry, and remembers what it was asked.
    struct Waiting {
        waits_in: Option<Step>,
        done: Vec<Step>,
    }

    impl Drained for Waiting {
        async fn step(&mut self, step: Step, hurry: &CancellationToken) {
            if self.waits_in == Some(step) {
                hurry.cancelled().await;
            }
            self.done.push(step);
        }
    }

    #[tokio::test]
    async fn requests_finish_before_instances_end_and_cgroups_go_last() {
        let mut waiting = Waiting { waits_in: None, done: Vec::new() };
        drain(&mut waiting, &CancellationToken::new()).await;
        let place = |step| waiting.done.iter().position(|done| *done == step).unwrap();
        assert!(place(Step::StopAccepting) < place(Step::FinishRequests));
        assert!(place(Step::FinishRequests) < place(Step::Persist));
        assert!(place(Step::Persist) < place(Step::StopInstances));
        assert_eq!(waiting.done.last(), Some(&Step::RemoveSandboxes));
    }

    #[tokio::test]
    async fn hurry_ends_the_waiting_and_skips_nothing() {
        let hurry = CancellationToken::new();
        let mut waiting = Waiting { waits_in: Some(Step::FinishRequests), done: Vec::new() };
        let still =
            tokio::time::timeout(Duration::from_millis(20), drain(&mut waiting, &hurry)).await.is_err();
        assert!(still, "waits until told to hurry");
        hurry.cancel();
        let mut waiting = Waiting { waits_in: Some(Step::FinishRequests), done: Vec::new() };
        drain(&mut waiting, &hurry).await;
        assert_eq!(waiting.done, ORDER);
    }
}
