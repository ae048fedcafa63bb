//! The limits a request or a function can run into. Defaults are AWS's where AWS has one that people
//! rely on; every error that names a limit also names the setting.

use serde::{Deserialize, Serialize};

/// One mebibyte.
pub const MIB: u64 = 1024 * 1024;

/// The server's limits; each field is a `lambent serve` option of the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of a synchronous request or response payload (`--limit-payload`; AWS: 6 MiB).
    pub payload: u64,
    /// Bytes of a zip sent inside a request (`--limit-code-zip`; AWS: 50 MiB).
    pub code_zip: u64,
    /// Bytes of the code once unpacked (`--limit-code-unzipped`; AWS: 250 MiB).
    pub code_unzipped: u64,
    /// Entries in a zip (`--limit-code-entries`); AWS has no such limit, a zip bomb does.
    pub code_entries: u64,
    /// Seconds a function may run (`--limit-timeout`; AWS: 900).
    pub timeout_seconds: u32,
    /// Seconds a function's init may take (`--limit-init`; AWS: 10).
    pub init_seconds: u32,
    /// Instances of one function that may live at once where it sets no `lambent:max-instances`
    /// (`--limit-instances`).
    pub instances: u32,
    /// Most instances of all functions that may be starting at once (`--limit-starts`); as many as the machine
    /// starts without slowing down are, which is found out.
    pub starts: u32,
    /// Seconds an ember, which instances are forked from, may live before a new one takes its place
    /// (`--limit-ember`); 0: there are none.
    pub ember_seconds: u32,
    /// Percent of the machine's memory that idle instances and embers may come to hold (`--limit-idle-memory`):
    /// above it, memory gets dearer and they stay for less time.
    pub idle_percent: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            payload: 6 * MIB,
            code_zip: 256 * MIB,
            code_unzipped: 1024 * MIB,
            code_entries: 100_000,
            timeout_seconds: 900,
            init_seconds: 30,
            instances: 100,
            starts: 64,
            ember_seconds: 3600,
            idle_percent: 60,
        }
    }
}
