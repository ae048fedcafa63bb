//! The vocabulary of [`crate::decide`]: what can happen to a function, and what is to be done about it.
//! Values only; the rules are in `scale` and `settle`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::keep_alive::price::Price;

/// What makes instances interchangeable: two requests of one revision may share an instance.
pub type Revision = Arc<str>;

/// Names a request within one function; chosen by the caller in the order of arrival, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Request(pub u64);

/// Names an instance within one function; chosen by the state machine, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Instance(pub u64);

/// The knobs of one function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Most instances that may exist at once, in whatever phase.
    pub max_instances: u32,
    /// Requests one instance is expected to handle at once until one has been ready; at least 1.
    pub concurrency: u32,
    /// How long an instance may stay idle.
    pub keep: Keep,
    /// How long a request may wait that no start is under way for.
    pub queue: Duration,
    /// Requests in progress (queued ones included) beyond which more are refused at once.
    pub reserved: Option<u32>,
    /// Provisioned concurrency: places that are kept ready, by revision.
    pub provisioned: BTreeMap<Revision, u32>,
}

/// How long what is idle stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// So long; its template for as long as it is worth.
    Fixed(Duration),
    /// As long as the function's own gaps make it worth it.
    Learned,
}

/// From what an instance is made, as far as it matters here: what takes about as long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Forked from a template that has run the init.
    Fork,
    /// Anything that runs an init of its own.
    Fresh,
}

/// What an instance turned out to be, known once it is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// Requests it handles at once; at least 1.
    pub places: u32,
    /// How long it runs on without a request before it is frozen; `None`: it is not frozen.
    pub freeze: Option<Duration>,
    /// From what it was made.
    pub tier: Tier,
    /// How long that took, without what it waited for first.
    pub took: Duration,
}

/// What the node asks for memory, and what of it a function's instances hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conditions {
    /// What memory costs.
    pub price: Price,
    /// GiB that an instance with an init of its own holds, or a template, where it was measured.
    pub memory: Option<f64>,
    /// What a forked instance has to itself, as a share of it, where it was measured.
    pub own_share: Option<f64>,
}

/// Whose doing it is that no instance came up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartFault {
    /// The function's own init failed.
    Init,
    /// The platform could not make a sandbox; worth another try before a request fails for it.
    Platform,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The function's settings are now these.
    Configure(Policy),
    /// A request came in.
    Arrive {
        /// Its name.
        request: Request,
        /// What it wants to be run by.
        revision: Revision,
    },
    /// The caller of a queued request has gone; unknown requests are ignored.
    Leave {
        /// Its name.
        request: Request,
    },
    /// The node has capacity for the start asked for with [`Action::Want`]. Answered by
    /// [`Action::Start`], or by nothing of that instance when it is no longer wanted.
    Admitted {
        /// The instance.
        instance: Instance,
    },
    /// A start has come to a ready instance.
    Started {
        /// The instance.
        instance: Instance,
        /// What it turned out to be.
        ready: Ready,
    },
    /// A start has failed and nothing of it is left.
    StartFailed {
        /// The instance.
        instance: Instance,
        /// Whose doing.
        fault: StartFault,
    },
    /// A request is over; its place is free.
    Released {
        /// The instance.
        instance: Instance,
        /// Whether the instance may be used again.
        healthy: bool,
        /// How long the request held its place.
        served: Duration,
    },
    /// An assigned request never reached its instance, which is broken: the request waits again, at
    /// the place its arrival gives it.
    Returned {
        /// The request.
        request: Request,
        /// What it wants to be run by.
        revision: Revision,
        /// When it first arrived.
        arrived: Duration,
        /// The instance.
        instance: Instance,
    },
    /// An instance is gone, on request or by itself.
    Gone {
        /// The instance.
        instance: Instance,
    },
    /// A revision is no longer the current one of any name: its instances are not kept.
    Replaced {
        /// The revision.
        revision: Revision,
    },
    /// A revision has a template now, or has none any more.
    Template {
        /// The revision.
        revision: Revision,
        /// Whether there is one.
        there: bool,
    },
    /// What memory costs has changed, or what is known of the function's.
    Conditions(Conditions),
    /// The node is short of memory: this instance goes if it is idle.
    Evict {
        /// The instance.
        instance: Instance,
    },
    /// No more work is taken; everything goes as soon as it is free.
    Drain,
    /// The moment of [`crate::State::next_deadline`] has come.
    Tick,
}

/// Something to do, in the order given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Hand the request to the instance.
    Assign {
        /// The request.
        request: Request,
        /// The instance.
        instance: Instance,
    },
    /// Ask the node for the capacity to start this instance.
    Want {
        /// The new instance.
        instance: Instance,
        /// From what it will be made, as things are.
        tier: Tier,
    },
    /// Start it now.
    Start {
        /// The instance.
        instance: Instance,
        /// Of which revision.
        revision: Revision,
        /// Whether it is made before any request needs it.
        ahead: bool,
    },
    /// Take back a [`Action::Want`] that was not admitted yet; the instance is forgotten.
    Withdraw {
        /// The instance.
        instance: Instance,
    },
    /// End the instance, and report [`Event::Gone`] when nothing of it is left.
    Retire {
        /// The instance.
        instance: Instance,
        /// Why.
        reason: Reason,
    },
    /// Stop the instance from running: nothing is asked of it.
    Freeze {
        /// The instance.
        instance: Instance,
    },
    /// Let the instance run again; comes before the [`Action::Assign`] that needs it.
    Thaw {
        /// The instance.
        instance: Instance,
    },
    /// Let go of a revision's template; report [`Event::Template`] when it is gone.
    RetireTemplate {
        /// The revision.
        revision: Revision,
    },
    /// Make a revision's template again: its next request is expected; report [`Event::Template`] when it is
    /// there.
    MakeTemplate {
        /// The revision.
        revision: Revision,
    },
    /// Tell the caller that the request is not run.
    Refuse {
        /// The request.
        request: Request,
        /// Why.
        refusal: Refusal,
    },
    /// Tell the caller what the start of this instance came to.
    Fail {
        /// The request.
        request: Request,
        /// The instance that failed to start.
        instance: Instance,
    },
}

/// Why an instance goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// It was idle for as long as it may be.
    Idle,
    /// Its revision was replaced.
    Replaced,
    /// Its place under the cap is needed by a request of another revision, or the cap was lowered.
    Evicted,
    /// The node is short of memory, and it was worth the least.
    Pressure,
    /// A request left it in an unknown state.
    Failed,
    /// The server is stopping.
    Drain,
}

/// Why a request is not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The reserved concurrency is in use.
    Reserved {
        /// The reserved concurrency.
        limit: u32,
    },
    /// It waited as long as it may.
    QueueTimeout {
        /// How long it waited.
        waited: Duration,
    },
    /// Init keeps failing and is not tried again before the pause is over.
    BackingOff {
        /// What is left of the pause.
        retry_after: Duration,
    },
    /// The server is stopping.
    Draining,
}
