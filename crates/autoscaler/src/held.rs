//! One instance and one waiting request, as the policy sees them. Values and questions about them; what follows
//! from them is in `scale`, `settle` and `keep`.

use std::time::Duration;

use crate::event::{Instance, Request, Revision, Tier};
use crate::explain::Cause;

/// One instance, as the policy sees it.
#[derive(Debug)]
pub(crate) struct Held {
    pub revision: Revision,
    pub phase: Phase,
    pub leases: u32,
    /// Requests it handles at once, or is expected to.
    pub places: u32,
    /// From what it is expected to be made, or was.
    pub tier: Tier,
    /// When it was last made free, or became ready.
    pub used: Duration,
    /// Since when it has not been used; before it was made, where it was made again ahead of time.
    pub idle_since: Duration,
    /// Whether nothing of the function ran then.
    pub quiet: bool,
    /// When it goes if nothing comes, and how long that is after its last use.
    pub until: Duration,
    pub stays: Duration,
    pub freeze: Option<Duration>,
    pub frozen: bool,
    /// Not to be kept once it is free.
    pub stale: bool,
    /// Not to be given anything more: its place is needed.
    pub closing: bool,
    /// Why it was started.
    pub cause: Cause,
    /// Whether it was made ahead of a request that has not come yet.
    pub expected: bool,
    /// Whether no request has had it.
    pub fresh: bool,
}

/// Where an instance is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Wanted,
    Starting { began: Duration },
    Ready,
    Retiring,
}

/// One request that waits.
#[derive(Debug)]
pub(crate) struct Queued {
    pub request: Request,
    pub revision: Revision,
    pub arrived: Duration,
    pub hope: Hope,
    /// When it gets a start of its own if no place has come, set when it is first left without.
    pub promised: Option<Duration>,
}

/// What a request waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hope {
    /// Whatever comes; it waits no longer than requests may.
    Anything,
    /// A start or a place that is being freed for it.
    Start,
    /// A place that becomes free sooner than a start would be ready.
    Place,
}

// === impl Held ===

impl Held {
    pub(crate) fn is_idle(&self) -> bool {
        self.phase == Phase::Ready && self.leases == 0
    }

    /// Whether it was forked in advance and no request has had it.
    pub(crate) fn is_spare(&self) -> bool {
        self.fresh && self.cause == Cause::Spare
    }

    pub(crate) fn is_coming(&self) -> bool {
        matches!(self.phase, Phase::Wanted | Phase::Starting { .. })
    }

    /// Places that a request may have now.
    pub(crate) fn free(&self) -> u32 {
        if self.phase == Phase::Ready && !self.closing { self.places.saturating_sub(self.leases) } else { 0 }
    }

    /// In what order instances are used, last first: the busy ones that have a place left, then the most
    /// recently used, then spares.
    pub(crate) fn order(&self, instance: Instance) -> (bool, bool, Duration, Instance) {
        (self.leases > 0, !self.is_spare(), self.used, instance)
    }

    pub(crate) fn idles(&mut self, now: Duration, stays: Duration, quiet: bool) {
        self.idle_since = now;
        self.quiet = quiet;
        self.stays = stays;
        self.until = now.saturating_add(stays);
    }
}

// === impl Queued ===

impl Queued {
    pub(crate) fn new(request: Request, revision: Revision, arrived: Duration) -> Self {
        Self { request, revision, arrived, hope: Hope::Anything, promised: None }
    }
}
