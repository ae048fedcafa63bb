//! One HTTP exchange with one address: a connection per request, no pool, no TLS.
//!
//! A command makes a handful of requests and ends, so a connection lives exactly as long as its one
//! exchange: both are driven by the caller's future, and dropping it closes the socket.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, USER_AGENT};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Error;

/// How long a connection may take to be made: loopback and local networks answer at once.
const CONNECT: Duration = Duration::from_secs(5);

/// An address to send requests to.
#[derive(Debug, Clone)]
pub struct Endpoint {
    url: String,
    authority: String,
    host: String,
    port: u16,
}

// === impl Endpoint ===

impl Endpoint {
    /// Reads `http://HOST[:PORT]`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let refuse = |reason: &str| Error::Address { url: text.to_owned(), reason: reason.to_owned() };
        let uri: Uri = text.parse().map_err(|error: http::uri::InvalidUri| refuse(&error.to_string()))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(refuse("https is not supported yet")),
            _ => return Err(refuse("it has to begin with http://")),
        }
        let authority = uri.authority().ok_or_else(|| refuse("it has no host"))?;
        if !matches!(uri.path(), "" | "/") {
            return Err(refuse("it has a path"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self {
            url: format!("http://{authority}"),
            authority: authority.to_string(),
            host,
            port: authority.port_u16().unwrap_or(80),
        })
    }

    /// The address as people write it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sends a request (its target in origin form) and reads the whole answer.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Error> {
        let stream = self.connect().await?;
        let broken = |source| Error::Broken { url: self.url.clone(), source };
        let (mut sender, connection) =
            http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await.map_err(broken)?;
        let request = self.complete(request);
        let exchange = async move {
            let (head, body) = sender.send_request(request).await?.into_parts();
            Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
        };
        // The exchange owns the sender; when it is done the connection has nothing left to do and ends.
        let (answer, _closed) = tokio::join!(exchange, connection);
        answer.map_err(broken)
    }

    async fn connect(&self) -> Result<TcpStream, Error> {
        let connecting = TcpStream::connect((self.host.as_str(), self.port));
        let connected = match tokio::time::timeout(CONNECT, connecting).await {
            Ok(connected) => connected,
            Err(elapsed) => Err(elapsed.into()),
        };
        let stream = connected.map_err(|source| Error::NoServer { url: self.url.clone(), source })?;
        // Requests are written in one piece and waited for: nothing is gained by holding them back.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }

    fn complete(&self, mut request: Request<Bytes>) -> Request<Full<Bytes>> {
        let length = request.body().len();
        let headers = request.headers_mut();
        if let Ok(host) = HeaderValue::from_str(&self.authority) {
            headers.insert(HOST, host);
        }
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("lambent/", env!("CARGO_PKG_VERSION"))));
        request.map(Full::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses_and_names_what_is_wrong() {
        for (text, url) in [
            ("http://127.0.0.1:4566", "http://127.0.0.1:4566"),
            ("http://localhost:1/", "http://localhost:1"),
            ("http://[::1]:4566", "http://[::1]:4566"),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().url(), url);
        }
        for (text, reason) in
            [("127.0.0.1:4566", "http://"), ("https://x:1", "https"), ("http://x/y", "path"), ("", "")]
        {
            let error = Endpoint::parse(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
