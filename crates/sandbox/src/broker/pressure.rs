//! Want of memory on this machine, as the kernel sees it (PSI): watched here, because the confined server cannot open
//! the file, and told to the server.
//!
//! A trigger wakes the broker when processes have waited for memory for a tenth of a second out of one; from then on it
//! looks again every two seconds, which is how often the kernel computes its averages, and tells what it finds, until
//! nothing is left of it. On a calm machine nothing runs. Where the kernel has no PSI nothing is ever told.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};

use super::serve::Broker;
use super::watch::{Kind, Watch, Watched};
use crate::pressure::Pressure;
use crate::protocol::Event;

const FILE: &str = "/proc/pressure/memory";

/// Stalled microseconds out of a window. Without privilege the window must be two seconds.
const TRIGGERS: [&[u8]; 2] = [b"some 100000 1000000\0", b"some 200000 2000000\0"];

/// What a trigger that fires says of the moment; averages follow later.
const TRIGGERED: f32 = 10.0;

/// How often it is looked again while there is some.
const AGAIN: Duration = Duration::from_secs(2);

/// Below this percentage there is none.
const CALM: f32 = 0.5;

/// The kernel's file, with our trigger in it.
#[derive(Debug)]
pub(super) struct Gauge {
    file: Watched,
    /// When to look again.
    next: Option<Instant>,
}

// === impl Gauge ===

impl Gauge {
    /// None where the kernel has none, or lets nobody but its owner set a trigger.
    pub(super) fn open(watch: &Watch) -> Option<Self> {
        let file = TRIGGERS.iter().find_map(|trigger| triggered(trigger).ok())?;
        let file = watch.add_urgent(file, 0, Kind::Pressure).ok()?;
        Some(Self { file, next: None })
    }

    pub(super) fn due_in(&self, now: Instant) -> Option<Duration> {
        Some(self.next?.saturating_duration_since(now))
    }

    /// What the averages say.
    fn read(&self) -> Option<Pressure> {
        let mut buffer = [0; 256];
        let length = rustix::io::pread(&self.file, &mut buffer, 0).ok()?;
        let text = std::str::from_utf8(buffer.get(..length)?).ok()?;
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Some(Pressure {
            some_percent: average(text, "some")?,
            full_percent: average(text, "full")?,
            available_bytes: kilobytes(&memory, "MemAvailable:").unwrap_or_default() << 10,
            total_bytes: kilobytes(&memory, "MemTotal:").unwrap_or_default() << 10,
        })
    }
}

// === impl Broker ===

impl Broker {
    /// The trigger has fired.
    pub(super) fn pressed(&mut self) {
        let Some(mut pressure) = self.gauge.as_ref().and_then(Gauge::read) else { return };
        pressure.some_percent = pressure.some_percent.max(TRIGGERED);
        self.tell_pressure(pressure);
    }

    /// Looks again, if it is time.
    pub(super) fn look_at_pressure(&mut self) {
        let due = self.gauge.as_ref().and_then(|gauge| gauge.due_in(Instant::now()));
        if due == Some(Duration::ZERO)
            && let Some(pressure) = self.gauge.as_ref().and_then(Gauge::read)
        {
            self.tell_pressure(pressure);
        }
    }

    fn tell_pressure(&mut self, pressure: Pressure) {
        if let Some(gauge) = &mut self.gauge {
            gauge.next = (pressure.some_percent >= CALM).then(|| Instant::now() + AGAIN);
        }
        self.tell(&Event::Pressure { pressure }, Vec::new());
    }
}

fn triggered(trigger: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(FILE, flags, Mode::empty())?;
    rustix::io::write(file.as_fd(), trigger)?;
    Ok(file)
}

/// `some avg10=1.23 avg60=...`: the percentage over the last ten seconds.
fn average(text: &str, kind: &str) -> Option<f32> {
    let line = text.lines().find_map(|line| line.strip_prefix(kind)?.strip_prefix(" avg10="))?;
    line.split(' ').next()?.parse().ok()
}

fn kilobytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_read() {
        let text = "some avg10=1.25 avg60=0.50 avg300=0.10 total=10139502\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=2";
        assert_eq!((average(text, "some"), average(text, "full")), (Some(1.25), Some(0.0)));
        assert_eq!(average("", "some"), None);
        let memory = "MemTotal:       24683724 kB\nMemFree:        22000000 kB\n";
        assert_eq!(
            (kilobytes(memory, "MemTotal:"), kilobytes(memory, "SwapFree:")),
            (Some(24_683_724), None)
        );
    }
}
