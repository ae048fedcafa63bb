//! What this machine has, as far as defaults follow from it. Asked at start; nothing here changes.

/// What an instance is counted as where the machine's size decides how many there may be.
const PER_INSTANCE: u64 = 128 << 20;

/// Bytes of memory, by `/proc/meminfo`.
#[must_use]
pub fn memory_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Processors that may be used.
#[must_use]
pub fn processors() -> u32 {
    std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX))
}

/// Instances of one function that may live at once where nothing is set: as many of 128 MiB, AWS's smallest, as
/// the memory holds, between 16 and 1,000.
#[must_use]
pub fn instances() -> u32 {
    let fit = memory_bytes().map_or(0, |bytes| bytes / PER_INSTANCE);
    u32::try_from(fit.clamp(16, 1_000)).unwrap_or(1_000)
}
