//! What an instance writes to its standard output and error: read without pause, cut into lines, handed
//! to the log.
//!
//! One per instance, made with its pipe, finished when all writers are gone. Invariants: the function
//! never waits for us (the pipe is large and always read, the sink never blocks); no byte is lost, except
//! that a line longer than [`LONGEST_LINE`] becomes several marked ones; what a function wrote before its
//! result is in the log before `END`, because [`Output::end`] empties the pipe first.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::net::unix::pipe::Receiver;
use types::failure::LOG_LINES;
use types::log::{Line, Sink};
use types::metering::Tier;
use types::request_id::RequestId;

/// The longest line that is kept whole, in bytes.
pub(crate) const LONGEST_LINE: usize = 64 * 1024;
/// Bytes of `LogType=Tail`.
const TAIL: usize = 4096;
/// Bytes of one remembered line in an explanation.
const RECENT_LINE: usize = 1024;
const PIPE: usize = 1024 * 1024;
const SMALL_PIPE: usize = 4096;
const READ: usize = 16 * 1024;
/// Reads of one go: a whole pipe, so that a function that never stops writing cannot hold a lock.
const READS: usize = PIPE / READ;
const CUT: &str = " [line continues]";

/// Reads one instance's output.
pub(crate) struct Output {
    pipe: Receiver,
    sink: Arc<dyn Sink>,
    function: Arc<str>,
    stream: Arc<str>,
    lines: Mutex<Lines>,
}

/// What is known of the text so far.
#[derive(Default)]
struct Lines {
    partial: Vec<u8>,
    /// In hand. A line of the program's belongs to a request where there is exactly one.
    requests: Vec<RequestId>,
    tail: VecDeque<u8>,
    recent: VecDeque<String>,
}

/// What a `REPORT` line says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Report {
    pub duration: Duration,
    pub memory_mib: u32,
    pub memory_peak_bytes: u64,
    /// Of the first request of an instance.
    pub begun: Option<Begun>,
    /// `None`: not measured.
    pub cpu_micros: Option<u64>,
    pub estimated: bool,
    pub start: Tier,
    pub queue_micros: u64,
}

/// How an instance became ready, in AWS's terms, and how long that took.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Begun {
    /// `Init Duration`.
    Started(Duration),
    /// `Restore Duration`, for a function that asks for its init to be shared.
    Restored(Duration),
}

/// How far one go of reading came.
#[derive(Debug, PartialEq, Eq)]
enum Pumped {
    Empty,
    More,
    Ended,
}

/// The reading and the writing end of a pipe for output.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    let reader = OwnedFd::from(reader);
    if let Err(error) = rustix::pipe::fcntl_setpipe_size(&reader, PIPE) {
        tracing::debug!(%error, "the output pipe stays small");
    }
    Ok((reader, writer.into()))
}

// === impl Output ===

impl Output {
    /// A reader and the descriptor for the program's side.
    pub fn pair(sink: Arc<dyn Sink>, function: &str, stream: &str) -> io::Result<(Arc<Self>, OwnedFd)> {
        let (reader, writer) = pipe()?;
        Ok((Self::of(reader, sink, function, stream)?, writer))
    }

    /// A reader of a pipe that a program has already.
    pub fn of(reader: OwnedFd, sink: Arc<dyn Sink>, function: &str, stream: &str) -> io::Result<Arc<Self>> {
        let pipe = Receiver::from_owned_fd(reader)?;
        let lines = Mutex::new(Lines::default());
        let (function, stream) = (function.into(), stream.into());
        Ok(Arc::new(Self { pipe, sink, function, stream, lines }))
    }

    /// Reads until all writers are gone.
    pub async fn run(&self) {
        while self.pipe.readable().await.is_ok() {
            // Reading through the runtime, so that it learns when the pipe is empty.
            match self.pump_with(|buffer| self.pipe.try_read(buffer)) {
                Pumped::Empty => {}
                Pumped::More => tokio::task::yield_now().await,
                Pumped::Ended => return,
            }
        }
    }

    /// Begins a request: everything from here on is its own, unless there are others.
    pub fn begin(&self, request: RequestId, version: &str) {
        self.pump();
        let mut lines = self.lines.lock();
        self.flush(&mut lines);
        if lines.requests.is_empty() {
            lines.tail.clear();
        }
        lines.requests.push(request);
        self.write(&mut lines, Some(request), format!("START RequestId: {request} Version: {version}"));
    }

    /// Ends a request, after everything that is in the pipe. Gives its last 4 KiB.
    pub fn end(&self, request: RequestId, report: &Report) -> Bytes {
        self.pump();
        let mut lines = self.lines.lock();
        self.flush(&mut lines);
        self.write(&mut lines, Some(request), format!("END RequestId: {request}"));
        self.write(&mut lines, Some(request), report.line(request));
        lines.requests.retain(|running| *running != request);
        if lines.requests.is_empty() {
            return Vec::from(std::mem::take(&mut lines.tail)).into();
        }
        let (first, second) = lines.tail.as_slices();
        [first, second].concat().into()
    }

    /// A request that began is given up without an end of its own.
    pub fn give_up(&self, request: RequestId) {
        self.lines.lock().requests.retain(|running| *running != request);
    }

    /// Gives most of the pipe's memory back, for a process that waits and says nothing: what one user may have in
    /// pipes is limited, and those that come later would get less.
    pub fn shrink(&self) {
        if let Err(error) = rustix::pipe::fcntl_setpipe_size(&self.pipe, SMALL_PIPE) {
            tracing::debug!(%error, "the output pipe stays large");
        }
    }

    /// Writes a line of the platform's own.
    pub fn note(&self, text: String) {
        let mut lines = self.lines.lock();
        let request = lines.only();
        self.write(&mut lines, request, text);
    }

    /// Takes in what the program has left in the pipe; for when it has ended.
    pub fn finish(&self) {
        self.pump();
        self.flush(&mut self.lines.lock());
    }

    /// The last lines the program wrote.
    pub fn recent(&self) -> Vec<String> {
        self.pump();
        let lines = self.lines.lock();
        let mut recent: Vec<String> = lines.recent.iter().cloned().collect();
        if !lines.partial.is_empty() {
            recent.push(shorten(&lines.partial));
            recent.drain(..recent.len().saturating_sub(LOG_LINES));
        }
        recent
    }

    /// Takes in what is in the pipe now, whether or not the runtime has heard of it yet.
    fn pump(&self) -> Pumped {
        self.pump_with(|buffer| Ok(rustix::io::read(self.pipe.as_fd(), buffer)?))
    }

    fn pump_with(&self, mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) -> Pumped {
        let mut lines = self.lines.lock();
        let mut buffer = [0; READ];
        for _ in 0..READS {
            match read(&mut buffer) {
                Ok(0) => {
                    self.flush(&mut lines);
                    return Pumped::Ended;
                }
                Ok(length) => self.take(&mut lines, buffer.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Pumped::Empty,
                Err(_) => return Pumped::Ended,
            }
        }
        Pumped::More
    }

    fn take(&self, lines: &mut Lines, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = piece.strip_suffix(b"\n");
            lines.partial.extend_from_slice(text.unwrap_or(piece));
            while lines.partial.len() > LONGEST_LINE {
                let rest = lines.partial.split_off(LONGEST_LINE);
                let line = std::mem::replace(&mut lines.partial, rest);
                self.program_line(lines, &line, CUT);
            }
            if text.is_some() {
                let line = std::mem::take(&mut lines.partial);
                self.program_line(lines, line.strip_suffix(b"\r").unwrap_or(&line), "");
            }
        }
    }

    fn flush(&self, lines: &mut Lines) {
        if !lines.partial.is_empty() {
            let line = std::mem::take(&mut lines.partial);
            self.program_line(lines, &line, "");
        }
    }

    fn program_line(&self, lines: &mut Lines, line: &[u8], mark: &str) {
        if lines.recent.len() == LOG_LINES {
            lines.recent.pop_front();
        }
        lines.recent.push_back(shorten(line));
        let request = lines.only();
        self.write(lines, request, format!("{}{mark}", String::from_utf8_lossy(line)));
    }

    fn write(&self, lines: &mut Lines, request_id: Option<RequestId>, text: String) {
        if !lines.requests.is_empty() {
            lines.tail.extend(text.as_bytes());
            lines.tail.push_back(b'\n');
            let surplus = lines.tail.len().saturating_sub(TAIL);
            lines.tail.drain(..surplus);
        }
        self.sink.write(Line {
            function: Arc::clone(&self.function),
            stream: Arc::clone(&self.stream),
            timestamp_ms: jiff::Timestamp::now().as_millisecond(),
            request_id,
            text,
        });
    }
}

// === impl Lines ===

impl Lines {
    /// The request in hand, where there is exactly one.
    fn only(&self) -> Option<RequestId> {
        match self.requests.as_slice() {
            [request] => Some(*request),
            _ => None,
        }
    }
}

// === impl Report ===

impl Report {
    fn line(&self, request: RequestId) -> String {
        let milliseconds = self.duration.as_secs_f64() * 1000.0;
        let billed = self.duration.as_nanos().div_ceil(1_000_000).max(1);
        let peak = self.memory_peak_bytes.div_ceil(types::limits::MIB);
        let mut line = format!(
            "REPORT RequestId: {request}\tDuration: {milliseconds:.2} ms\tBilled Duration: {billed} ms\t\
             Memory Size: {} MB\tMax Memory Used: {peak} MB\t",
            self.memory_mib
        );
        let milliseconds = |duration: Duration| duration.as_secs_f64() * 1000.0;
        // AWS's own fields end here; ours follow, under names that none of its own begins or ends with.
        match self.begun {
            None => Ok(()),
            Some(Begun::Started(init)) => write!(line, "Init Duration: {:.2} ms\t", milliseconds(init)),
            Some(Begun::Restored(restore)) => write!(
                line,
                "Restore Duration: {0:.2} ms\tBilled Restore Duration: {1} ms\t",
                milliseconds(restore),
                restore.as_nanos().div_ceil(1_000_000)
            ),
        }
        .and_then(|()| match (self.cpu_micros, self.estimated) {
            (None, _) => Ok(()),
            (Some(cpu), false) => write!(line, "CPU Time: {:.2} ms\t", cpu as f64 / 1000.0),
            (Some(cpu), true) => write!(line, "CPU Time: {:.2} ms (estimated)\t", cpu as f64 / 1000.0),
        })
        .and_then(|()| {
            write!(line, "Start: {}\tQueue: {:.2} ms\t", self.start, self.queue_micros as f64 / 1000.0)
        })
        // A string takes everything.
        .unwrap_or_default();
        line
    }
}

fn shorten(line: &[u8]) -> String {
    String::from_utf8_lossy(line.get(..RECENT_LINE).unwrap_or(line)).into_owned()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[derive(Default)]
    struct Kept(Mutex<Vec<Line>>);

    impl Sink for Kept {
        fn write(&self, line: Line) {
            self.0.lock().push(line);
        }
    }

    fn pair() -> (Arc<Kept>, Arc<Output>, std::fs::File) {
        let kept = Arc::new(Kept::default());
        let (output, writer) = Output::pair(kept.clone(), "hello", "stream").unwrap();
        (kept, output, writer.into())
    }

    fn report() -> Report {
        let duration = Duration::from_micros(1500);
        Report {
            duration,
            memory_mib: 128,
            memory_peak_bytes: 1,
            begun: Some(Begun::Started(Duration::from_millis(20))),
            cpu_micros: Some(1_234),
            estimated: false,
            start: Tier::Bare,
            queue_micros: 50,
        }
    }

    #[tokio::test]
    async fn what_was_written_before_the_result_is_before_the_end() {
        let (kept, output, mut program) = pair();
        let request = RequestId::new();
        program.write_all(b"of the init\n").unwrap();
        output.begin(request, "$LATEST");
        program.write_all(b"one\ntwo\r\nhalf a li").unwrap();
        let tail = String::from_utf8(output.end(request, &report()).to_vec()).unwrap();
        let lines = kept.0.lock();
        let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts[0], "of the init");
        assert_eq!(lines[0].request_id, None);
        assert_eq!(texts[1], format!("START RequestId: {request} Version: $LATEST"));
        assert_eq!(texts[2..5], ["one", "two", "half a li"]);
        assert_eq!(texts[5], format!("END RequestId: {request}"));
        let expected = "Duration: 1.50 ms\tBilled Duration: 2 ms\tMemory Size: 128 MB\tMax Memory Used: 1 MB\t\
                        Init Duration: 20.00 ms\tCPU Time: 1.23 ms\tStart: bare\tQueue: 0.05 ms\t";
        assert_eq!(texts[6], format!("REPORT RequestId: {request}\t{expected}"));
        assert!(tail.starts_with("START") && tail.contains("\nhalf a li\nEND"), "{tail}");
    }

    #[tokio::test]
    async fn of_requests_at_once_only_the_platforms_lines_are_named() {
        let (kept, output, mut program) = pair();
        let (one, two) = (RequestId::new(), RequestId::new());
        output.begin(one, "1");
        program.write_all(b"alone\n").unwrap();
        output.begin(two, "1");
        program.write_all(b"either's\n").unwrap();
        let tail = String::from_utf8(output.end(one, &report()).to_vec()).unwrap();
        assert!(tail.contains("alone") && tail.contains("either's"), "{tail}");
        program.write_all(b"the other's\n").unwrap();
        output.end(two, &report());
        program.write_all(b"nobody's\n").unwrap();
        output.finish();
        let ids: Vec<Option<RequestId>> = kept.0.lock().iter().map(|line| line.request_id).collect();
        let (one, two) = (Some(one), Some(two));
        assert_eq!(ids, [one, one, two, None, one, one, two, two, two, None]);
    }

    #[tokio::test]
    async fn long_lines_are_cut_and_nothing_is_lost() {
        let (kept, output, mut program) = pair();
        let text = "x".repeat(LONGEST_LINE + 10);
        let writer = std::thread::spawn(move || program.write_all(format!("{text}\n").as_bytes()).unwrap());
        output.run().await;
        writer.join().unwrap();
        let lines = kept.0.lock();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].text.ends_with(CUT));
        assert_eq!(lines[0].text.len() + lines[1].text.len(), LONGEST_LINE + 10 + CUT.len());
    }

    #[tokio::test]
    async fn a_torrent_never_blocks_the_writer_for_good() {
        let (kept, output, mut program) = pair();
        let count = 200_000;
        let writer = std::thread::spawn(move || {
            for number in 0..count {
                writeln!(program, "line {number}").unwrap();
            }
            program.write_all(b"\xff\xfe no newline").unwrap();
        });
        output.run().await;
        writer.join().unwrap();
        let lines = kept.0.lock();
        assert_eq!(lines.len(), count + 1);
        assert_eq!(lines[count].text, "\u{fffd}\u{fffd} no newline");
        assert_eq!(output.recent().len(), LOG_LINES);
    }
}
