//! The server's end of one instance's socketpair.
//!
//! Made with the instance and dropped with it; owned by whoever handles its one request. `receive` may be
//! dropped half way without losing bytes; `send` may not, so a send that was interrupted by a deadline
//! ends the instance.

use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Pair;

use bytes::BytesMut;
use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::codec::{self, Frame, Kind};

const READ: usize = 16 * 1024;

/// One end of the socketpair.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: UnixStream,
    buffer: BytesMut,
}

/// Why no frame came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiveError {
    #[error("the shim closed its frames")]
    Closed,
    #[error(transparent)]
    Malformed(#[from] codec::Error),
}

// === impl Connection ===

impl Connection {
    /// A connection and the descriptor for the other side.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = Pair::pair()?;
        ours.set_nonblocking(true)?;
        let socket = UnixStream::from_std(ours)?;
        Ok((Self { socket, buffer: BytesMut::new() }, theirs.into()))
    }

    /// Sends one frame, whole.
    ///
    /// # Errors
    /// The shim has not got the frame, and never will.
    pub async fn send(
        &mut self,
        kind: Kind,
        stream: u32,
        head: &impl Serialize,
        body: &[u8],
    ) -> io::Result<()> {
        let head = serde_json::to_vec(head)?;
        let prefix = codec::prefix(kind, stream, head.len(), body.len())
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the frame is too long"))?;
        let mut parts = [IoSlice::new(&prefix), IoSlice::new(&head), IoSlice::new(body)];
        let mut left = &mut parts[..];
        while !left.is_empty() {
            let written = self.socket.write_vectored(left).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            IoSlice::advance_slices(&mut left, written);
            while left.first().is_some_and(|part| part.is_empty()) {
                left = left.split_at_mut(1).1;
            }
        }
        Ok(())
    }

    /// The next frame.
    ///
    /// # Errors
    /// [`ReceiveError`]; nothing more will come.
    pub async fn receive(&mut self) -> Result<Frame, ReceiveError> {
        loop {
            if let Some(frame) = codec::decode(&mut self.buffer)? {
                return Ok(frame);
            }
            self.buffer.reserve(READ);
            // A reset says the same as an end: the shim is gone.
            match self.socket.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return Err(ReceiveError::Closed),
                Ok(_) => {}
            }
        }
    }
}
