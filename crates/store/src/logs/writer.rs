//! The thread that keeps lines.
//!
//! Woken by the first line, it lets others arrive for [`GATHER`], writes all in one transaction and those of
//! one stream as one row ([`chunk`]), drops a function's oldest lines where it has more than its share, and
//! waits again. A transaction for each request would cost more than many a request; a line is still read by
//! queries well within 100 ms. What cannot be
//! written (a full disk) is counted like a line that found no room, and tried again with the next batch as
//! a count only.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use tokio::sync::oneshot;
use types::log::Line;

use super::Error;
use super::chunk::{self, Chunk};
use super::queue::{Arrivals, Message};

/// Most lines that share one transaction.
const BATCH: usize = 2048;
/// How long lines may arrive before they are written together.
const GATHER: Duration = Duration::from_millis(20);
const INSERT: &str = "INSERT INTO chunks (id, function, stream, first_ms, ingested_ms, bytes, content)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

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

/// A function's oldest chunk.
struct Oldest {
    id: i64,
    stream: i64,
    first_ms: i64,
    ingested_ms: i64,
    bytes: i64,
    /// Only where not all of it goes.
    content: Option<Vec<u8>>,
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
    let first_id: i64 =
        transaction.prepare_cached("SELECT id FROM next_event")?.query_row([], |row| row.get(0))?;
    let mut next_id = first_id;
    let mut filling: HashMap<(&str, &str), (Place, Chunk)> = HashMap::new();
    for line in lines {
        let id = next_id;
        next_id += 1;
        let (place, chunk) = match filling.entry((&line.function, &line.stream)) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let place = find_place(&transaction, line, now)?;
                entry.insert((place, Chunk::new(id, line.timestamp_ms)))
            }
        };
        if !chunk.takes(line) {
            insert(&transaction, *place, chunk, now)?;
            *chunk = Chunk::new(id, line.timestamp_ms);
        }
        chunk.push(id, line);
    }
    for (place, chunk) in filling.values() {
        insert(&transaction, *place, chunk, now)?;
    }
    transaction.prepare_cached("UPDATE next_event SET id = ?1")?.execute([next_id])?;
    let functions: HashSet<i64> = filling.values().map(|(place, _)| place.function).collect();
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
        .query_row(params![&*line.function, now], |row| row.get(0))?;
    let stream = transaction
        .prepare_cached(
            "INSERT INTO streams (function, name, created_ms, first_ms, last_ms, ingested_ms)
             VALUES (?1, ?2, ?3, ?4, ?4, ?3) ON CONFLICT (function, name) DO UPDATE SET name = name
             RETURNING id",
        )?
        .query_row(params![function, &*line.stream, now, line.timestamp_ms], |row| row.get(0))?;
    Ok(Place { function, stream })
}

fn insert(transaction: &Transaction<'_>, place: Place, chunk: &Chunk, now: i64) -> rusqlite::Result<()> {
    transaction.prepare_cached(INSERT)?.execute(params![
        chunk.id,
        place.function,
        place.stream,
        chunk.first_ms,
        now,
        signed(chunk.bytes),
        chunk.content
    ])?;
    transaction
        .prepare_cached(
            "UPDATE streams SET ingested_ms = ?2, first_ms = min(first_ms, ?3), last_ms = max(last_ms, ?4)
             WHERE id = ?1",
        )?
        .execute(params![place.stream, now, chunk.first_ms, chunk.last_ms])?;
    transaction
        .prepare_cached("UPDATE functions SET bytes = bytes + ?2 WHERE id = ?1")?
        .execute(params![place.function, signed(chunk.bytes)])?;
    Ok(())
}

/// Deletes a function's oldest lines until it is back under its share, and streams that are empty then.
fn prune(transaction: &Transaction<'_>, function: i64, kept_bytes: u64) -> rusqlite::Result<()> {
    let kept = signed(kept_bytes);
    let mut bytes: i64 = transaction
        .prepare_cached("SELECT bytes FROM functions WHERE id = ?1")?
        .query_row([function], |row| row.get(0))?;
    if bytes <= kept {
        return Ok(());
    }
    // An eighth more than needed, so that not every batch has to.
    let goal = kept - kept / 8;
    while bytes > goal {
        let Some(freed) = prune_oldest(transaction, function, bytes - goal)? else { break };
        bytes -= freed;
    }
    transaction
        .prepare_cached("UPDATE functions SET bytes = max(?2, 0) WHERE id = ?1")?
        .execute([function, bytes])?;
    transaction
        .prepare_cached(
            "DELETE FROM streams WHERE function = ?1
             AND NOT EXISTS (SELECT 1 FROM chunks WHERE chunks.stream = streams.id)",
        )?
        .execute([function])?;
    Ok(())
}

/// Deletes a function's oldest chunk, or as much of it as is `surplus`; gives what was freed.
fn prune_oldest(transaction: &Transaction<'_>, function: i64, surplus: i64) -> rusqlite::Result<Option<i64>> {
    let oldest = transaction
        .prepare_cached(
            "SELECT id, stream, first_ms, ingested_ms, bytes, CASE WHEN bytes > ?2 THEN content END
             FROM chunks WHERE function = ?1 ORDER BY first_ms, id LIMIT 1",
        )?
        .query_row([function, surplus], oldest)
        .optional()?;
    let Some(Oldest { id, stream, first_ms, ingested_ms, bytes, content }) = oldest else { return Ok(None) };
    transaction.prepare_cached("DELETE FROM chunks WHERE id = ?1")?.execute([id])?;
    let content = content.unwrap_or_default();
    let Some(left) = chunk::trimmed(&content, id, first_ms, surplus.cast_unsigned()) else {
        return Ok(Some(bytes));
    };
    let left_bytes = signed(left.bytes);
    let values = params![left.id, function, stream, left.first_ms, ingested_ms, left_bytes, left.content];
    transaction.prepare_cached(INSERT)?.execute(values)?;
    Ok(Some(bytes - left_bytes))
}

fn oldest(row: &Row<'_>) -> rusqlite::Result<Oldest> {
    Ok(Oldest {
        id: row.get(0)?,
        stream: row.get(1)?,
        first_ms: row.get(2)?,
        ingested_ms: row.get(3)?,
        bytes: row.get(4)?,
        content: row.get(5)?,
    })
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn now_ms() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}
