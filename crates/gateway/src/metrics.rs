//! What the gateway counts. Handles are cached: counting a request is a few atomic additions.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Requests answered, by class of status.
const REQUESTS: &str = "gateway_requests";
/// Requests whose answer has not begun.
const IN_PROGRESS: &str = "gateway_requests_in_progress";
/// Classes of status, in the order of their first digit.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The gateway's counters. A cheap clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    answered: Arc<[Counter<u64, AtomicU64>]>,
    in_progress: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    status: &'static str,
}

/// Counts a request as in progress until it is dropped.
pub(crate) struct InProgress(Gauge);

// === impl Metrics ===

impl Metrics {
    /// Registers the gateway's counters.
    pub fn register(registry: &mut Registry) -> Self {
        let family = Family::<Labels, Counter>::default();
        let in_progress = Gauge::default();
        registry.register(REQUESTS, "Requests answered, by class of status", family.clone());
        registry.register(IN_PROGRESS, "Requests whose answer has not begun", in_progress.clone());
        let answered =
            CLASSES.iter().map(|&status| family.get_or_create(&Labels { status }).clone()).collect();
        Self { answered, in_progress }
    }

    pub(crate) fn in_progress(&self) -> InProgress {
        self.in_progress.inc();
        InProgress(self.in_progress.clone())
    }

    pub(crate) fn answered(&self, status: http::StatusCode) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(counter) = self.answered.get(class) {
            counter.inc();
        }
    }
}

// === impl InProgress ===

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.dec();
    }
}
