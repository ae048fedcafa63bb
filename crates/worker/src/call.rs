//! One request on its way to an instance, and what can come of it, in terms that all protocols share.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::request::Parts;
use types::failure::Failure;
use types::invocation::Event;
use types::request_id::RequestId;

use crate::frames::head::Raised;

/// A handler's call.
#[derive(Debug, Clone)]
pub(crate) struct EventCall {
    pub event: Event,
    pub deadline_ms: u64,
    pub arn: String,
}

/// A web application's request; its body is already here.
#[derive(Debug, Clone)]
pub(crate) struct HttpCall {
    pub request_id: RequestId,
    pub deadline_ms: u64,
    pub parts: Parts,
    pub body: Bytes,
}

/// Why an instance has not answered.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It was gone before it got the request: another one may be asked.
    NotSent,
    /// The runtime caught an error of the code; the instance is well.
    Raised(Raised),
    /// It ended, or closed what it is spoken to by.
    Broken,
    /// It does not keep to its protocol.
    Malformed(String),
    /// The failure is already known in full; the instance is well.
    Known(Box<Failure>),
}

/// Milliseconds since the epoch, `ahead` from now.
pub(crate) fn epoch_ms(ahead: Duration) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_add(ahead).as_millis().try_into().unwrap_or(u64::MAX)
}

/// Headers of one connection, which no intermediary passes on.
pub(crate) fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

// === impl HttpCall ===

impl HttpCall {
    /// Path and query as they came in.
    pub fn target(&self) -> &str {
        self.parts.uri.path_and_query().map_or("/", |target| target.as_str())
    }

    /// The host that was asked for.
    pub fn host(&self) -> String {
        if let Some(host) = self.parts.headers.get(http::header::HOST) {
            return latin1(host.as_bytes());
        }
        self.parts.uri.authority().map_or_else(|| "localhost".to_owned(), ToString::to_string)
    }

    /// The scheme the client used.
    pub fn scheme(&self) -> &'static str {
        match self.header("x-forwarded-proto") {
            Some(scheme) if scheme == "https" => "https",
            _ => "http",
        }
    }

    /// The client's address: the nearest that was forwarded, which the gateway has added.
    pub fn client(&self) -> String {
        let forwarded = self.header("x-forwarded-for").unwrap_or_default();
        let nearest = forwarded.rsplit(',').next().map(str::trim).filter(|client| !client.is_empty());
        nearest.unwrap_or("127.0.0.1").to_owned()
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<String> {
        self.parts.headers.get(name).map(|value| latin1(value.as_bytes()))
    }
}

/// Bytes of a header as text: each byte is the character of its number, so nothing is lost.
pub(crate) fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}
