//! A minimal blocking HTTP/1.1 client. It never retries and never hides an error: a request that fails
//! here has failed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// The longest a request may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends requests to one address, over one connection where both sides keep it.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    keep_alive: bool,
    connection: Option<BufReader<TcpStream>>,
}

/// An answer, read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

// === impl Client ===

impl Client {
    /// A client that opens a connection for each request.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address, keep_alive: false, connection: None }
    }

    /// A client that keeps its connection.
    #[must_use]
    pub fn keeping_alive(address: SocketAddr) -> Self {
        Self { keep_alive: true, ..Self::new(address) }
    }

    /// A `GET`.
    ///
    /// # Errors
    /// The connection or the answer broke.
    pub fn get(&mut self, host: &str, path: &str) -> Result<Response> {
        self.request("GET", host, path, &[], b"")
    }

    /// Sends one request and reads its answer.
    ///
    /// # Errors
    /// The connection or the answer broke.
    pub fn request(
        &mut self,
        method: &str,
        host: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(self.address)?,
        };
        let head = self.head(method, host, path, headers, body.len());
        let stream = connection.get_mut();
        stream.write_all(head.as_bytes()).context("cannot send the request")?;
        // A server may answer and close before it has read everything: then the answer counts.
        let sent = stream.write_all(body).and_then(|()| stream.flush());
        let response = match Response::read(&mut connection, method) {
            Ok(response) => response,
            Err(error) => return sent.context("cannot send the body").and(Err(error)),
        };
        if self.keep_alive && !response.closes() {
            self.connection = Some(connection);
        }
        Ok(response)
    }

    fn head(&self, method: &str, host: &str, path: &str, headers: &[(&str, &str)], length: usize) -> String {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if length > 0 {
            head.push_str(&format!("Content-Length: {length}\r\n"));
        }
        if !self.keep_alive {
            head.push_str("Connection: close\r\n");
        }
        head.push_str("\r\n");
        head
    }
}

// === impl Response ===

impl Response {
    /// The first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn closes(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    fn read(connection: &mut BufReader<TcpStream>, method: &str) -> Result<Self> {
        loop {
            let mut response = Self::read_head(connection)?;
            if response.status == 100 {
                continue;
            }
            if method != "HEAD" && !matches!(response.status, 204 | 304) {
                response.body = response.read_body(connection)?;
            }
            return Ok(response);
        }
    }

    fn read_head(connection: &mut BufReader<TcpStream>) -> Result<Self> {
        let line = read_line(connection).context("no answer")?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.with_context(|| format!("not a status line: `{line}`"))?;
        let mut headers = Vec::new();
        loop {
            let line = read_line(connection).context("the head of the answer broke off")?;
            if line.is_empty() {
                return Ok(Self { status, headers, body: Vec::new() });
            }
            let (name, value) = line.split_once(':').with_context(|| format!("not a header: `{line}`"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    fn read_body(&self, connection: &mut BufReader<TcpStream>) -> Result<Vec<u8>> {
        if self.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            return read_chunks(connection);
        }
        let mut body = Vec::new();
        let Some(length) = self.header("content-length") else {
            connection.read_to_end(&mut body).context("the body broke off")?;
            return Ok(body);
        };
        body.resize(length.parse().with_context(|| format!("not a length: `{length}`"))?, 0);
        connection.read_exact(&mut body).context("the body broke off")?;
        Ok(body)
    }
}

fn connect(address: SocketAddr) -> Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(BufReader::new(stream))
}

fn read_line(connection: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    if connection.read_line(&mut line)? == 0 {
        bail!("the connection was closed");
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn read_chunks(connection: &mut BufReader<TcpStream>) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(connection).context("the body broke off")?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).with_context(|| format!("not a chunk size: `{line}`"))?;
        let read = connection.by_ref().take(size).read_to_end(&mut body).context("the body broke off")?;
        if read as u64 != size {
            bail!("the body broke off");
        }
        read_line(connection).context("the body broke off")?;
        if size == 0 {
            return Ok(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    fn answered(bytes: &'static [u8]) -> Result<Response> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            assert!(stream.read(&mut request).unwrap() > 0);
            stream.write_all(bytes).unwrap();
        });
        let response = Client::new(address).get("hello.localhost", "/");
        server.join().unwrap();
        response
    }

    #[test]
    fn reads_every_way_a_body_ends() {
        for bytes in [
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".as_slice(),
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x\r\nllo\r\n0\r\n\r\n",
            b"HTTP/1.0 200 OK\r\n\r\nhello",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        ] {
            let response = answered(bytes).unwrap();
            assert_eq!((response.status, response.text().as_str()), (200, "hello"));
        }
    }

    #[test]
    fn a_body_that_breaks_off_is_an_error() {
        for bytes in [
            b"".as_slice(),
            b"HTTP/1.1 200",
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        ] {
            assert!(answered(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
    }
}
