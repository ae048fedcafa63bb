//! Reading a request's body under a limit.
//!
//! A body over the limit is still read (and dropped) up to [`DRAIN`] more bytes: a client that is
//! answered while it sends sees a broken connection instead of the answer.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use types::body::{self, Body};

/// How much of an oversized body is read and thrown away before the answer goes out anyway.
pub const DRAIN: u64 = 64 * types::limits::MIB;

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is over the limit.
    #[error("body over the limit")]
    TooLarge {
        /// Its whole size, where it is known.
        size: Option<u64>,
    },
    /// The client left or sent a malformed frame.
    #[error("the body did not arrive: send the request again")]
    Broken(#[source] body::Error),
}

/// Reads all of `body`, at most `limit` bytes. `announced` is its `Content-Length`.
///
/// # Errors
/// [`Error`].
pub async fn collect(mut body: Body, limit: u64, announced: Option<u64>) -> Result<Bytes, Error> {
    let expected = announced.unwrap_or(0).min(limit);
    let mut bytes = BytesMut::with_capacity(usize::try_from(expected).unwrap_or(0));
    let mut size: u64 = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(Error::Broken)?.into_data() else { continue };
        size += data.len() as u64;
        if size > limit.saturating_add(DRAIN) {
            return Err(Error::TooLarge { size: announced });
        }
        if size <= limit {
            bytes.extend_from_slice(&data);
        } else {
            bytes = BytesMut::new();
        }
    }
    match size > limit {
        true => Err(Error::TooLarge { size: Some(size) }),
        false => Ok(bytes.freeze()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_limit_is_inclusive_and_the_size_is_told() {
        assert_eq!(collect(body::full("12345"), 5, None).await.unwrap(), "12345");
        let refused = collect(body::full("123456"), 5, Some(6)).await;
        assert!(matches!(refused, Err(Error::TooLarge { size: Some(6) })), "{refused:?}");
    }
}
