//! Want of memory on this machine, as a value: what the broker has heard from the kernel and tells the server.

use serde::{Deserialize, Serialize};

/// How much processes of this machine wait for memory. All zero: none has been noticed, or the kernel cannot say (no
/// PSI).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pressure {
    /// Percent of the last ten seconds in which at least one process waited for memory; at least 10 when the kernel
    /// has just reported a tenth of a second of it within one.
    pub some_percent: f32,
    /// Percent of the last ten seconds in which all processes that had work waited for memory.
    pub full_percent: f32,
    /// Bytes that can be had without swapping, at that moment. A process that waits because of its own limit is
    /// pressure, too: with much available, ending others does not help it.
    pub available_bytes: u64,
    /// Bytes of memory of the machine; 0 where nothing has been told yet.
    pub total_bytes: u64,
}
