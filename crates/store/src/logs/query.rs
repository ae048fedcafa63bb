//! Finding lines again: groups, streams and events, page by page.
//!
//! Events are ordered by time and, within a millisecond, by arrival. A page ends with a token from which
//! the next one goes on; lines that arrive or are pruned in between do not shift it.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};
use serde::{Deserialize, Serialize};

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
    /// The statement and its values. A single stream has an index of its own.
    fn statement(&self) -> (String, Vec<Value>) {
        let (direction, beyond) = match self.order {
            Order::Oldest => ("ASC", ">"),
            Order::Newest => ("DESC", "<"),
        };
        let unbounded = match self.order {
            Order::Oldest => Cursor { timestamp_ms: i64::MIN, id: i64::MIN },
            Order::Newest => Cursor { timestamp_ms: i64::MAX, id: i64::MAX },
        };
        let after = self.after.unwrap_or(unbounded);
        let mut values: Vec<Value> = vec![
            self.function.clone().into(),
            self.start_ms.unwrap_or(i64::MIN).into(),
            self.end_ms.unwrap_or(i64::MAX).into(),
            after.timestamp_ms.into(),
            after.id.into(),
        ];
        let whose = match self.streams.as_slice() {
            [stream] => {
                values.push(stream.clone().into());
                "events.stream = (SELECT streams.id FROM streams JOIN functions ON functions.id = function
                     WHERE functions.name = ?1 AND streams.name = ?6)"
            }
            _ => "events.function = (SELECT id FROM functions WHERE name = ?1)",
        };
        let statement = format!(
            "SELECT events.id, events.timestamp_ms, events.ingested_ms, streams.name, request_id, text
             FROM events JOIN streams ON streams.id = events.stream
             WHERE {whose} AND timestamp_ms >= ?2 AND timestamp_ms < ?3
                 AND (timestamp_ms, events.id) {beyond} (?4, ?5)
             ORDER BY timestamp_ms {direction}, events.id {direction}"
        );
        (statement, values)
    }

    fn run(&self, connection: &Connection) -> rusqlite::Result<Page<Event>> {
        let streams: HashSet<&str> = self.streams.iter().map(String::as_str).collect();
        let wanted = |event: &Event| {
            (streams.is_empty() || streams.contains(event.stream.as_str()))
                && self.stream_prefix.as_ref().is_none_or(|prefix| event.stream.starts_with(prefix))
                && self.pattern.matches(&event.text)
        };
        let (statement, values) = self.statement();
        let mut statement = connection.prepare_cached(&statement)?;
        let mut items = Vec::new();
        let mut next = None;
        for event in statement.query_map(params_from_iter(values), event)? {
            let event = event?;
            if !wanted(&event) {
                continue;
            }
            if items.len() >= self.limit {
                next = items.last().map(|last: &Event| last.cursor().to_string());
                break;
            }
            items.push(event);
        }
        if self.order == Order::Newest {
            items.reverse();
        }
        Ok(Page { items, next })
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

fn event(row: &Row<'_>) -> rusqlite::Result<Event> {
    Ok(Event {
        id: row.get(0)?,
        timestamp_ms: row.get(1)?,
        ingested_ms: row.get(2)?,
        stream: row.get(3)?,
        request_id: row.get(4)?,
        text: row.get(5)?,
    })
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
