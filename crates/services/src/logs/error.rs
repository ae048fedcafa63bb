//! Why an operation of CloudWatch Logs failed, and how AWS spells it.

use http::StatusCode;

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The body is not the JSON the operation takes.
    #[error("{0}")]
    Serialization(String),
    /// A value is refused, or not supported.
    #[error("{0}")]
    InvalidParameter(String),
    /// The group or the stream is not there.
    #[error("{0}")]
    NotFound(String),
    /// The server is stopping. A retry is safe.
    #[error("{0}")]
    Unavailable(String),
    /// The logs cannot be read.
    #[error(transparent)]
    Store(store::logs::Error),
    /// The body's members are not what the operation takes, or cannot be read any more.
    #[error(transparent)]
    Members(#[from] aws::members::Error),
    /// An operation of the model that is not there.
    #[error("logs:{0} is not supported")]
    Unsupported(String),
}

// === impl Error ===

impl Error {
    /// The group is not there.
    #[must_use]
    pub fn no_group() -> Self {
        Self::NotFound("The specified log group does not exist.".to_owned())
    }

    /// The stream is not there.
    #[must_use]
    pub fn no_stream() -> Self {
        Self::NotFound("The specified log stream does not exist.".to_owned())
    }
}

impl From<store::logs::Error> for Error {
    fn from(error: store::logs::Error) -> Self {
        match error {
            store::logs::Error::Token(_) => {
                Self::InvalidParameter("The specified nextToken is invalid.".to_owned())
            }
            store::logs::Error::Closed => Self::Unavailable(error.to_string()),
            other => Self::Store(other),
        }
    }
}

impl From<aws::violations::Violated> for Error {
    fn from(violated: aws::violations::Violated) -> Self {
        Self::InvalidParameter(violated.to_string())
    }
}

impl From<Error> for aws::Error {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        let bad = StatusCode::BAD_REQUEST;
        match error {
            Error::Unavailable(_) | Error::Members(aws::members::Error::Stopping) => {
                Self::front_end("ServiceUnavailableException", StatusCode::SERVICE_UNAVAILABLE, text)
            }
            Error::Serialization(_) | Error::Members(_) => {
                Self::front_end("SerializationException", bad, text)
            }
            Error::InvalidParameter(_) => Self::front_end("InvalidParameterException", bad, text),
            Error::NotFound(_) => Self::front_end("ResourceNotFoundException", bad, text),
            Error::Store(_) => {
                Self::front_end("ServiceUnavailableException", StatusCode::INTERNAL_SERVER_ERROR, text)
            }
            Error::Unsupported(operation) => Self::unsupported("logs", &operation),
        }
    }
}
