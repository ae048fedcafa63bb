//! Lines a function wrote, on their way from the worker to whoever keeps them.

use std::sync::Arc;

use crate::request_id::RequestId;

/// One line of a function's output, or one of the platform's own `START`/`END`/`REPORT` lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The function's bare name; its log group is `/aws/lambda/NAME`.
    pub function: Arc<str>,
    /// The stream: `YYYY/MM/DD/[VERSION]INSTANCE`.
    pub stream: Arc<str>,
    /// Milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// The request being handled, where there was exactly one.
    pub request_id: Option<RequestId>,
    /// The text without its line end; bytes that are not UTF-8 are replaced.
    pub text: String,
}

/// Takes lines in. Never blocks and never fails: a sink that cannot keep up counts what it drops and
/// says so in a line of its own.
pub trait Sink: Send + Sync + 'static {
    /// Takes one line.
    fn write(&self, line: Line);
}
