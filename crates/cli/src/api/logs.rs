//! Operations of the CloudWatch Logs API (JSON 1.1) that commands use: reading what functions wrote.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request};
use serde_json::json;

use super::lambda::refusal;
use super::shapes::{LogEvent, LogPage};
use super::{Endpoint, Error};

/// The CloudWatch Logs service at one address.
#[derive(Debug, Clone)]
pub struct Logs {
    endpoint: Endpoint,
}

/// Which lines of one function.
#[derive(Debug, Clone, Default)]
pub struct LogQuery {
    /// The function's bare name.
    pub function: String,
    /// Milliseconds since the epoch, inclusive.
    pub start_ms: Option<i64>,
}

// === impl Logs ===

impl Logs {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }

    /// `FilterLogEvents`, oldest first; each page is handed over as it comes, as a log may be long. A
    /// function that never wrote has no lines.
    pub async fn events(&self, query: &LogQuery, mut take: impl FnMut(Vec<LogEvent>)) -> Result<(), Error> {
        let mut token: Option<String> = None;
        loop {
            let page = match self.page(query, token.as_deref()).await {
                Ok(page) => page,
                Err(error) if error.is_not_found() => return Ok(()),
                Err(error) => return Err(error),
            };
            take(page.events);
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(());
            }
        }
    }

    async fn page(&self, query: &LogQuery, token: Option<&str>) -> Result<LogPage, Error> {
        let mut body = json!({ "logGroupName": format!("/aws/lambda/{}", query.function) });
        if let Some(members) = body.as_object_mut() {
            members.extend(query.start_ms.map(|start| ("startTime".to_owned(), start.into())));
            members.extend(token.map(|token| ("nextToken".to_owned(), token.into())));
        }
        self.call("FilterLogEvents", &body).await
    }

    async fn call(&self, operation: &'static str, body: &serde_json::Value) -> Result<LogPage, Error> {
        let mut request = Request::new(Bytes::from(body.to_string()));
        *request.method_mut() = Method::POST;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
        if let Ok(target) = HeaderValue::from_str(&format!("Logs_20140328.{operation}")) {
            headers.insert("x-amz-target", target);
        }
        let answer = self.endpoint.send(request).await?;
        if !answer.status().is_success() {
            return Err(refusal(operation, &answer).into());
        }
        serde_json::from_slice(answer.body()).map_err(|source| Error::Malformed {
            operation,
            url: self.endpoint.url().to_owned(),
            source,
        })
    }
}
