//! One kept-alive HTTP/1.1 connection, blocking. Knows just enough to tell where an answer ends.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::arguments::Target;

const TIMEOUT: Duration = Duration::from_secs(60);
const READ: usize = 16 * 1024;

/// A connection and the request that it repeats.
pub(crate) struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

/// How the end of an answer's body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Length(usize),
    Chunked,
}

// === impl Connection ===

impl Connection {
    /// Connects.
    pub(crate) fn open(target: &Target) -> io::Result<Self> {
        let stream = connect(target.address)?;
        Ok(Self { stream, request: request(target), buffer: Vec::with_capacity(READ) })
    }

    /// Sends the request and reads the whole answer; gives its status.
    pub(crate) fn exchange(&mut self) -> io::Result<u16> {
        self.stream.write_all(&self.request)?;
        self.buffer.clear();
        let head = loop {
            self.read()?;
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at + 4;
            }
        };
        let (status, ending) = head_of(self.buffer.get(..head).unwrap_or_default())?;
        loop {
            let body = self.buffer.get(head..).unwrap_or_default();
            let whole = match ending {
                Ending::Length(length) => body.len() >= length,
                Ending::Chunked => body.ends_with(b"0\r\n\r\n"),
            };
            if whole {
                return Ok(status);
            }
            self.read()?;
        }
    }

    fn read(&mut self) -> io::Result<()> {
        let mut chunk = [0; READ];
        let length = self.stream.read(&mut chunk)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.buffer.extend_from_slice(chunk.get(..length).unwrap_or_default());
        Ok(())
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

fn request(target: &Target) -> Vec<u8> {
    let method = if target.body_bytes.is_some() { "POST" } else { "GET" };
    let mut head = format!("{method} {} HTTP/1.1\r\nhost: {}\r\naccept: */*\r\n", target.path, target.host);
    if let Some(length) = target.body_bytes {
        head.push_str(&format!("content-type: text/plain\r\ncontent-length: {length}\r\n"));
    }
    head.push_str("\r\n");
    let mut request = head.into_bytes();
    request.resize(request.len() + target.body_bytes.unwrap_or(0), b'x');
    request
}

fn head_of(head: &[u8]) -> io::Result<(u16, Ending)> {
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP/1.1");
    let text = std::str::from_utf8(head).map_err(|_| malformed())?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).and_then(|rest| rest.get(..3));
    let status: u16 = status.and_then(|status| status.parse().ok()).ok_or_else(malformed)?;
    let mut ending = if matches!(status, 204 | 304) { Some(Ending::Length(0)) } else { None };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            ending = Some(Ending::Length(value.trim().parse().map_err(|_| malformed())?));
        } else if name.eq_ignore_ascii_case("transfer-encoding") && value.trim() == "chunked" {
            ending = Some(Ending::Chunked);
        }
    }
    Ok((status, ending.ok_or_else(malformed)?))
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_where_an_answer_ends() {
        let (status, ending) = head_of(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n").unwrap();
        assert_eq!((status, ending), (200, Ending::Length(12)));
        let (status, ending) = head_of(b"HTTP/1.1 404 No\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
        assert_eq!((status, ending), (404, Ending::Chunked));
        assert!(head_of(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(head_of(b"SSH-2.0\r\n\r\n").is_err());
    }
}
