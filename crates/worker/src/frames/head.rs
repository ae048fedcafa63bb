//! The JSON heads of frames, as `docs/protocols/frames.md` lists them.

use serde::{Deserialize, Serialize};

/// Head of `Event`.
#[derive(Debug, Serialize)]
pub(crate) struct Event<'a> {
    pub request_id: String,
    pub deadline_ms: u64,
    pub arn: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_context: Option<&'a str>,
}

/// Head of `Request`.
#[derive(Debug, Serialize)]
pub(crate) struct Request<'a> {
    pub request_id: String,
    pub deadline_ms: u64,
    pub method: &'a str,
    pub target: &'a str,
    pub headers: Vec<(&'a str, String)>,
    pub scheme: &'a str,
    pub host: &'a str,
    pub client: (String, u16),
}

/// Head of a frame that says nothing.
#[derive(Debug, Serialize)]
pub(crate) struct Nothing {}

/// Head of `Ready`.
#[derive(Debug, Deserialize)]
pub(crate) struct Ready {
    pub serves: Serves,
    #[serde(default)]
    pub found: String,
}

/// What a shim has found behind the handler's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Serves {
    Handler,
    Wsgi,
    Asgi,
}

/// Head of `InitFailed` and `Failed`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Raised {
    #[serde(default)]
    pub error_type: String,
    #[serde(default)]
    pub message: String,
    #[serde(default)]
    pub stack_trace: Vec<String>,
}

/// Head of `Head`.
#[derive(Debug, Deserialize)]
pub(crate) struct Head {
    pub status: u16,
    #[serde(default)]
    pub headers: Vec<(String, String)>,
}

/// Head of `Listening`.
#[derive(Debug, Deserialize)]
pub(crate) struct Listening {
    pub host: String,
    pub port: u16,
}
