//! What went wrong inside a function, told apart: its handler, its init, its time, its process.
//!
//! A [`Failure`] is made where the evidence is (the worker) and read by everyone who answers or logs.
//! It always carries the phase, the last log lines and one suggested action.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::request_id::RequestId;

/// How many of the last log lines a failure keeps.
pub const LOG_LINES: usize = 20;

/// Where in the life of an instance it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The sandbox was being made.
    Sandbox,
    /// The function's own init: imports, module level code, a server coming up.
    Init,
    /// A request was being handled.
    Handler,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The code raised an error that the runtime caught.
    Raised,
    /// It ran longer than it may.
    TimedOut {
        /// The limit in milliseconds.
        after_ms: u64,
    },
    /// The process ended by itself.
    Exited {
        /// Its exit status.
        code: i32,
    },
    /// The process was ended by a signal.
    Killed {
        /// The signal's number.
        signal: i32,
    },
    /// The process was ended because it reached its memory limit.
    OutOfMemory {
        /// The limit in MiB.
        limit_mib: u32,
    },
    /// The process answered something that is not an answer.
    Malformed,
    /// The answer is over the payload limit.
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The sandbox could not be made.
    Sandbox,
}

/// One failure, complete enough to be explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Where it happened.
    pub phase: Phase,
    /// What happened.
    pub cause: Cause,
    /// AWS's or the language's error type, for instance `Runtime.ImportModuleError` or `KeyError`.
    pub error_type: String,
    /// One sentence.
    pub message: String,
    /// Frames, outermost first, as the language prints them; empty where there are none.
    pub stack_trace: Vec<String>,
    /// The last lines the function wrote, at most [`LOG_LINES`].
    pub log_lines: Vec<String>,
    /// One action that would help.
    pub suggestion: String,
}

// === impl Failure ===

impl Failure {
    /// The value of `X-Amz-Function-Error`: `Handled` never occurs on AWS's managed runtimes any more.
    #[must_use]
    pub fn function_error(&self) -> &'static str {
        "Unhandled"
    }

    /// The error object AWS answers with.
    #[must_use]
    pub fn payload(&self, request_id: RequestId) -> Bytes {
        let object = match self.cause {
            Cause::Raised => serde_json::json!({
                "errorMessage": self.message,
                "errorType": self.error_type,
                "requestId": request_id.to_string(),
                "stackTrace": self.stack_trace,
            }),
            _ => serde_json::json!({
                "errorType": self.error_type,
                "errorMessage": format!("RequestId: {request_id} Error: {}", self.message),
            }),
        };
        Bytes::from(object.to_string())
    }
}
