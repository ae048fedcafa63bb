//! Lines of one stream that were written together, as one row: a row per line would cost more than many a
//! request. Pure: no database.
//!
//! A chunk begins with the line that gives it its id and its first time. It takes later lines of its stream
//! while they are within [`SPAN_MS`] and [`MOST_BYTES`], so that a query by time knows how far it has to look
//! and dropping old lines never rewrites much. Each line is `TIME ID REQUEST LENGTH\n` and its text, times and
//! ids counted from the chunk's own; the request is `-` for none and `=` for that of the line before.

use std::io::Write as _;
use std::mem;

use types::log::Line;
use types::request_id::RequestId;

/// How far apart the times of a chunk's lines may be.
pub(super) const SPAN_MS: i64 = 1000;
/// Bytes from which a chunk takes no further line.
const MOST_BYTES: usize = 64 * 1024;
/// What a line costs besides its text, as CloudWatch counts it.
const LINE_OVERHEAD: u64 = 26;

/// A chunk that is being filled.
#[derive(Debug)]
pub(super) struct Chunk {
    pub id: i64,
    pub first_ms: i64,
    pub last_ms: i64,
    /// What its lines count.
    pub bytes: u64,
    pub content: Vec<u8>,
    request: Option<RequestId>,
}

/// One line of a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub id: i64,
    pub timestamp_ms: i64,
    pub request: Option<&'a str>,
    pub text: &'a [u8],
}

/// The lines of a chunk's content, in the order in which they came. Ends at what is not a line.
pub(super) struct Records<'a> {
    rest: &'a [u8],
    id: i64,
    first_ms: i64,
    request: Option<&'a str>,
}

// === impl Chunk ===

impl Chunk {
    pub(super) fn new(id: i64, first_ms: i64) -> Self {
        Self { id, first_ms, last_ms: first_ms, bytes: 0, content: Vec::new(), request: None }
    }

    /// Whether a line of its stream may be added to it.
    pub(super) fn takes(&self, line: &Line) -> bool {
        let since = line.timestamp_ms.saturating_sub(self.first_ms);
        (0..=SPAN_MS).contains(&since) && self.content.len() < MOST_BYTES
    }

    /// Adds a line.
    pub(super) fn push(&mut self, id: i64, line: &Line) {
        let (time, id) = (line.timestamp_ms - self.first_ms, id - self.id);
        let again = mem::replace(&mut self.request, line.request_id) == line.request_id;
        let length = line.text.len();
        // Writing to a vector cannot fail.
        let _ = match line.request_id {
            None => writeln!(self.content, "{time} {id} - {length}"),
            Some(_) if again => writeln!(self.content, "{time} {id} = {length}"),
            Some(request) => writeln!(self.content, "{time} {id} {request} {length}"),
        };
        self.content.extend_from_slice(line.text.as_bytes());
        self.last_ms = self.last_ms.max(line.timestamp_ms);
        self.bytes = self.bytes.saturating_add(size(length));
    }
}

// === impl Records ===

impl<'a> Records<'a> {
    pub(super) fn new(content: &'a [u8], id: i64, first_ms: i64) -> Self {
        Self { rest: content, id, first_ms, request: None }
    }

    fn parse(&mut self) -> Option<Record<'a>> {
        let end = self.rest.iter().position(|byte| *byte == b'\n')?;
        let mut fields = std::str::from_utf8(self.rest.get(..end)?).ok()?.split(' ');
        let timestamp_ms = self.first_ms.checked_add(fields.next()?.parse().ok()?)?;
        let id = self.id.checked_add(fields.next()?.parse().ok()?)?;
        match fields.next()? {
            "=" => {}
            "-" => self.request = None,
            request => self.request = Some(request),
        }
        let length: usize = fields.next()?.parse().ok()?;
        let (text, rest) = self.rest.get(end + 1..)?.split_at_checked(length)?;
        self.rest = rest;
        Some(Record { id, timestamp_ms, request: self.request, text })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let record = self.parse();
        if record.is_none() {
            self.rest = &[];
        }
        record
    }
}

/// What a text of so many bytes is counted as.
pub(super) fn size(text: usize) -> u64 {
    (text as u64).saturating_add(LINE_OVERHEAD)
}

/// A chunk without its first lines, as many as it takes to give up `surplus` of what they count; `None`: all.
pub(super) fn trimmed(content: &[u8], id: i64, first_ms: i64, surplus: u64) -> Option<Chunk> {
    let mut given_up = 0;
    let mut records = Records::new(content, id, first_ms).skip_while(|record| {
        let goes = given_up < surplus;
        given_up = given_up.saturating_add(if goes { size(record.text.len()) } else { 0 });
        goes
    });
    let first = records.next()?;
    let mut chunk = Chunk::new(first.id, first.timestamp_ms);
    let mut previous = None;
    for record in std::iter::once(first).chain(records) {
        let request =
            if record.request.is_some() && record.request == previous { Some("=") } else { record.request };
        previous = record.request;
        let (time, id) = (record.timestamp_ms - chunk.first_ms, record.id - chunk.id);
        let (request, length) = (request.unwrap_or("-"), record.text.len());
        let _ = writeln!(chunk.content, "{time} {id} {request} {length}");
        chunk.content.extend_from_slice(record.text);
        chunk.bytes = chunk.bytes.saturating_add(size(length));
    }
    Some(chunk)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(timestamp_ms: i64, request_id: Option<RequestId>, text: &str) -> Line {
        let (function, stream) = ("f".into(), "s".into());
        Line { function, stream, timestamp_ms, request_id, text: text.to_owned() }
    }

    fn lines() -> impl Strategy<Value = Vec<Line>> {
        let ids = [None, Some(RequestId::new()), Some(RequestId::new())];
        let one = (0..SPAN_MS, prop::sample::select(ids.to_vec()), "[a-zé\\n =-]{0,12}");
        let one = one.prop_map(|(time, request, text)| line(1_000_000 + time, request, &text));
        prop::collection::vec(one, 1..20).prop_map(|mut lines| {
            lines.sort_by_key(|line| line.timestamp_ms);
            lines
        })
    }

    fn filled(lines: &[Line]) -> Chunk {
        let mut chunk = Chunk::new(7, lines[0].timestamp_ms);
        for (id, line) in (7..).step_by(3).zip(lines) {
            assert!(chunk.takes(line));
            chunk.push(id, line);
        }
        chunk
    }

    fn seen(chunk: &Chunk) -> Vec<(i64, i64, Option<String>, String)> {
        Records::new(&chunk.content, chunk.id, chunk.first_ms)
            .map(|record| {
                let text = String::from_utf8(record.text.to_vec()).unwrap();
                (record.id, record.timestamp_ms, record.request.map(str::to_owned), text)
            })
            .collect()
    }

    proptest! {
        #[test]
        fn gives_back_what_went_in(lines in lines()) {
            let expected: Vec<_> = (7..)
                .step_by(3)
                .zip(&lines)
                .map(|(id, line)| (id, line.timestamp_ms, line.request_id.map(|id| id.to_string()), line.text.clone()))
                .collect();
            prop_assert_eq!(seen(&filled(&lines)), expected);
        }

        #[test]
        fn trimming_gives_up_the_first_lines_and_no_more_than_it_has_to(lines in lines(), surplus in 0..800_u64) {
            let chunk = filled(&lines);
            let all = seen(&chunk);
            let left = trimmed(&chunk.content, chunk.id, chunk.first_ms, surplus);
            let kept = left.as_ref().map(seen).unwrap_or_default();
            prop_assert!(all.ends_with(&kept));
            let gone: Vec<u64> = all[..all.len() - kept.len()].iter().map(|one| size(one.3.len())).collect();
            let total: u64 = gone.iter().sum();
            prop_assert!(kept.is_empty() || total >= surplus);
            prop_assert!(gone.last().is_none_or(|last| total - last < surplus));
            prop_assert_eq!(left.map_or(0, |left| left.bytes) + total, chunk.bytes);
        }

        #[test]
        fn any_content_is_read_without_a_panic(content in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Records::new(&content, i64::MAX, i64::MAX).count();
        }
    }
}
