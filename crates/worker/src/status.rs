//! What the worker holds at one moment, as a value for the admin API and `lambent status`.
//! A copy: nothing here changes anything.

pub use autoscaler::explain::Explanation as Scaling;
use serde::{Deserialize, Serialize};
use types::failure::Failure;

/// Every function that has been called or is waiting to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Functions by name, in order.
    pub functions: Vec<Function>,
    /// Instances of all functions that are starting.
    pub starts_running: u32,
    /// Most that may be starting at once.
    pub starts_limit: u32,
    /// Interpreters that wait for a function that is not forked.
    #[serde(default)]
    pub standby: usize,
    /// Whether no more work is taken.
    pub draining: bool,
    /// Why no instance is forked on this host; `None`: instances are.
    #[serde(default)]
    pub no_forks: Option<String>,
}

/// One function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// Its bare name.
    pub name: String,
    /// Requests that wait for an instance.
    pub queued: usize,
    /// Instances that wait for their start or are starting.
    pub starting: usize,
    /// Most instances that may exist at once.
    pub max_instances: u32,
    /// Instances that exist.
    pub instances: Vec<Instance>,
    /// Instances that were forked in advance and that no request has had; not among `instances`.
    #[serde(default)]
    pub spares: usize,
    /// Versions whose init keeps failing.
    pub backing_off: Vec<BackingOff>,
    /// What its versions' instances are forked from, or why they are not.
    #[serde(default)]
    pub templates: Vec<Template>,
    /// Why it has the instances that it has.
    #[serde(default)]
    pub scaling: Option<Scaling>,
    /// The last thing that went wrong.
    pub last_failure: Option<Failure>,
}

/// One instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Its id: the last part of its log stream's name.
    pub id: String,
    /// The sandbox's name, as in the cgroup's; empty while it is being made.
    pub sandbox: String,
    /// The version it runs.
    pub version: String,
    /// Where it is in its life.
    pub state: State,
    /// How it is spoken to: `frames`, `http` or `runtime-api`.
    pub protocol: String,
    /// Milliseconds since its start began.
    pub age_ms: u64,
    /// Milliseconds since it became free, where it is idle.
    pub idle_ms: Option<u64>,
    /// Requests it has been given.
    pub requests: u64,
}

/// Where an instance is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its sandbox is being made or its init runs.
    Starting,
    /// It is free.
    Idle,
    /// It handles a request.
    Busy,
    /// It is on its way out.
    Retiring,
}

/// Whether a version has an ember: a process that has run its init and that instances are forked from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// The version.
    pub version: String,
    /// Where its ember is in its life.
    pub state: TemplateState,
    /// Milliseconds since it has been that.
    pub since_ms: u64,
    /// Why there is none, a sentence each.
    pub reasons: Vec<String>,
    /// The sandbox's name, as in the cgroup's; empty where there is none.
    pub sandbox: String,
    /// Instances that were forked from it and live.
    pub instances: u32,
    /// Instances that were ever forked from it.
    pub forks: u64,
    /// Bytes it uses, as of the last look.
    pub memory_bytes: u64,
    /// Milliseconds since its last instance ended, where none lives.
    pub idle_ms: Option<u64>,
}

/// Where an ember is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TemplateState {
    /// Its init runs.
    Making,
    /// It can be forked.
    Alive,
    /// Its version does without.
    Refused,
    /// There was one.
    Gone,
}

/// A version whose init keeps failing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackingOff {
    /// The version.
    pub version: String,
    /// Rounds of starts that failed.
    pub rounds: u32,
    /// Milliseconds until the next attempt.
    pub retry_after_ms: u64,
}

// === impl Template ===

impl Template {
    /// That of a version that does without one.
    #[must_use]
    pub fn refused(version: String, why: String) -> Self {
        Self {
            version,
            state: TemplateState::Refused,
            since_ms: 0,
            reasons: vec![why],
            sandbox: String::new(),
            instances: 0,
            forks: 0,
            memory_bytes: 0,
            idle_ms: None,
        }
    }
}
