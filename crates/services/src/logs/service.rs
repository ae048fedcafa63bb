//! CloudWatch Logs as a service of the AWS port, and what its operations share.

use std::sync::Arc;

use aws::{Members, Protocol, Request, Response, respond};
use http::StatusCode;
use serde_json::Value;
use store::Logs;
use store::logs::Group;
use types::arn::{DEFAULT_ACCOUNT, DEFAULT_REGION};
use types::invocation::Boxed;
use types::limits::MIB;

use crate::logs::error::Error;
use crate::logs::{events, groups, streams};

/// What a function's log group is called, before its name.
const GROUP_PREFIX: &str = "/aws/lambda/";

/// The service.
#[derive(Debug, Clone)]
pub struct Service {
    logs: Logs,
}

// === impl Service ===

impl Service {
    /// Serves the lines in `logs`.
    #[must_use]
    pub fn new(logs: Logs) -> Self {
        Self { logs }
    }

    async fn perform(&self, operation: &str, members: &mut Members) -> Result<Value, Error> {
        match operation {
            "DescribeLogGroups" => groups::describe(&self.logs, members).await,
            "DeleteLogGroup" => groups::delete(&self.logs, members).await,
            "DescribeLogStreams" => streams::describe(&self.logs, members).await,
            "GetLogEvents" => events::get(&self.logs, members).await,
            "FilterLogEvents" => events::filter(&self.logs, members).await,
            other => Err(Error::Unsupported(other.to_owned())),
        }
    }
}

impl aws::Service for Service {
    fn name(&self) -> &'static str {
        "logs"
    }

    fn protocol(&self) -> Protocol {
        Protocol::Json { target: "Logs_20140328", version: "1.1" }
    }

    fn body_limit(&self, _operation: &str) -> u64 {
        MIB
    }

    fn too_large(&self, operation: &str, limit: u64, _size: Option<u64>) -> aws::Error {
        let text = format!("Request must be smaller than {limit} bytes for the {operation} operation");
        aws::Error::front_end("RequestEntityTooLargeException", StatusCode::PAYLOAD_TOO_LARGE, text)
    }

    fn call(self: Arc<Self>, request: Request) -> Boxed<Result<Response, aws::Error>> {
        Box::pin(async move {
            let members = Members::parse(&request.operation, request.body).await;
            let mut members = members.map_err(|error| aws::Error::from(Error::from(error)))?;
            let answer = self.perform(&request.operation, &mut members).await?;
            members.finish();
            Ok(respond::target_json("1.1", &answer))
        })
    }
}

/// The name of the group a request is about, given as name or ARN.
pub fn named_group(members: &mut Members) -> Result<String, Error> {
    match (members.text("logGroupName")?, members.text("logGroupIdentifier")?) {
        (Some(name), None) => Ok(name),
        (None, Some(identifier)) => Ok(by_arn(&identifier).to_owned()),
        (Some(_), Some(_)) => Err(Error::InvalidParameter(
            "LogGroup name and LogGroup identifier are mutually exclusive parameters.".to_owned(),
        )),
        (None, None) => {
            let mut check = aws::Violations::new();
            check.missing("logGroupName");
            check.finish()?;
            Err(Error::no_group())
        }
    }
}

/// The group of that name. Looked up after a request's members are checked, as AWS does.
pub async fn group(logs: &Logs, name: &str) -> Result<Group, Error> {
    let function = name.strip_prefix(GROUP_PREFIX).ok_or_else(Error::no_group)?;
    let groups = logs.groups().await?;
    groups.into_iter().find(|group| group.function == function).ok_or_else(Error::no_group)
}

/// The name of a function's group.
#[must_use]
pub fn group_name(function: &str) -> String {
    format!("{GROUP_PREFIX}{function}")
}

/// The ARN of a function's group.
#[must_use]
pub fn group_arn(function: &str) -> String {
    format!("arn:aws:logs:{DEFAULT_REGION}:{DEFAULT_ACCOUNT}:log-group:{}", group_name(function))
}

/// Takes `limit`, which may be at most `longest` and is that where it is missing.
pub fn limit(members: &mut Members, longest: i64) -> Result<usize, Error> {
    let limit = members.integer("limit")?.unwrap_or(longest);
    let mut check = aws::Violations::new();
    check.range("limit", limit, 1..=longest);
    check.finish()?;
    Ok(usize::try_from(limit).unwrap_or(usize::MAX))
}

fn by_arn(identifier: &str) -> &str {
    let name = identifier.split_once(":log-group:").map_or(identifier, |(_, name)| name);
    name.strip_suffix(":*").unwrap_or(name)
}
