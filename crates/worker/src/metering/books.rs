//! One instance's books: its meter, its ledger, and when to look.
//!
//! Made when the instance is ready, closed when it is gone. A look costs a few microseconds, and the way of a
//! warm request is short, so two are left out where they would say nothing: the one at the beginning of a
//! request that follows another within [`SOON`] (what an instance does after it has answered is then counted
//! to the next), and memory, for requests under [`WORTH_ASKING`] that come sooner than that after the last.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use types::metering::Start;

use super::ledger::{Amount, Buckets, Entry, Ledger, Look, Share};
use super::meter::Meter;
use super::record::Origin;

/// A request that begins so soon after the last begins where that ended.
const SOON: Duration = Duration::from_millis(1);
/// How old a look at memory may be.
const WORTH_ASKING: Duration = Duration::from_millis(5);

/// One instance's books.
pub(crate) struct Books {
    /// What its requests have in common.
    pub origin: Arc<Origin>,
    meter: Box<dyn Meter>,
    made: Instant,
    used: AtomicBool,
    inner: Mutex<Inner>,
}

struct Inner {
    ledger: Ledger,
    measured: bool,
    looked: Instant,
    memory_looked: Option<Instant>,
    /// The most memory between the last two looks at it.
    peak: Option<u64>,
    /// The most memory ever.
    highest: u64,
    closed: bool,
}

/// A request that runs.
#[derive(Debug)]
pub(crate) struct Open(Entry);

/// What a request used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Used {
    /// Microseconds of CPU time; `None`: not measured on this host.
    pub cpu_micros: Option<u64>,
    /// The most memory of the instance meanwhile, in bytes.
    pub memory_peak: Option<u64>,
    /// The most memory the instance has ever used, in bytes.
    pub memory_highest: u64,
    /// Memory over time, in bytes times microseconds.
    pub memory_area: u128,
    /// Whether it is a part of what several requests used together.
    pub estimated: bool,
}

// === impl Books ===

impl Books {
    /// Opens the books of an instance that has just become ready.
    pub fn new(meter: Box<dyn Meter>, origin: Origin) -> Self {
        let look = Look { cpu: nanos(meter.cpu_micros()), memory: meter.memory_bytes() };
        let starting = origin.start.as_deref().map(Start::duration).unwrap_or_default();
        let made = origin.ready.checked_sub(starting).unwrap_or(origin.ready);
        let ledger = Ledger::new(micros(starting), look);
        let highest = meter.take_peak().or(look.memory).unwrap_or(0);
        let inner = Inner {
            ledger,
            measured: look.cpu.is_some(),
            looked: Instant::now(),
            memory_looked: None,
            peak: None,
            highest,
            closed: false,
        };
        let (origin, used) = (Arc::new(origin), AtomicBool::new(false));
        Self { origin, meter, made, used, inner: Mutex::new(inner) }
    }

    /// A request begins.
    pub fn begin(&self, now: Instant) -> Open {
        let mut inner = self.inner.lock();
        let look = if inner.ledger.is_idle() && now.duration_since(inner.looked) < SOON {
            Look::default()
        } else {
            inner.looked = now;
            let memory = self.look_at_memory(&mut inner, now, Duration::ZERO);
            Look { cpu: nanos(self.meter.cpu_micros()), memory }
        };
        let at = self.at(now);
        Open(inner.ledger.begin(at, look))
    }

    /// Whether this is the instance's first request, for the first who asks.
    pub fn first_use(&self) -> bool {
        !self.used.swap(true, Ordering::Relaxed)
    }

    /// It ends. A request that has run has used some CPU time: `None` says that none shows yet, because the
    /// kernel has not added it up; another moment is to be given to it.
    pub fn try_end(&self, open: &Open, took: Duration) -> Option<Used> {
        let mut inner = self.inner.lock();
        let now = Instant::now();
        let cpu = nanos(self.meter.cpu_micros());
        if inner.ledger.has_one() && cpu.is_some_and(|cpu| cpu <= inner.ledger.cpu()) {
            return None;
        }
        let look = Look { cpu, memory: self.look_at_memory(&mut inner, now, took) };
        Some(self.finish(&mut inner, open, now, look))
    }

    /// It ends, whatever the meter says. `last` is what the kernel said of an instance that is gone, in
    /// microseconds of CPU time.
    pub fn end(&self, open: &Open, took: Duration, last: Option<u64>) -> Used {
        let mut inner = self.inner.lock();
        let now = Instant::now();
        let cpu = nanos(self.meter.cpu_micros().or(last));
        let look = Look { cpu, memory: self.look_at_memory(&mut inner, now, took) };
        let used = self.finish(&mut inner, open, now, look);
        // A request that has run has used something: nothing is no figure.
        Used { cpu_micros: used.cpu_micros.filter(|cpu| *cpu > 0), ..used }
    }

    fn finish(&self, inner: &mut Inner, open: &Open, now: Instant, look: Look) -> Used {
        inner.looked = now;
        let at = self.at(now);
        let Share { used: Amount { cpu, memory }, estimated } = inner.ledger.end(&open.0, at, look);
        Used {
            cpu_micros: inner.measured.then_some(cpu / 1_000),
            memory_peak: inner.peak,
            memory_highest: inner.highest,
            memory_area: memory,
            estimated,
        }
    }

    /// The instance is gone; `cpu_micros` is what the kernel said in the end. Gives what it has cost.
    pub fn close(&self, cpu_micros: u64) -> Buckets {
        let mut inner = self.inner.lock();
        inner.closed = true;
        let measured = inner.measured;
        inner.ledger.close(nanos(Some(cpu_micros)).filter(|_| measured));
        inner.ledger.buckets()
    }

    /// What it has cost until now; `None` once it is closed.
    pub fn buckets(&self) -> Option<Buckets> {
        let mut inner = self.inner.lock();
        if inner.closed {
            return None;
        }
        let now = Instant::now();
        let look = Look { cpu: nanos(self.meter.cpu_micros()), memory: self.meter.memory_bytes() };
        let at = self.at(now);
        inner.ledger.advance(at, look);
        Some(inner.ledger.buckets())
    }

    /// Memory, unless there is a figure that is fresh enough for a request that took so long.
    fn look_at_memory(&self, inner: &mut Inner, now: Instant, took: Duration) -> Option<u64> {
        let looked = inner.memory_looked;
        let age = looked.map(|looked| now.saturating_duration_since(looked));
        if took < WORTH_ASKING && age.is_some_and(|age| age < WORTH_ASKING) {
            return None;
        }
        let memory = self.meter.memory_bytes();
        inner.memory_looked = Some(now);
        inner.peak = self.meter.take_peak().max(memory);
        inner.highest = inner.highest.max(inner.peak.unwrap_or(0));
        memory
    }

    fn at(&self, now: Instant) -> u64 {
        micros(now.saturating_duration_since(self.made))
    }
}

fn nanos(micros: Option<u64>) -> Option<u64> {
    micros.map(|micros| micros.saturating_mul(1_000))
}

fn micros(duration: Duration) -> u64 {
    duration.as_micros().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[derive(Default)]
    struct Fake {
        cpu: AtomicU64,
        memory: AtomicU64,
        peak: AtomicU64,
        looks: AtomicU64,
    }

    impl Meter for Arc<Fake> {
        fn cpu_micros(&self) -> Option<u64> {
            self.looks.fetch_add(1, Ordering::Relaxed);
            Some(self.cpu.load(Ordering::Relaxed))
        }

        fn memory_bytes(&self) -> Option<u64> {
            Some(self.memory.load(Ordering::Relaxed))
        }

        fn take_peak(&self) -> Option<u64> {
            Some(self.peak.swap(self.memory.load(Ordering::Relaxed), Ordering::Relaxed))
        }
    }

    fn origin() -> Origin {
        let (function, version, instance) = ("f".to_owned(), "1".to_owned(), "i".to_owned());
        Origin { function, version, instance, start: None, ready: Instant::now() }
    }

    fn set(figure: &AtomicU64, value: u64) {
        figure.store(value, Ordering::Relaxed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_what_the_meter_moved_while_it_ran() {
        let fake = Arc::new(Fake::default());
        set(&fake.cpu, 50_000);
        set(&fake.memory, 1 << 20);
        set(&fake.peak, 9 << 20);
        let books = Books::new(Box::new(Arc::clone(&fake)), origin());
        assert!(books.first_use() && !books.first_use());
        tokio::time::advance(Duration::from_secs(1)).await;
        set(&fake.cpu, 50_500);
        let open = books.begin(Instant::now());
        assert_eq!(books.try_end(&open, Duration::from_micros(9)), None, "nothing shows yet");
        set(&fake.cpu, 250_500);
        set(&fake.peak, 5 << 20);
        let took = Duration::from_millis(200);
        tokio::time::advance(took).await;
        let used = books.try_end(&open, took).unwrap();
        assert_eq!((used.cpu_micros, used.estimated), (Some(200_000), false));
        assert_eq!((used.memory_peak, used.memory_highest), (Some(5 << 20), 9 << 20));
        assert_eq!(used.memory_area, 200_000 << 20);
        let buckets = books.close(250_600);
        assert_eq!(
            [buckets.init.cpu, buckets.requests.cpu, buckets.idle.cpu, buckets.unattributed.cpu],
            [50_000_000, 200_000_000, 600_000, 0]
        );
        assert_eq!(books.buckets(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_right_after_another_costs_one_look() {
        let fake = Arc::new(Fake::default());
        let books = Books::new(Box::new(Arc::clone(&fake)), origin());
        let begun = fake.looks.load(Ordering::Relaxed);
        for round in 1..=100 {
            let open = books.begin(Instant::now());
            set(&fake.cpu, round * 100);
            tokio::time::advance(Duration::from_micros(150)).await;
            let used = books.try_end(&open, Duration::from_micros(150)).unwrap();
            assert_eq!(used.cpu_micros, Some(100));
            tokio::time::advance(Duration::from_micros(50)).await;
        }
        assert_eq!(fake.looks.load(Ordering::Relaxed) - begun, 100);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_no_figure_but_a_part_of_something_is() {
        let fake = Arc::new(Fake::default());
        let books = Books::new(Box::new(Arc::clone(&fake)), origin());
        let (one, two) = (books.begin(Instant::now()), books.begin(Instant::now()));
        set(&fake.cpu, 100);
        let took = Duration::from_micros(100);
        let used = books.try_end(&one, took).unwrap();
        assert_eq!((used.cpu_micros, used.estimated), (Some(50), true));
        assert_eq!(books.try_end(&two, took), None, "nothing since then, and it is alone");
        assert_eq!(books.end(&two, took, None).cpu_micros, Some(50), "its part of before");
        let three = books.begin(Instant::now());
        assert_eq!(books.end(&three, took, None).cpu_micros, None);
    }

    #[test]
    fn what_is_not_measured_is_not_said() {
        let books = Books::new(Box::new(sandbox::meter::Meter::default()), origin());
        let open = books.begin(Instant::now());
        let used = books.end(&open, Duration::from_secs(1), None);
        assert_eq!((used.cpu_micros, used.memory_peak), (None, None));
        assert_eq!(books.close(5).unattributed.cpu, 0);
    }
}
