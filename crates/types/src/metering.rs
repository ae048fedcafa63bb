//! What the platform says of how an instance came to be and of what a request cost: the words that the worker
//! measures with and that logs, headers and commands show. Values only; nothing is measured here.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a request found: the warmest thing there was to run it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// An instance that had served before.
    Warm,
    /// An instance forked in advance, placed and frozen.
    Spare,
    /// A fork of the function's ember, which has run its init.
    Ember,
    /// A prepared sandbox with a running interpreter that did not know the function yet.
    Standby,
    /// Nothing of the function or its language.
    Bare,
}

/// How an instance came to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Start {
    /// From what it was made; never [`Tier::Warm`].
    pub tier: Tier,
    /// Why nothing warmer was there, as a sentence for people; empty where there is nothing to explain.
    pub why: String,
    /// What the start consisted of, in order; together they are the time from the decision to readiness.
    pub phases: Vec<Phase>,
}

/// One part of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Phase {
    /// A short name, the same in every start: `sandbox`, `init`, `fork`.
    pub name: &'static str,
    /// How long it took, in microseconds.
    pub micros: u64,
}

// === impl Tier ===

impl Tier {
    /// The word for it, as in the header `x-lambent-start`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warm => "warm",
            Self::Spare => "spare",
            Self::Ember => "ember",
            Self::Standby => "standby",
            Self::Bare => "bare",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

// === impl Start ===

impl Start {
    /// How long the start took.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::from_micros(self.phases.iter().map(|phase| phase.micros).sum())
    }
}
