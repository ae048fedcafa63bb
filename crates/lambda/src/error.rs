//! Why an operation of the Lambda service failed, and how AWS spells it.
//!
//! Operations raise [`Error`] without thinking of HTTP; the conversion at the end of this file is the one
//! place that picks code, status and member names.

use std::time::Duration;

use http::StatusCode;

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A constraint of the model is violated; the text lists every violation.
    #[error("{0}")]
    Validation(String),
    /// The body is not the JSON the operation takes.
    #[error("{0}")]
    Serialization(String),
    /// The service itself refuses a value, or does not support what was asked for.
    #[error("{0}")]
    InvalidParameter(String),
    /// An event that is not JSON.
    #[error("{0}")]
    InvalidRequestContent(String),
    /// What the request is about is not there.
    #[error("{0}")]
    NotFound(String),
    /// No provisioned concurrency was asked for.
    #[error("No Provisioned Concurrency Config found for this function")]
    NotProvisioned,
    /// It is there already, or in use.
    #[error("{0}")]
    Conflict(String),
    /// The `RevisionId` is not the current one.
    #[error(
        "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API \
         to retrieve the latest Revision Id"
    )]
    Precondition,
    /// The function belongs to somebody else.
    #[error("the function belongs to another account")]
    OtherAccount,
    /// The body, the zip or the payload is over a limit; the text names it and its setting.
    #[error("{message}")]
    TooLarge {
        /// `RequestTooLargeException` for payloads, `RequestEntityTooLargeException` for requests.
        code: &'static str,
        /// The text.
        message: String,
    },
    /// There is no room for the code.
    #[error("{0}")]
    CodeStorage(String),
    /// No instance may take the request now. A retry is safe.
    #[error("{message}")]
    Throttled {
        /// AWS's `Reason`.
        reason: &'static str,
        /// The text.
        message: String,
        /// When a retry may help.
        retry_after: Option<Duration>,
    },
    /// The server is stopping. A retry is safe.
    #[error("{0}")]
    Unavailable(String),
    /// The platform failed.
    #[error("{0}")]
    Service(String),
    /// The data directory failed.
    #[error(transparent)]
    Records(#[from] store::records::Error),
    /// The body's members are not what the operation takes, or cannot be read any more.
    #[error(transparent)]
    Members(#[from] aws::members::Error),
    /// An operation of the model that is not there.
    #[error("lambda:{0} is not supported")]
    Unsupported(String),
}

// === impl Error ===

impl Error {
    /// A value that AWS accepts and Lambent does not, named so that nothing is silently ignored.
    #[must_use]
    pub fn unsupported_value(what: &str, advice: &str) -> Self {
        Self::InvalidParameter(format!("{what} is not supported by this version of Lambent: {advice}"))
    }
}

impl From<aws::violations::Violated> for Error {
    fn from(violated: aws::violations::Violated) -> Self {
        Self::Validation(violated.to_string())
    }
}

impl From<Error> for aws::Error {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        let bad = StatusCode::BAD_REQUEST;
        match error {
            Error::Validation(_) => Self::front_end("ValidationException", bad, text),
            Error::Unavailable(_) | Error::Members(aws::members::Error::Stopping) => {
                Self::service("ServiceException", StatusCode::SERVICE_UNAVAILABLE, text)
                    .retry_after(Duration::from_secs(1))
            }
            Error::Serialization(_) | Error::Members(_) => {
                Self::front_end("SerializationException", bad, text).capital()
            }
            Error::InvalidParameter(_) => Self::user("InvalidParameterValueException", bad, text),
            Error::InvalidRequestContent(_) => Self::user("InvalidRequestContentException", bad, text),
            Error::NotFound(_) => {
                Self::user("ResourceNotFoundException", StatusCode::NOT_FOUND, text).capital()
            }
            Error::NotProvisioned => {
                Self::user("ProvisionedConcurrencyConfigNotFoundException", StatusCode::NOT_FOUND, text)
            }
            Error::Conflict(_) => Self::user("ResourceConflictException", StatusCode::CONFLICT, text),
            Error::Precondition => {
                Self::user("PreconditionFailedException", StatusCode::PRECONDITION_FAILED, text)
            }
            Error::OtherAccount => {
                let denied = Self::front_end("AccessDeniedException", StatusCode::FORBIDDEN, text).capital();
                Self { message: None, ..denied }
            }
            Error::TooLarge { code, .. } => Self::user(code, StatusCode::PAYLOAD_TOO_LARGE, text),
            Error::CodeStorage(_) => Self::user("CodeStorageExceededException", bad, text),
            Error::Throttled { reason, retry_after, .. } => {
                let error = Self::user("TooManyRequestsException", StatusCode::TOO_MANY_REQUESTS, text)
                    .with("Reason", reason);
                Self { retry_after, ..error }
            }
            Error::Service(_) | Error::Records(_) => {
                Self::service("ServiceException", StatusCode::INTERNAL_SERVER_ERROR, text)
            }
            Error::Unsupported(operation) => Self::unsupported("lambda", &operation),
        }
    }
}
