//! Finding lines again: groups, streams and events, page by page.
//!
//! Events are ordered by time and, within a millisecond, by arrival. A page ends with a token from which
//! the next one goes on; lines that arrive or are pruned in between do not shift it.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::str::FromStr;

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};
use serde::{Deserialize, Serialize};

use super::chunk::{Record, Records, SPAN_MS};
use super::{Error, Logs, Pattern};

/// Where a query goes on: beyond the event at this time with this id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// The event's time.
    pub timestamp_ms: i64,
    /// The event's id.
    pub id: i64,
}

/// Where a query for streams goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamCursor {
    last_ms: i64,
    name: String,
}

/// From which end a query begins. Pages of events are in ascending order either way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// From the oldest on.
    #[default]
    Oldest,
    /// From the newest back.
    Newest,
}

/// Which events are asked for.
#[derive(Debug, Clone, Default)]
pub struct EventQuery {
    /// The function's bare name.
    pub function: String,
    /// Only these streams; empty: all.
    pub streams: Vec<String>,
    /// Only streams whose name begins so.
    pub stream_prefix: Option<String>,
    /// Only from this time on, in milliseconds since the epoch.
    pub start_ms: Option<i64>,
    /// Only before this time.
    pub end_ms: Option<i64>,
    /// Only lines that match.
    pub pattern: Pattern,
    /// From which end.
    pub order: Order,
    /// Only beyond this, seen in the order's direction.
    pub after: Option<Cursor>,
    /// Most events of a page.
    pub limit: usize,
}

/// Which streams are asked for.
#[derive(Debug, Clone, Default)]
pub struct StreamQuery {
    /// The function's bare name.
    pub function: String,
    /// Only streams whose name begins so.
    pub prefix: Option<String>,
    /// By the time of their last event instead of by name.
    pub by_last_event: bool,
    /// The other way round.
    pub descending: bool,
    /// Only beyond this, seen in the order's direction.
    pub after: Option<StreamCursor>,
    /// Most streams of a page.
    pub limit: usize,
}

/// One page of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// What was found.
    pub items: Vec<T>,
    /// The text of the cursor at which the next page begins; `None` after the last.
    pub next: Option<String>,
}

/// One line that was kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its id: rises with arrival, is never used twice.
    pub id: i64,
    /// When it was written, in milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// When it was kept.
    pub ingested_ms: i64,
    /// Its stream.
    pub stream: String,
    /// The request it was written for, where there was exactly one.
    pub request_id: Option<String>,
    /// The text.
    pub text: String,
}

/// One stream: the lines of one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// Its name.
    pub name: String,
    /// When it was first written to.
    pub created_ms: i64,
    /// The time of its first event.
    pub first_ms: i64,
    /// The time of its last event.
    pub last_ms: i64,
    /// When it was last written to.
    pub ingested_ms: i64,
}

/// One function's lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The function's bare name.
    pub function: String,
    /// When its first line was kept.
    pub created_ms: i64,
    /// Bytes of all its lines, with 26 for each as CloudWatch counts.
    pub stored_bytes: u64,
}

/// A page of events that is being put together.
#[derive(Default)]
struct Found {
    limit: usize,
    order: Order,
    /// Events whose turn may not have come.
    waiting: BTreeMap<Cursor, Event>,
    items: Vec<Event>,
    next: Option<String>,
}

// === impl Cursor ===

impl fmt::Display for Cursor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.timestamp_ms, self.id)
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refused = || Error::Token(text.to_owned());
        let (timestamp_ms, id) = text.split_once(':').ok_or_else(refused)?;
        Ok(Self {
            timestamp_ms: timestamp_ms.parse().map_err(|_| refused())?,
            id: id.parse().map_err(|_| refused())?,
        })
    }
}

// === impl StreamCursor ===

impl StreamCursor {
    fn key(&self) -> (i64, &str) {
        (self.last_ms, &self.name)
    }
}

impl fmt::Display for StreamCursor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.last_ms, self.name)
    }
}

impl FromStr for StreamCursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refused = || Error::Token(text.to_owned());
        let (last_ms, name) = text.split_once(':').ok_or_else(refused)?;
        Ok(Self { last_ms: last_ms.parse().map_err(|_| refused())?, name: name.to_owned() })
    }
}

// === impl Event ===

impl Event {
    /// Where a query goes on beyond this event.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor { timestamp_ms: self.timestamp_ms, id: self.id }
    }
}

// === impl EventQuery ===

impl EventQuery {
    /// The statement and its values: chunks that may hold such events, in the order of their first line. A
    /// single stream has an index of its own.
    fn statement(&self) -> (String, Vec<Value>) {
        let (mut from, mut before) = (self.start_ms.unwrap_or(i64::MIN), self.end_ms.unwrap_or(i64::MAX));
        let direction = match self.order {
            Order::Oldest => {
                from = from.max(self.after.map_or(i64::MIN, |after| after.timestamp_ms));
                "ASC"
            }
            Order::Newest => {
                let after = self.after.map_or(i64::MAX, |after| after.timestamp_ms);
                before = before.min(after.saturating_add(1));
                "DESC"
            }
        };
        let mut values: Vec<Value> =
            vec![self.function.clone().into(), from.saturating_sub(SPAN_MS).into(), before.into()];
        let whose = match self.streams.as_slice() {
            [stream] => {
                values.push(stream.clone().into());
                "chunks.stream = (SELECT streams.id FROM streams JOIN functions ON functions.id = function
                     WHERE functions.name = ?1 AND streams.name = ?4)"
            }
            _ => "chunks.function = (SELECT id FROM functions WHERE name = ?1)",
        };
        let statement = format!(
            "SELECT chunks.id, chunks.first_ms, chunks.ingested_ms, streams.name, content
             FROM chunks JOIN streams ON streams.id = chunks.stream
             WHERE {whose} AND chunks.first_ms >= ?2 AND chunks.first_ms < ?3
             ORDER BY chunks.first_ms {direction}, chunks.id {direction}"
        );
        (statement, values)
    }

    /// Chunks overlap in time: an event is next once no later chunk can hold one before it.
    fn run(&self, connection: &Connection) -> rusqlite::Result<Page<Event>> {
        let streams: HashSet<&str> = self.streams.iter().map(String::as_str).collect();
        let (statement, values) = self.statement();
        let mut statement = connection.prepare_cached(&statement)?;
        let mut rows = statement.query(params_from_iter(values))?;
        let mut found = Found { limit: self.limit, order: self.order, ..Found::default() };
        while let Some(row) = rows.next()? {
            let (id, first_ms): (i64, i64) = (row.get(0)?, row.get(1)?);
            if found.release(Some(first_ms)) {
                break;
            }
            let (ingested_ms, stream): (i64, String) = (row.get(2)?, row.get(3)?);
            let of_stream = (streams.is_empty() || streams.contains(stream.as_str()))
                && self.stream_prefix.as_ref().is_none_or(|prefix| stream.starts_with(prefix));
            if !of_stream {
                continue;
            }
            let records = Records::new(row.get_ref(4)?.as_blob()?, id, first_ms);
            for record in records.filter(|record| self.is_within(record)) {
                let text = String::from_utf8_lossy(record.text);
                if self.pattern.matches(&text) {
                    found.add(Event {
                        id: record.id,
                        timestamp_ms: record.timestamp_ms,
                        ingested_ms,
                        stream: stream.clone(),
                        request_id: record.request.map(str::to_owned),
                        text: text.into_owned(),
                    });
                }
            }
        }
        found.release(None);
        Ok(found.page())
    }

    fn is_within(&self, record: &Record<'_>) -> bool {
        let cursor = Cursor { timestamp_ms: record.timestamp_ms, id: record.id };
        let beyond = self.after.is_none_or(|after| match self.order {
            Order::Oldest => cursor > after,
            Order::Newest => cursor < after,
        });
        beyond
            && self.start_ms.is_none_or(|start| record.timestamp_ms >= start)
            && self.end_ms.is_none_or(|end| record.timestamp_ms < end)
    }
}

// === impl Found ===

impl Found {
    fn add(&mut self, event: Event) {
        self.waiting.insert(event.cursor(), event);
    }

    /// Takes over what no chunk that begins at `next_ms` or beyond can come before; all without one.
    /// Whether the page is full.
    fn release(&mut self, next_ms: Option<i64>) -> bool {
        while self.next.is_none() {
            let first = match self.order {
                Order::Oldest => self.waiting.first_entry(),
                Order::Newest => self.waiting.last_entry(),
            };
            let Some(first) = first else { break };
            let time = first.key().timestamp_ms;
            let is_next = next_ms.is_none_or(|next| match self.order {
                Order::Oldest => time < next,
                Order::Newest => time > next.saturating_add(SPAN_MS),
            });
            if !is_next {
                break;
            }
            if self.items.len() >= self.limit {
                self.next = self.items.last().map(|last| last.cursor().to_string());
                break;
            }
            self.items.push(first.remove());
        }
        self.next.is_some() || (self.limit == 0 && !self.waiting.is_empty())
    }

    fn page(mut self) -> Page<Event> {
        if self.order == Order::Newest {
            self.items.reverse();
        }
        Page { items: self.items, next: self.next }
    }
}

// === impl StreamQuery ===

impl StreamQuery {
    fn run(&self, connection: &Connection) -> rusqlite::Result<Page<Stream>> {
        let prefix = self.prefix.as_deref().unwrap_or("");
        let mut streams = connection
            .prepare_cached(
                "SELECT streams.name, streams.created_ms, first_ms, last_ms, ingested_ms
                 FROM streams JOIN functions ON functions.id = function
                 WHERE functions.name = ?1 AND streams.name >= ?2 ORDER BY streams.name",
            )?
            .query_map([self.function.as_str(), prefix], stream)?
            .take_while(|found| found.as_ref().map_or(true, |found| found.name.starts_with(prefix)))
            .collect::<rusqlite::Result<Vec<Stream>>>()?;
        streams.sort_by(|one, other| self.key(one).cmp(&self.key(other)));
        if self.descending {
            streams.reverse();
        }
        // By key, not by position: the stream the last page ended with may be gone.
        let shown = |stream: &Stream| match &self.after {
            Some(after) if self.descending => self.key(stream) >= after.key(),
            Some(after) => self.key(stream) <= after.key(),
            None => false,
        };
        let mut left = streams.into_iter().skip_while(shown);
        let items: Vec<Stream> = left.by_ref().take(self.limit).collect();
        let next = left.next().and(items.last()).map(|last| {
            let (last_ms, name) = self.key(last);
            StreamCursor { last_ms, name: name.to_owned() }.to_string()
        });
        Ok(Page { items, next })
    }

    /// What streams are ordered by.
    fn key<'a>(&self, stream: &'a Stream) -> (i64, &'a str) {
        (if self.by_last_event { stream.last_ms } else { 0 }, &stream.name)
    }
}

// === impl Logs ===

impl Logs {
    /// One page of a function's events.
    ///
    /// # Errors
    /// [`Error::Storage`] when the database cannot be read.
    pub async fn events(&self, query: EventQuery) -> Result<Page<Event>, Error> {
        self.read(move |connection| query.run(connection)).await
    }

    /// One page of a function's streams.
    ///
    /// # Errors
    /// [`Error::Storage`] when the database cannot be read.
    pub async fn streams(&self, query: StreamQuery) -> Result<Page<Stream>, Error> {
        self.read(move |connection| query.run(connection)).await
    }

    /// Every function that has lines, by name.
    ///
    /// # Errors
    /// [`Error::Storage`] when the database cannot be read.
    pub async fn groups(&self) -> Result<Vec<Group>, Error> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT name, created_ms, bytes FROM functions ORDER BY name")?
                .query_map([], group)?
                .collect()
        })
        .await
    }
}

fn stream(row: &Row<'_>) -> rusqlite::Result<Stream> {
    Ok(Stream {
        name: row.get(0)?,
        created_ms: row.get(1)?,
        first_ms: row.get(2)?,
        last_ms: row.get(3)?,
        ingested_ms: row.get(4)?,
    })
}

fn group(row: &Row<'_>) -> rusqlite::Result<Group> {
    let bytes: i64 = row.get(2)?;
    Ok(Group { function: row.get(0)?, created_ms: row.get(1)?, stored_bytes: bytes.cast_unsigned() })
}
