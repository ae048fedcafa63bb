//! One error as AWS would answer it, before it is known in which protocol.
//!
//! Services build it; [`crate::respond`] is the only place that turns it into bytes.

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Map, Value};

/// Whose fault it is, as AWS spells it in the member `Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `User`: the request has to change.
    User,
    /// `Service`: a retry may help.
    Service,
    /// Errors of AWS's front end (`ValidationException`) carry no `Type`.
    Unsaid,
}

/// An AWS error: code, HTTP status and message exactly as a client will see them.
#[derive(Debug, Clone)]
pub struct Error {
    /// The error code, for instance `ResourceNotFoundException`.
    pub code: &'static str,
    /// The HTTP status.
    pub status: StatusCode,
    /// The text; `None` where AWS answers `null`.
    pub message: Option<String>,
    /// Whose fault.
    pub fault: Fault,
    /// Whether the service's model spells the member `Message` instead of `message`.
    pub capital_message: bool,
    /// Further members of the error's shape.
    pub members: Map<String, Value>,
    /// The value of `Retry-After`, where a retry may help.
    pub retry_after: Option<Duration>,
}

// === impl Error ===

impl Error {
    /// An error that is the caller's to fix, its message in the member `message`.
    #[must_use]
    pub fn user(code: &'static str, status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            code,
            status,
            message: Some(message.into()),
            fault: Fault::User,
            capital_message: false,
            members: Map::new(),
            retry_after: None,
        }
    }

    /// An error of AWS's front end: no `Type`.
    #[must_use]
    pub fn front_end(code: &'static str, status: StatusCode, message: impl Into<String>) -> Self {
        Self { fault: Fault::Unsaid, ..Self::user(code, status, message) }
    }

    /// An error that is ours.
    #[must_use]
    pub fn service(code: &'static str, status: StatusCode, message: impl Into<String>) -> Self {
        Self { fault: Fault::Service, capital_message: true, ..Self::user(code, status, message) }
    }

    /// An operation or a service that Lambent does not have: never a silent success.
    #[must_use]
    pub fn unsupported(service: &str, operation: &str) -> Self {
        let what = match operation {
            "" => format!("the AWS service `{service}` is"),
            _ => format!("{service}:{operation} is"),
        };
        Self::front_end(
            "NotImplementedException",
            StatusCode::NOT_IMPLEMENTED,
            format!("{what} not supported by this version of Lambent; nothing was changed"),
        )
    }

    /// Spells the message member with a capital letter.
    #[must_use]
    pub fn capital(mut self) -> Self {
        self.capital_message = true;
        self
    }

    /// Adds a member to the error's shape.
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.members.insert(member.to_owned(), value.into());
        self
    }

    /// Says when a retry may help.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.code, self.message.as_deref().unwrap_or("no message"))
    }
}

impl std::error::Error for Error {}
