//! `GetLogEvents` (one stream, both directions) and `FilterLogEvents` (all streams, filtered).
//!
//! An answer is cut at [`ANSWER_BYTES`] as AWS's is; the token goes on where it was cut.

use aws::Members;
use serde_json::{Map, Value, json};
use store::Logs;
use store::logs::{Cursor, Event, EventQuery, Order, Pattern, StreamQuery};

use crate::logs::error::Error;
use crate::logs::service::{group, limit, named_group};
use crate::logs::token;

/// The most events of a page.
const PAGE: i64 = 10_000;
/// The most bytes of text of a page.
const ANSWER_BYTES: usize = 1024 * 1024;
/// The most streams a filter may name.
const STREAMS: usize = 100;

/// One stream's events, from its end or from its head.
pub async fn get(logs: &Logs, members: &mut Members) -> Result<Value, Error> {
    let name = named_group(members)?;
    let stream = members.text("logStreamName")?;
    let mut check = aws::Violations::new();
    check.required("logStreamName", stream.as_ref());
    check.finish()?;
    let stream = stream.unwrap_or_default();
    let (limit, from_head) = (limit(members, PAGE)?, members.flag("startFromHead")?);
    members.flag("unmask")?;
    let token = members.text("nextToken")?.map(|token| Direction::read(&token)).transpose()?;
    let (start_ms, end_ms) = (members.integer("startTime")?, members.integer("endTime")?);
    let group = group(logs, &name).await?;
    let known = StreamQuery {
        function: group.function.clone(),
        prefix: Some(stream.clone()),
        limit: 1,
        ..StreamQuery::default()
    };
    if logs.streams(known).await?.items.iter().all(|found| found.name != stream) {
        return Err(Error::no_stream());
    }
    let order = match token {
        Some(Direction::Forward(_)) => Order::Oldest,
        Some(Direction::Backward(_)) => Order::Newest,
        None if from_head => Order::Oldest,
        None => Order::Newest,
    };
    let query = EventQuery {
        function: group.function,
        streams: vec![stream],
        start_ms,
        end_ms,
        order,
        after: token.map(Direction::cursor),
        limit,
        ..EventQuery::default()
    };
    let mut events = logs.events(query).await?.items;
    cut(&mut events, order);
    let shown = |event: &Event| json!({"timestamp": event.timestamp_ms, "message": event.text, "ingestionTime": event.ingested_ms});
    let (forward, backward) = around(&events, token);
    Ok(json!({
        "events": events.iter().map(shown).collect::<Vec<Value>>(),
        "nextForwardToken": forward.write(),
        "nextBackwardToken": backward.write(),
    }))
}

/// A group's events that match a pattern, oldest first.
pub async fn filter(logs: &Logs, members: &mut Members) -> Result<Value, Error> {
    let name = named_group(members)?;
    let streams = members.texts("logStreamNames")?.unwrap_or_default();
    let stream_prefix = members.text("logStreamNamePrefix")?;
    if stream_prefix.is_some() && !streams.is_empty() {
        return Err(Error::InvalidParameter(
            "logStreamNames and logStreamNamePrefix are mutually exclusive parameters.".to_owned(),
        ));
    }
    if streams.len() > STREAMS {
        return Err(Error::InvalidParameter(format!("logStreamNames may name at most {STREAMS} streams.")));
    }
    let text = members.text("filterPattern")?.unwrap_or_default();
    let pattern: Pattern =
        text.parse().map_err(|error| Error::InvalidParameter(format!("Invalid filter pattern: {error}")))?;
    let after = match members.text("nextToken")? {
        Some(token) => Some(token::read(&token)?.parse()?),
        None => None,
    };
    // Accepted and without meaning: events of all streams are always in the order of time.
    members.flag("interleaved")?;
    members.flag("unmask")?;
    let start_ms = members.integer("startTime")?;
    // Here, unlike in GetLogEvents, the end belongs to the span.
    let end_ms = members.integer("endTime")?.map(|end| end.saturating_add(1));
    let (order, limit) = (Order::Oldest, limit(members, PAGE)?);
    let function = group(logs, &name).await?.function;
    let query =
        EventQuery { function, streams, stream_prefix, start_ms, end_ms, pattern, order, after, limit };
    let page = logs.events(query).await?;
    let mut events = page.items;
    let was_cut = cut(&mut events, Order::Oldest);
    let next = match was_cut {
        true => events.last().map(|last| last.cursor().to_string()),
        false => page.next,
    };
    let mut answer = Map::new();
    answer.insert("events".to_owned(), events.iter().map(filtered).collect());
    answer.insert("searchedLogStreams".to_owned(), json!([]));
    if let Some(next) = next {
        answer.insert("nextToken".to_owned(), token::write(&next).into());
    }
    Ok(answer.into())
}

/// Where a page of one stream goes on.
#[derive(Debug, Clone, Copy)]
enum Direction {
    Forward(Cursor),
    Backward(Cursor),
}

// === impl Direction ===

impl Direction {
    fn cursor(self) -> Cursor {
        match self {
            Self::Forward(cursor) | Self::Backward(cursor) => cursor,
        }
    }

    fn read(token: &str) -> Result<Self, Error> {
        let invalid = || Error::InvalidParameter("The specified nextToken is invalid.".to_owned());
        let (direction, rest) = token.split_once('/').ok_or_else(invalid)?;
        let cursor = token::read(rest)?.parse()?;
        match direction {
            "f" => Ok(Self::Forward(cursor)),
            "b" => Ok(Self::Backward(cursor)),
            _ => Err(invalid()),
        }
    }

    fn write(self) -> String {
        match self {
            Self::Forward(cursor) => format!("f/{}", token::write(&cursor.to_string())),
            Self::Backward(cursor) => format!("b/{}", token::write(&cursor.to_string())),
        }
    }
}

/// The tokens on both sides of a page. On a side where there is nothing more, the token is the one that
/// was asked with: that is how a client learns that it has reached the end.
fn around(events: &[Event], token: Option<Direction>) -> (Direction, Direction) {
    let start = token.map_or(Cursor { timestamp_ms: 0, id: 0 }, Direction::cursor);
    let first = events.first().map_or(start, Event::cursor);
    let last = events.last().map_or(start, Event::cursor);
    (Direction::Forward(last), Direction::Backward(first))
}

/// Keeps as much as an answer may hold, from the end the query began at; whether anything was cut.
fn cut(events: &mut Vec<Event>, order: Order) -> bool {
    let mut bytes = 0;
    let fits = |event: &&Event| {
        bytes += event.text.len();
        bytes <= ANSWER_BYTES
    };
    let kept = match order {
        Order::Oldest => events.iter().take_while(fits).count(),
        Order::Newest => events.iter().rev().take_while(fits).count(),
    };
    // One event is always passed on, however large: a page without any would never end.
    let kept = kept.max(1);
    let over = events.len().saturating_sub(kept);
    match order {
        Order::Oldest => events.truncate(kept),
        Order::Newest => drop(events.drain(..over)),
    }
    over > 0
}

fn filtered(event: &Event) -> Value {
    json!({
        "logStreamName": event.stream,
        "timestamp": event.timestamp_ms,
        "message": event.text,
        "ingestionTime": event.ingested_ms,
        "eventId": format!("{:056}", event.id),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: i64, length: usize) -> Event {
        let (stream, text) = ("s".to_owned(), "x".repeat(length));
        Event { id, timestamp_ms: 1, ingested_ms: 1, stream, request_id: None, text }
    }

    #[test]
    fn an_answer_is_cut_from_the_end_the_query_began_at() {
        let all = vec![event(1, ANSWER_BYTES / 2), event(2, ANSWER_BYTES / 2), event(3, 1)];
        let ids = |events: &[Event]| events.iter().map(|event| event.id).collect::<Vec<_>>();
        let mut oldest = all.clone();
        assert!(cut(&mut oldest, Order::Oldest));
        assert_eq!(ids(&oldest), [1, 2]);
        let mut newest = all;
        assert!(cut(&mut newest, Order::Newest));
        assert_eq!(ids(&newest), [2, 3]);
        let mut huge = vec![event(1, ANSWER_BYTES * 2)];
        assert!(!cut(&mut huge, Order::Oldest));
        assert_eq!(ids(&huge), [1]);
    }
}
