//! What one sandbox uses, read by the server itself: the broker hands over the kernel's own files, open, and each
//! reading is one `pread` without a question to anybody.
//!
//! Made with the sandbox, of use until its end: then the kernel refuses the files, and a reading is `None`, as it is
//! where the host has no control groups. The files tell figures of this sandbox only, and nothing can be changed by
//! them but the peak, which [`Meter::take_peak`] forgets. No figure comes from the program.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

/// Longest part of a file that is read: the figure is at its beginning.
const LINE: usize = 64;

/// The figures of one sandbox. A cheap clone; every clone shares the peak.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    counters: Arc<RwLock<Counters>>,
}

/// What the descriptors of a meter are, in the order in which they come along.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dials {
    /// How the file of the CPU time is read.
    pub(crate) cpu: Option<Clock>,
    /// CPU time in microseconds that the file counts and the program has not used, or with a negative sign the other way.
    pub(crate) offset: i64,
    pub(crate) memory: bool,
    pub(crate) peak: Option<Peak>,
    /// Bytes that it uses and that are counted elsewhere: a forked instance's share of its ember.
    pub(crate) shared: u64,
}

/// A file with CPU time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Clock {
    /// Begins with nanoseconds: `cpuacct.usage`, `/proc/PID/schedstat`.
    Nanoseconds,
    /// Begins with `usage_usec` and microseconds: `cpu.stat`.
    Statistics,
}

/// A file with the peak of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Peak {
    /// Writing to it begins anew.
    Resettable,
    /// It only rises (version 2 before Linux 6.12).
    Rising,
}

/// Dials and their files.
#[derive(Debug, Default)]
struct Counters {
    dials: Dials,
    cpu: Option<OwnedFd>,
    memory: Option<OwnedFd>,
    peak: Option<OwnedFd>,
}

// === impl Meter ===

impl Meter {
    pub(crate) fn new(dials: Dials, files: impl Iterator<Item = OwnedFd>) -> Self {
        let meter = Self::default();
        meter.replace(dials, files);
        meter
    }

    /// Reads from other files from now on: the process has been moved to groups of its own.
    pub(crate) fn replace(&self, dials: Dials, mut files: impl Iterator<Item = OwnedFd>) {
        let mut next = |there: bool| if there { files.next() } else { None };
        let (cpu, memory, peak) = (next(dials.cpu.is_some()), next(dials.memory), next(dials.peak.is_some()));
        *self.counters.write() = Counters { dials, cpu, memory, peak };
    }

    /// CPU time in microseconds that everything inside has used since the program was started.
    ///
    /// A thread that runs at this moment is counted up to its last turn: by less than one tick of the scheduler.
    #[must_use]
    pub fn cpu_micros(&self) -> Option<u64> {
        let counters = self.counters.read();
        let mut buffer = [0; LINE];
        let text = read(counters.cpu.as_ref()?, &mut buffer)?;
        let counted = match counters.dials.cpu? {
            Clock::Nanoseconds => first_number(text)? / 1000,
            Clock::Statistics => first_number(text.strip_prefix("usage_usec ")?)?,
        };
        Some(counted.saturating_add_signed(counters.dials.offset.saturating_neg()))
    }

    /// Bytes of memory in use at this moment, the page cache of its own files included.
    #[must_use]
    pub fn memory_bytes(&self) -> Option<u64> {
        let mut buffer = [0; LINE];
        first_number(read(self.counters.read().memory.as_ref()?, &mut buffer)?)
    }

    /// Most bytes of memory at any moment since the last call, or since the start, and begins anew.
    ///
    /// Where the kernel cannot forget a peak (version 2 before Linux 6.12), since the start. Of a forked instance with what
    /// it shares with its ember, as the limit counts it; [`Self::memory_bytes`] is what it has by itself.
    #[expect(clippy::must_use_candidate, reason = "it is called for its effect, too")]
    pub fn take_peak(&self) -> Option<u64> {
        let counters = self.counters.read();
        let shared = counters.dials.shared;
        let Some(file) = counters.peak.as_ref() else { return (shared > 0).then_some(shared) };
        let mut buffer = [0; LINE];
        let peak = first_number(read(file, &mut buffer)?).map(|peak| peak.saturating_add(shared));
        if counters.dials.peak == Some(Peak::Resettable) {
            // Without it the next figure is this one again, which is not wrong.
            let _ = rustix::io::pwrite(file, b"0", 0);
        }
        peak
    }
}

/// The beginning of a file; `None` where the kernel has removed what it told of.
fn read(file: impl AsFd, buffer: &mut [u8; LINE]) -> Option<&str> {
    let length = loop {
        match rustix::io::pread(&file, &mut buffer[..], 0) {
            Ok(length) => break length,
            Err(error) if io::Error::from(error).kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    };
    std::str::from_utf8(buffer.get(..length)?).ok()
}

fn first_number(text: &str) -> Option<u64> {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use super::*;

    fn file(text: &str) -> OwnedFd {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.into()
    }

    #[test]
    fn each_kind_of_file_is_read_in_its_unit_and_without_what_was_before() {
        let with = |cpu, offset| Dials { cpu: Some(cpu), offset, memory: true, ..Dials::default() };
        let files = |text: &str| vec![file(text), file("4096\n")].into_iter();
        let meter = Meter::new(with(Clock::Nanoseconds, 500), files("2000000\n"));
        assert_eq!(
            (meter.cpu_micros(), meter.memory_bytes(), meter.take_peak()),
            (Some(1500), Some(4096), None)
        );
        meter.replace(with(Clock::Nanoseconds, 0), files("7000000 12 3\n"));
        assert_eq!(meter.cpu_micros(), Some(7000), "schedstat");
        meter.replace(with(Clock::Statistics, -10), files("usage_usec 90\nuser_usec 5\n"));
        assert_eq!(meter.cpu_micros(), Some(100), "what was used elsewhere before");
        meter.replace(with(Clock::Statistics, 0), files("something else"));
        assert_eq!(meter.cpu_micros(), None);
    }

    #[test]
    fn the_peak_of_a_forked_instance_holds_what_it_shares() {
        let peak = Dials { shared: 100, peak: Some(Peak::Rising), ..Dials::default() };
        let meter = Meter::new(peak, std::iter::once(file("23")));
        assert_eq!(meter.take_peak(), Some(123));
        meter.replace(Dials { peak: None, ..peak }, std::iter::empty());
        assert_eq!((meter.take_peak(), meter.memory_bytes()), (Some(100), None), "not placed yet");
    }

    #[test]
    fn without_files_nothing_is_known() {
        let meter = Meter::default();
        assert_eq!((meter.cpu_micros(), meter.memory_bytes(), meter.take_peak()), (None, None, None));
    }

    #[test]
    fn a_file_that_cannot_be_written_keeps_its_peak() {
        let dials = Dials { peak: Some(Peak::Resettable), ..Dials::default() };
        let read_only: OwnedFd = File::open("/proc/self/oom_score").unwrap().into();
        let meter = Meter::new(dials, std::iter::once(read_only));
        assert_eq!(meter.take_peak(), meter.take_peak());
    }
}
