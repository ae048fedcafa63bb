//! The one body type that crosses crate borders: a boxed stream of bytes, so that neither the gateway
//! nor the worker buffers what the other can stream.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};

/// What goes wrong while a body is read: the peer left, or the frame was malformed.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// A body of unknown length that may still be arriving.
pub type Body = UnsyncBoxBody<Bytes, Error>;

/// A body that is already here.
#[must_use]
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body of no bytes.
#[must_use]
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}
