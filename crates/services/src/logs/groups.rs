//! `DescribeLogGroups` and `DeleteLogGroup`.

use aws::Members;
use serde_json::{Map, Value, json};
use store::Logs;
use store::logs::Group;

use crate::logs::error::Error;
use crate::logs::service::{group, group_arn, group_name, limit, named_group};
use crate::logs::token;

/// The most groups of a page.
const PAGE: i64 = 50;

/// Lists groups by prefix or by a part of their names.
pub async fn describe(logs: &Logs, members: &mut Members) -> Result<Value, Error> {
    let (prefix, pattern) = (members.text("logGroupNamePrefix")?, members.text("logGroupNamePattern")?);
    if prefix.is_some() && pattern.is_some() {
        return Err(Error::InvalidParameter(
            "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.".to_owned(),
        ));
    }
    for member in ["accountIdentifiers", "logGroupIdentifiers", "logGroupClass"] {
        if members.value(member).is_some_and(|value| !aws::members::says_nothing(&value)) {
            return Err(Error::InvalidParameter(format!(
                "`{member}` is not supported by this version of Lambent: list by logGroupNamePrefix"
            )));
        }
    }
    members.flag("includeLinkedAccounts")?;
    let size = limit(members, PAGE)?;
    let after = members.text("nextToken")?.map(|token| token::read(&token)).transpose()?;
    let groups = logs.groups().await?;
    let mut wanted = groups.iter().filter(|group| {
        let name = group_name(&group.function);
        prefix.as_ref().is_none_or(|prefix| name.starts_with(prefix))
            && pattern.as_ref().is_none_or(|pattern| contains(&name, pattern))
            && after.as_ref().is_none_or(|after| name > *after)
    });
    let page: Vec<&Group> = wanted.by_ref().take(size).collect();
    let mut answer = Map::new();
    answer.insert("logGroups".to_owned(), page.iter().map(|group| shown(group)).collect());
    if let (Some(last), Some(_)) = (page.last(), wanted.next()) {
        answer.insert("nextToken".to_owned(), token::write(&group_name(&last.function)).into());
    }
    Ok(answer.into())
}

/// Forgets a group; the function's next line makes it again.
pub async fn delete(logs: &Logs, members: &mut Members) -> Result<Value, Error> {
    let group = group(logs, &named_group(members)?).await?;
    logs.delete(&group.function).await?;
    Ok(json!({}))
}

fn shown(group: &Group) -> Value {
    let arn = group_arn(&group.function);
    json!({
        "logGroupName": group_name(&group.function),
        "creationTime": group.created_ms,
        "metricFilterCount": 0,
        "arn": format!("{arn}:*"),
        "logGroupArn": arn,
        "logGroupClass": "STANDARD",
        "storedBytes": group.stored_bytes,
    })
}

/// AWS compares a pattern without case.
fn contains(name: &str, pattern: &str) -> bool {
    name.to_lowercase().contains(&pattern.to_lowercase())
}
