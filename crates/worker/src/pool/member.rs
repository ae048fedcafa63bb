//! One instance as its function keeps it: from the moment it is wanted until it is gone.

use std::sync::Arc;
use std::time::Duration;

use autoscaler::Tier;
use tokio_util::sync::CancellationToken;
use types::function::Version;

use crate::instance::Instance;
use crate::status;

/// An instance, from the moment it is wanted.
pub(super) struct Member {
    pub version: Option<Arc<Version>>,
    pub instance: Option<Arc<Instance>>,
    /// From what it is to be made.
    pub tier: Tier,
    pub retire: CancellationToken,
    pub began: Duration,
    /// When it became ready or was last made free.
    pub since: Duration,
    pub requests: u64,
    pub busy: u32,
    pub retiring: bool,
    pub frozen: bool,
}

// === impl Member ===

impl Member {
    pub fn new(now: Duration, tier: Tier) -> Self {
        Self {
            tier,
            version: None,
            instance: None,
            retire: CancellationToken::new(),
            began: now,
            since: now,
            requests: 0,
            busy: 0,
            retiring: false,
            frozen: false,
        }
    }

    /// Bytes it uses; `None`: not ready, or not measured on this host.
    pub fn memory_bytes(&self) -> Option<u64> {
        self.instance.as_ref()?.tree.meter().memory_bytes()
    }

    /// What is shown of it; `None` before its start.
    pub fn status(&self, now: Duration) -> Option<status::Instance> {
        let version = self.version.as_ref()?;
        let instance = self.instance.as_ref();
        let state = match instance {
            _ if self.retiring => status::State::Retiring,
            None => status::State::Starting,
            Some(_) if self.busy > 0 => status::State::Busy,
            Some(_) => status::State::Idle,
        };
        let idle = (state == status::State::Idle).then(|| milliseconds(now.saturating_sub(self.since)));
        Some(status::Instance {
            id: instance.map(|instance| instance.id.clone()).unwrap_or_default(),
            sandbox: instance.map(|instance| instance.tree.id()).unwrap_or_default(),
            version: version.version.clone(),
            state,
            protocol: instance.map(|instance| instance.protocol.name()).unwrap_or_default().to_owned(),
            age_ms: milliseconds(now.saturating_sub(self.began)),
            idle_ms: idle,
            requests: self.requests,
        })
    }
}

pub(super) fn milliseconds(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}
