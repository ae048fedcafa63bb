//! The JSON heads of frames, as `docs/protocols/frames.md` lists them.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use crate::call::{EventCall, HttpCall, is_hop_by_hop};
use crate::json::{self, Object};

/// A head on its way to a shim.
pub(crate) trait Head {
    /// Writes it as JSON.
    fn write(&self, out: &mut Vec<u8>);
}

/// Head of `Event`.
#[derive(Debug)]
pub(crate) struct Event<'a>(pub &'a EventCall);

/// Head of `Request`.
#[derive(Debug)]
pub(crate) struct Request<'a>(pub &'a HttpCall);

/// Head of `Assign`.
#[derive(Debug)]
pub(crate) struct Assign<'a> {
    pub environment: &'a [(String, String)],
    pub directory: &'a Path,
}

/// Head of a frame that says nothing.
#[derive(Debug)]
pub(crate) struct Nothing;

/// Head of `Ready`.
#[derive(Debug, Deserialize)]
pub(crate) struct Ready {
    pub serves: Serves,
    #[serde(default)]
    pub found: String,
    /// Why it must not be forked, as far as it can tell itself.
    pub unshareable: Option<String>,
}

/// What a shim has found behind the handler's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Serves {
    Handler,
    Wsgi,
    Asgi,
    /// A server of its own, which waits before it listens.
    Own,
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
pub(crate) struct Answered<'a> {
    pub status: u16,
    #[serde(default, borrow)]
    pub headers: Vec<(Text<'a>, Text<'a>)>,
}

/// A text that is copied only where it has escapes in it.
#[derive(Debug)]
pub(crate) struct Text<'a>(pub Cow<'a, str>);

/// Head of `Listening`.
#[derive(Debug, Deserialize)]
pub(crate) struct Listening {
    pub host: String,
    pub port: u16,
    /// Why it must not be forked, where it was to be an ember.
    pub unshareable: Option<String>,
}

// === impl Head ===

impl Head for Event<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        let EventCall { event, deadline_ms, arn } = self.0;
        let mut head = Object::begin(out);
        head.text("request_id", &event.request_id.to_string());
        head.plain("deadline_ms", deadline_ms);
        head.text("arn", arn);
        if let Some(trace) = &event.trace {
            head.text("trace", trace);
        }
        if let Some(context) = &event.client_context {
            head.text("client_context", context);
        }
        head.end();
    }
}

impl Head for Request<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        let call = self.0;
        let mut head = Object::begin(out);
        head.text("request_id", &call.request_id.to_string());
        head.plain("deadline_ms", call.deadline_ms);
        head.text("method", call.parts.method.as_str());
        head.text("target", call.target());
        let out = head.member("headers");
        out.push(b'[');
        let passed = call.parts.headers.iter().filter(|(name, _)| !is_hop_by_hop(name.as_str()));
        for (index, (name, value)) in passed.enumerate() {
            out.extend_from_slice(if index == 0 { b"[" } else { b",[" });
            json::text(out, name.as_str());
            out.push(b',');
            json::latin1(out, value.as_bytes());
            out.push(b']');
        }
        out.push(b']');
        head.text("scheme", call.scheme());
        head.text("host", &call.host());
        let out = head.member("client");
        out.push(b'[');
        json::text(out, &call.client());
        out.extend_from_slice(b",0]");
        head.end();
    }
}

impl Head for Assign<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        let mut head = Object::begin(out);
        let out = head.member("environment");
        out.push(b'[');
        for (index, (name, value)) in self.environment.iter().enumerate() {
            out.extend_from_slice(if index == 0 { b"[" } else { b",[" });
            json::text(out, name);
            out.push(b',');
            json::text(out, value);
            out.push(b']');
        }
        out.push(b']');
        head.text("directory", &self.directory.to_string_lossy());
        head.end();
    }
}

impl Head for Nothing {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{}");
    }
}

#[cfg(test)]
impl Head for serde_json::Value {
    fn write(&self, out: &mut Vec<u8>) {
        json::plain(out, self);
    }
}

// === impl Text ===

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        impl<'de> Visitor<'de> for Read {
            type Value = Text<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a text")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(Read)
    }
}
