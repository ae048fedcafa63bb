//! The server's end of one instance's socketpair.
//!
//! Made with the instance and dropped with it; owned by whoever handles its one request. `receive` may be
//! dropped half way without losing bytes; `send` may not, so a send that was interrupted by a deadline
//! ends the instance.

use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Pair;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::codec::{self, Frame, Kind};
use super::head::Head;

/// Room that there is at least for each read; longer frames grow the buffer as they come.
const READ: usize = 4 * 1024;
/// A body up to this size is copied behind its head, so that one buffer is written.
const COPIED: usize = 16 * 1024;

/// One end of the socketpair.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: UnixStream,
    buffer: BytesMut,
    /// What is being sent; empty between two sends.
    out: Vec<u8>,
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
        Ok((Self { socket, buffer: BytesMut::new(), out: Vec::new() }, theirs.into()))
    }

    /// The other side of one, for tests that speak as a shim.
    #[cfg(test)]
    pub fn of(socket: OwnedFd) -> Self {
        let socket = Pair::from(socket);
        socket.set_nonblocking(true).unwrap();
        Self { socket: UnixStream::from_std(socket).unwrap(), buffer: BytesMut::new(), out: Vec::new() }
    }

    /// Sends one frame, whole.
    ///
    /// # Errors
    /// The shim has not got the frame, and never will.
    pub async fn send(&mut self, kind: Kind, stream: u32, head: &impl Head, body: &[u8]) -> io::Result<()> {
        let mut out = std::mem::take(&mut self.out);
        out.extend_from_slice(&[0; codec::PREFIX]);
        head.write(&mut out);
        let head_length = out.len() - codec::PREFIX;
        let prefix = codec::prefix(kind, stream, head_length, body.len())
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the frame is too long"))?;
        for (place, byte) in out.iter_mut().zip(prefix) {
            *place = byte;
        }
        if body.len() <= COPIED {
            out.extend_from_slice(body);
            self.socket.write_all(&out).await?;
        } else {
            self.write_both(&out, body).await?;
        }
        out.clear();
        self.out = out;
        Ok(())
    }

    async fn write_both(&mut self, head: &[u8], body: &[u8]) -> io::Result<()> {
        let mut parts = [IoSlice::new(head), IoSlice::new(body)];
        let mut left = &mut parts[..];
        while !left.is_empty() {
            let written = self.socket.write_vectored(left).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            IoSlice::advance_slices(&mut left, written);
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
