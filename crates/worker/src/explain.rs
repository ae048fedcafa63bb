//! Why a function is as it is, as a value for the admin API and `lambent explain`. A copy: nothing here
//! changes anything, and nothing is decided by it.

use serde::{Deserialize, Serialize};
use types::failure::Failure;
use types::metering::Tier;

use crate::metering::{Amount, Buckets, mib_ms};
use crate::status::{BackingOff, Scaling, Template};

/// How many starts and stops of a function are remembered.
pub const KEPT: usize = 20;

/// Why a function is as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Its name.
    pub name: String,
    /// Its instances, by what they are doing.
    pub instances: Instances,
    /// Why there are so many, a sentence each.
    pub why: Vec<String>,
    /// What that was decided by: load, queue, windows; `None` before the first call.
    pub scaling: Option<Scaling>,
    /// Whether its versions' instances share an init, and why.
    pub templates: Vec<Template>,
    /// The last starts and stops, the newest first.
    pub history: Vec<Happening>,
    /// What it has cost since the server started.
    pub costs: Costs,
    /// Versions whose init keeps failing.
    pub backing_off: Vec<BackingOff>,
    /// The last thing that went wrong.
    pub last_failure: Option<Failure>,
}

/// How many instances there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instances {
    /// Becoming ready, or waiting for their start.
    pub starting: usize,
    /// Free.
    pub idle: usize,
    /// With requests.
    pub busy: usize,
    /// On their way out.
    pub retiring: usize,
    /// Requests that wait for one.
    pub queued: usize,
    /// Most there may be.
    pub limit: u32,
}

/// Something that happened to an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happening {
    /// Milliseconds ago.
    pub ago_ms: u64,
    /// What it was.
    pub what: What,
    /// The instance; empty where it never came to be.
    pub instance: String,
    /// From what it was made, where it was started.
    pub start: Option<Tier>,
    /// How long the start took, in microseconds.
    pub start_micros: Option<u64>,
    /// Why it was started from that and nothing warmer, or what its start failed with.
    pub how: String,
    /// Why it was started or stopped; empty where that is no longer remembered.
    pub why: String,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// It became ready.
    Started,
    /// It is gone.
    Stopped,
    /// It could not be started.
    Failed,
}

/// What a function has cost, by what for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Costs {
    /// While requests ran.
    pub requests: Cost,
    /// Until instances were ready, a shared init and its template included.
    pub init: Cost,
    /// While no request ran, until an instance was gone.
    pub idle: Cost,
    /// Seen only after the end of an instance whose requests had not ended.
    pub unattributed: Cost,
}

/// CPU time, and memory over time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Microseconds of CPU time.
    pub cpu_micros: u64,
    /// Mebibytes times milliseconds.
    pub memory_mib_ms: u64,
}

// === impl Explanation ===

impl Explanation {
    /// That of a function that has not been called since the server started, or not since it had nothing left.
    #[must_use]
    pub fn never_called(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            instances: Instances::default(),
            why: vec![
                "it has not been called since the server started, so nothing was made for it".to_owned(),
            ],
            scaling: None,
            templates: Vec::new(),
            history: Vec::new(),
            costs: Costs::default(),
            backing_off: Vec::new(),
            last_failure: None,
        }
    }
}

// === impl Instances ===

impl Instances {
    /// However far they are.
    #[must_use]
    pub fn all(&self) -> usize {
        self.starting + self.idle + self.busy + self.retiring
    }
}

// === impl Costs ===

impl From<Buckets> for Costs {
    fn from(buckets: Buckets) -> Self {
        let Buckets { init, requests, idle, unattributed } = buckets;
        Self {
            requests: requests.into(),
            init: init.into(),
            idle: idle.into(),
            unattributed: unattributed.into(),
        }
    }
}

impl From<Amount> for Cost {
    fn from(amount: Amount) -> Self {
        Self { cpu_micros: amount.cpu / 1_000, memory_mib_ms: mib_ms(amount.memory) }
    }
}
