//! Where figures come from: files of the kernel's, read by the server itself.
//!
//! The broker opens them when it makes a sandbox and hands them over, so that a look is a system call or
//! two and no question to another process.

/// One instance's figures. Each is `None` where this host has none.
pub(crate) trait Meter: Send + Sync {
    /// CPU time of everything inside since the instance was made, in microseconds.
    fn cpu_micros(&self) -> Option<u64>;
    /// Memory in use at this moment, in bytes.
    fn memory_bytes(&self) -> Option<u64>;
    /// The most memory in use since this was last asked, in bytes.
    fn take_peak(&self) -> Option<u64>;
}

// === impl Meter ===

impl Meter for sandbox::meter::Meter {
    fn cpu_micros(&self) -> Option<u64> {
        Self::cpu_micros(self)
    }

    fn memory_bytes(&self) -> Option<u64> {
        Self::memory_bytes(self)
    }

    fn take_peak(&self) -> Option<u64> {
        Self::take_peak(self)
    }
}
