//! Frames as bytes. Pure: no socket, no JSON.

use bytes::{Buf as _, Bytes, BytesMut};

/// Bytes before a frame's head.
pub(crate) const PREFIX: usize = 13;
/// The longest frame, counted after its length field.
pub(crate) const LONGEST: usize = 64 * 1024 * 1024;
const LENGTH: usize = 4;
/// A frame up to this size is copied out of the buffer that it came in, which can then be used again at once;
/// to share the buffer instead costs an allocation of a whole read's size for each frame.
const COPIED: usize = 4 * 1024;
/// What a frame without head and body counts.
const SHORTEST: usize = PREFIX - LENGTH;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Event = 1,
    Request = 2,
    Cancel = 3,
    Assign = 4,
    Ready = 16,
    InitFailed = 17,
    Result = 18,
    Failed = 19,
    Head = 20,
    Chunk = 21,
    End = 22,
    Listening = 23,
    Waiting = 24,
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub kind: Kind,
    pub stream: u32,
    pub head: Bytes,
    pub body: Bytes,
}

/// Why bytes are no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("a frame of {0} bytes is over the limit of {LONGEST} bytes")]
    TooLong(usize),
    #[error("a frame of {0} bytes is shorter than its own prefix")]
    TooShort(usize),
    #[error("a frame's head of {head} bytes does not fit into its {length} bytes")]
    Head { head: usize, length: usize },
    #[error("frame kind {0} is unknown")]
    Kind(u8),
}

/// The bytes before head and body; `None` when the frame would be too long.
pub(crate) fn prefix(kind: Kind, stream: u32, head: usize, body: usize) -> Option<[u8; PREFIX]> {
    let length = SHORTEST.checked_add(head)?.checked_add(body).filter(|length| *length <= LONGEST)?;
    let mut prefix = [0; PREFIX];
    let fields = u32::try_from(length)
        .ok()?
        .to_be_bytes()
        .into_iter()
        .chain([kind as u8])
        .chain(stream.to_be_bytes())
        .chain(u32::try_from(head).ok()?.to_be_bytes());
    for (place, byte) in prefix.iter_mut().zip(fields) {
        *place = byte;
    }
    Some(prefix)
}

/// Takes the first frame out of `buffer`; `None`: it is not complete yet.
///
/// # Errors
/// [`Error`]; the connection is of no use then.
pub(crate) fn decode(buffer: &mut BytesMut) -> Result<Option<Frame>, Error> {
    let Some(length) = buffer.first_chunk::<LENGTH>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    if length > LONGEST {
        return Err(Error::TooLong(length));
    }
    if length < SHORTEST {
        return Err(Error::TooShort(length));
    }
    if buffer.len() < LENGTH + length {
        return Ok(None);
    }
    buffer.advance(LENGTH);
    let mut rest = if length <= COPIED {
        let copy = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
        buffer.advance(length);
        copy
    } else {
        buffer.split_to(length).freeze()
    };
    let kind = rest.get_u8();
    let kind = Kind::from_byte(kind).ok_or(Error::Kind(kind))?;
    let stream = rest.get_u32();
    let head = rest.get_u32() as usize;
    if head > rest.len() {
        return Err(Error::Head { head, length });
    }
    let head = rest.split_to(head);
    Ok(Some(Frame { kind, stream, head, body: rest }))
}

// === impl Kind ===

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        let all = [
            Self::Event,
            Self::Request,
            Self::Cancel,
            Self::Assign,
            Self::Ready,
            Self::InitFailed,
            Self::Result,
            Self::Failed,
            Self::Head,
            Self::Chunk,
            Self::End,
            Self::Listening,
            Self::Waiting,
        ];
        all.into_iter().find(|kind| *kind as u8 == byte)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(kind: Kind, stream: u32, head: &[u8], body: &[u8]) -> Vec<u8> {
        let prefix = prefix(kind, stream, head.len(), body.len()).unwrap();
        [&prefix[..], head, body].concat()
    }

    proptest! {
        #[test]
        fn reads_what_was_written_however_it_arrives(
            stream: u32,
            head in proptest::collection::vec(any::<u8>(), 0..300),
            body in proptest::collection::vec(any::<u8>(), 0..6000),
            pieces in 1..200_usize,
        ) {
            let mut sent = bytes(Kind::Event, stream, &head, &body);
            sent.extend(bytes(Kind::End, 7, b"{}", b""));
            let mut buffer = BytesMut::new();
            let mut frames = Vec::new();
            for piece in sent.chunks(pieces) {
                buffer.extend_from_slice(piece);
                while let Some(frame) = decode(&mut buffer).unwrap() {
                    frames.push(frame);
                }
            }
            prop_assert_eq!(frames.len(), 2);
            let (head, body) = (Bytes::from(head), Bytes::from(body));
            prop_assert_eq!(&frames[0], &Frame { kind: Kind::Event, stream, head, body });
            prop_assert_eq!(frames[1].kind, Kind::End);
            prop_assert!(buffer.is_empty());
        }

        #[test]
        fn any_bytes_are_a_frame_an_error_or_not_enough(noise in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut buffer = BytesMut::from(&noise[..]);
            while let Ok(Some(_)) = decode(&mut buffer) {}
        }
    }

    #[test]
    fn refuses_each_malformed_frame() {
        let mut long = BytesMut::from(&u32::MAX.to_be_bytes()[..]);
        assert_eq!(decode(&mut long), Err(Error::TooLong(u32::MAX as usize)));
        let mut short = BytesMut::from(&8_u32.to_be_bytes()[..]);
        assert_eq!(decode(&mut short), Err(Error::TooShort(8)));
        let mut kind = BytesMut::from(&[0, 0, 0, 9, 99, 0, 0, 0, 0, 0, 0, 0, 0][..]);
        assert_eq!(decode(&mut kind), Err(Error::Kind(99)));
        let mut head = BytesMut::from(&[0, 0, 0, 9, 16, 0, 0, 0, 0, 0, 0, 0, 1][..]);
        assert_eq!(decode(&mut head), Err(Error::Head { head: 1, length: 9 }));
        assert_eq!(prefix(Kind::Event, 1, 2, LONGEST), None);
    }
}
