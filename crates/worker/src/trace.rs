//! The timeline of one request, as a value for the admin API and `lambent trace`. A copy.

use serde::{Deserialize, Serialize};
use types::metering::Tier;

/// How many requests a server remembers.
pub const KEPT: usize = crate::metering::KEPT;

/// What is known of one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// Its id.
    pub request_id: String,
    /// The function's name.
    pub function: String,
    /// The version that ran, or was to run.
    pub version: String,
    /// The instance's id; empty where it got none.
    pub instance: String,
    /// `ok`, the kind of its failure, or why it was not run.
    pub ending: String,
    /// When it came, in UTC.
    pub arrived: String,
    /// What it found; `None`: it got no instance.
    pub start: Option<Tier>,
    /// Why nothing warmer was there; empty where there is nothing to explain.
    pub why: String,
    /// What it spent its time on, in order. Together they are `wall_micros`, but for a few microseconds of
    /// rounding.
    pub spans: Vec<Span>,
    /// From its arrival until its instance was free again, in microseconds.
    pub wall_micros: u64,
    /// CPU time of the instance for it, in microseconds; `None`: not measured.
    pub cpu_micros: Option<u64>,
    /// The most memory of the instance meanwhile, in bytes.
    pub memory_peak_bytes: Option<u64>,
    /// Memory over time, in MiB times milliseconds.
    pub memory_mib_ms: Option<u64>,
    /// Whether CPU and memory are its part of what several requests used together.
    pub estimated: bool,
    /// Bytes of the request's payload or body.
    pub bytes_in: u64,
    /// Bytes of the answer's payload or body.
    pub bytes_out: u64,
}

/// One stretch of a request's time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// `receive`, `queue`, a phase of a start, `assign`, `run` or `after`.
    pub name: String,
    /// How long, in microseconds.
    pub micros: u64,
}
