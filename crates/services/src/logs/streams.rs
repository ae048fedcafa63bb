//! `DescribeLogStreams`.

use aws::Members;
use serde_json::{Map, Value, json};
use store::Logs;
use store::logs::{Stream, StreamQuery};

use crate::logs::error::Error;
use crate::logs::service::{group, group_arn, limit, named_group};
use crate::logs::token;

/// The most streams of a page.
const PAGE: i64 = 50;

/// Lists a group's streams, by name or by their last event.
pub async fn describe(logs: &Logs, members: &mut Members) -> Result<Value, Error> {
    let name = named_group(members)?;
    let (prefix, order) = (members.text("logStreamNamePrefix")?, members.text("orderBy")?);
    let mut check = aws::Violations::new();
    if let Some(order) = &order {
        check.one_of("orderBy", order, &["LogStreamName", "LastEventTime"]);
    }
    check.finish()?;
    let by_last_event = order.as_deref() == Some("LastEventTime");
    if by_last_event && prefix.is_some() {
        return Err(Error::InvalidParameter(
            "Cannot order by LastEventTime with a logStreamNamePrefix.".to_owned(),
        ));
    }
    let after = match members.text("nextToken")? {
        Some(token) => Some(token::read(&token)?.parse()?),
        None => None,
    };
    let (descending, limit) = (members.flag("descending")?, limit(members, PAGE)?);
    let group = group(logs, &name).await?;
    let function = group.function.clone();
    let query = StreamQuery { function, prefix, by_last_event, descending, after, limit };
    let page = logs.streams(query).await?;
    let shown = |stream: &Stream| shown(stream, &group.function);
    let mut answer = Map::new();
    answer.insert("logStreams".to_owned(), page.items.iter().map(shown).collect());
    if let Some(next) = page.next {
        answer.insert("nextToken".to_owned(), token::write(&next).into());
    }
    Ok(answer.into())
}

fn shown(stream: &Stream, function: &str) -> Value {
    json!({
        "logStreamName": stream.name,
        "creationTime": stream.created_ms,
        "firstEventTimestamp": stream.first_ms,
        "lastEventTimestamp": stream.last_ms,
        "lastIngestionTime": stream.ingested_ms,
        "arn": format!("{}:log-stream:{}", group_arn(function), stream.name),
        // As with AWS, which stopped counting per stream.
        "storedBytes": 0,
    })
}
