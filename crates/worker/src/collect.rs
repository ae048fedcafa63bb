//! Reads a body to its end, as far as a limit allows.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use types::body::{Body, Error};

/// Why a body was not read to its end.
#[derive(Debug)]
pub(crate) enum Incomplete {
    /// It is longer than the limit; this much of it has come.
    TooLarge(u64),
    /// Whoever sends it broke off.
    Broken(Error),
}

/// The whole body, unless it is over `limit` bytes.
pub(crate) async fn collect(mut body: Body, limit: u64) -> Result<Bytes, Incomplete> {
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    let mut size = 0_u64;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(Incomplete::Broken)?.into_data() else { continue };
        size = size.saturating_add(data.len() as u64);
        if size > limit {
            return Err(Incomplete::TooLarge(size));
        }
        if first.is_empty() && whole.is_empty() {
            // Most bodies are one frame, which need not be copied.
            first = data;
        } else {
            if whole.is_empty() {
                whole.extend_from_slice(&std::mem::take(&mut first));
            }
            whole.extend_from_slice(&data);
        }
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}

#[cfg(test)]
mod tests {
    use http_body_util::{Full, StreamBody};

    use super::*;

    fn body(parts: &[&'static str]) -> Body {
        let frames: Vec<_> = parts
            .iter()
            .map(|part| Ok::<_, Error>(http_body::Frame::data(Bytes::from_static(part.as_bytes()))))
            .collect();
        StreamBody::new(Iter(frames.into_iter())).boxed_unsync()
    }

    struct Iter<I>(I);

    impl<I: Iterator + Unpin> futures_core::Stream for Iter<I> {
        type Item = I::Item;

        fn poll_next(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<I::Item>> {
            std::task::Poll::Ready(self.0.next())
        }
    }

    #[tokio::test]
    async fn takes_what_fits_and_no_more() {
        assert_eq!(collect(body(&["ab", "", "c", "de"]), 5).await.unwrap(), "abcde");
        assert_eq!(collect(types::body::empty(), 0).await.unwrap(), "");
        assert!(matches!(collect(body(&["abc", "def"]), 5).await, Err(Incomplete::TooLarge(6))));
        let one = Full::new(Bytes::from_static(b"abc")).map_err(|never| match never {}).boxed_unsync();
        assert_eq!(collect(one, 3).await.unwrap(), "abc");
    }
}
