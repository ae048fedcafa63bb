//! The thread that keeps lines.
//!
//! Woken by the first line, it lets others arrive for [`GATHER`], writes all in one transaction, drops a
//! function's oldest lines where it has more than its share, and waits again. A transaction for each request
//! would cost more than many a request; a line is still read by queries well within 100 ms. What cannot be
//! written (a full disk) is counted like a line that found no room, and tried again with the next batch as
//! a count only.

use std::collections::{HashMap, HashSet};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use tokio::sync::oneshot;
use types::log::Line;

use super::Error;
use super::queue::{Arrivals, Message};

/// Most lines that share one transaction.
const BATCH: usize = 2048;
/// How long lines may arrive before they are written together.
const GATHER: Duration = Duration::from_millis(20);
/// What a line costs besides its text, as CloudWatch counts it.
const LINE_OVERHEAD: u64 = 26;
/// Lines deleted at a time to get back under a function's share.
const PRUNED: i64 = 4096;

/// Owns the only connection that writes.
pub(crate) struct Writer {
    connection: Connection,
    kept_bytes: u64,
    /// Whether the last batch failed: said once, not with each batch.
    failing: bool,
}

/// The rows of a stream and of its function.
#[derive(Clone, Copy)]
struct Place {
    function: i64,
    stream: i64,
}

// === impl Writer ===

impl Writer {
    pub(crate) fn new(connection: Connection, kept_bytes: u64) -> Self {
        Self { connection, kept_bytes, failing: false }
    }

    /// Works until no more can come.
    pub(crate) fn run(mut self, mut arrivals: Arrivals) {
        while let Some(first) = arrivals.wait() {
            // Who waits for a flush or a deletion is not kept waiting, and a full queue is not either.
            if matches!(first, Message::Line(_)) && arrivals.lines() < BATCH {
                thread::sleep(GATHER);
            }
            let mut lines = Vec::new();
            let mut next = Some(first);
            while let Some(message) = next {
                match message {
                    Message::Line(line) => lines.push(line),
                    Message::Dropped => {}
                    Message::Flush(done) => {
                        self.keep(&mut lines, &arrivals);
                        // Whoever asked may have gone.
                        let _ = done.send(());
                    }
                    Message::Delete(function, done) => {
                        self.keep(&mut lines, &arrivals);
                        self.delete(&function, done);
                    }
                }
                next = if lines.len() < BATCH { arrivals.poll() } else { None };
            }
            self.keep(&mut lines, &arrivals);
        }
    }

    /// Writes lines, and says what was dropped before them.
    fn keep(&mut self, lines: &mut Vec<Line>, arrivals: &Arrivals) {
        let dropped = arrivals.dropped();
        let now = now_ms();
        let notices: Vec<Line> = dropped
            .iter()
            .map(|((function, stream), count)| Line {
                function: function.clone(),
                stream: stream.clone(),
                timestamp_ms: now,
                request_id: None,
                text: format!("lambent: {count} log lines were dropped: they came faster than they are kept"),
            })
            .collect();
        if lines.is_empty() && notices.is_empty() {
            return;
        }
        match write(&mut self.connection, lines.iter().chain(&notices), now, self.kept_bytes) {
            Ok(()) => self.failing = false,
            Err(error) => {
                if !self.failing {
                    tracing::warn!(%error, "logs cannot be written: free space in the data directory");
                }
                self.failing = true;
                for ((function, stream), count) in dropped {
                    arrivals.lose(function, stream, count);
                }
                for line in lines.drain(..) {
                    arrivals.lose(line.function, line.stream, 1);
                }
            }
        }
        lines.clear();
    }

    fn delete(&mut self, function: &str, done: oneshot::Sender<Result<(), Error>>) {
        let deleted = self
            .connection
            .execute("DELETE FROM functions WHERE name = ?1", [function])
            .map(|_| ())
            .map_err(Error::from);
        // Whoever asked may have gone.
        let _ = done.send(deleted);
    }
}

fn write<'a>(
    connection: &mut Connection,
    lines: impl Iterator<Item = &'a Line>,
    now: i64,
    kept_bytes: u64,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    let mut places: HashMap<(&str, &str), Place> = HashMap::new();
    for line in lines {
        let key = (line.function.as_str(), line.stream.as_str());
        let place = match places.get(&key) {
            Some(place) => *place,
            None => *places.entry(key).or_insert(find_place(&transaction, line, now)?),
        };
        insert(&transaction, place, line, now)?;
    }
    let functions: HashSet<i64> = places.values().map(|place| place.function).collect();
    for function in functions {
        prune(&transaction, function, kept_bytes)?;
    }
    transaction.commit()
}

fn find_place(transaction: &Transaction<'_>, line: &Line, now: i64) -> rusqlite::Result<Place> {
    let function = transaction
        .prepare_cached(
            "INSERT INTO functions (name, created_ms) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET name = name RETURNING id",
        )?
        .query_row(params![line.function, now], |row| row.get(0))?;
    let stream = transaction
        .prepare_cached(
            "INSERT INTO streams (function, name, created_ms, first_ms, last_ms, ingested_ms)
             VALUES (?1, ?2, ?3, ?4, ?4, ?3) ON CONFLICT (function, name) DO UPDATE SET name = name
             RETURNING id",
        )?
        .query_row(params![function, line.stream, now, line.timestamp_ms], |row| row.get(0))?;
    Ok(Place { function, stream })
}

fn insert(transaction: &Transaction<'_>, place: Place, line: &Line, now: i64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO events (function, stream, timestamp_ms, ingested_ms, request_id, text)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            place.function,
            place.stream,
            line.timestamp_ms,
            now,
            line.request_id.map(|id| id.to_string()),
            line.text
        ])?;
    transaction
        .prepare_cached(
            "UPDATE streams SET ingested_ms = ?2, first_ms = min(first_ms, ?3), last_ms = max(last_ms, ?3)
             WHERE id = ?1",
        )?
        .execute(params![place.stream, now, line.timestamp_ms])?;
    transaction
        .prepare_cached("UPDATE functions SET bytes = bytes + ?2 WHERE id = ?1")?
        .execute(params![place.function, size(line.text.len() as u64)])?;
    Ok(())
}

/// Deletes a function's oldest lines until it is back under its share, and streams that are empty then.
fn prune(transaction: &Transaction<'_>, function: i64, kept_bytes: u64) -> rusqlite::Result<()> {
    let kept = i64::try_from(kept_bytes).unwrap_or(i64::MAX);
    let mut bytes: i64 = transaction
        .prepare_cached("SELECT bytes FROM functions WHERE id = ?1")?
        .query_row([function], |row| row.get(0))?;
    if bytes <= kept {
        return Ok(());
    }
    // An eighth more than needed, so that not every batch has to.
    let goal = kept - kept / 8;
    while bytes > goal {
        // The newest of the oldest lines that together are at least what is too much.
        let last: Option<(i64, i64)> = transaction
            .prepare_cached(
                "SELECT id, total FROM (
                     SELECT id, timestamp_ms,
                            sum(length(CAST(text AS BLOB)) + ?4) OVER (ORDER BY timestamp_ms, id) AS total,
                            row_number() OVER (ORDER BY timestamp_ms, id) AS position
                     FROM (SELECT id, timestamp_ms, text FROM events WHERE function = ?1
                           ORDER BY timestamp_ms, id LIMIT ?3))
                 WHERE total >= ?2 OR position = ?3 ORDER BY position LIMIT 1",
            )?
            .query_row(params![function, bytes - goal, PRUNED, size(0)], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((id, total)) = last else { break };
        transaction
            .prepare_cached(
                "DELETE FROM events WHERE function = ?1 AND (timestamp_ms, id) <=
                     (SELECT timestamp_ms, id FROM events WHERE id = ?2)",
            )?
            .execute([function, id])?;
        bytes -= total;
    }
    transaction
        .prepare_cached("UPDATE functions SET bytes = max(?2, 0) WHERE id = ?1")?
        .execute([function, bytes])?;
    transaction
        .prepare_cached(
            "DELETE FROM streams WHERE function = ?1
             AND NOT EXISTS (SELECT 1 FROM events WHERE events.stream = streams.id)",
        )?
        .execute([function])?;
    Ok(())
}

/// What a text of so many bytes is counted as.
fn size(text: u64) -> i64 {
    i64::try_from(text.saturating_add(LINE_OVERHEAD)).unwrap_or(i64::MAX)
}

fn now_ms() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}
