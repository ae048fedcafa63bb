//! From a request's host to the version that answers it: the host's first label is a function URL's id
//! or a function's name. Knows no paths: everything behind the host is the function's.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::HOST;
use types::body::Body;
use types::function::Version;
use types::routing::Snapshot;

/// Why a host leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// No host, several, or one that is not text.
    #[error("the request has no usable host: send one Host header")]
    NoHost,
    /// A host without a name in front: an address, or a single label.
    #[error("`{0}` names no function")]
    NoLabel(String),
    /// A name that no function has.
    #[error("no function answers at `{0}`")]
    Unknown(String),
    /// The function exists, but has no URL.
    #[error("function `{0}` has no URL")]
    NoUrl(String),
}

/// The host a request is for, its port included, in lower case or as written.
pub(crate) fn host(request: &http::Request<Body>) -> Result<String, Error> {
    // An absolute target (HTTP/2's `:authority` among them) wins over the header: RFC 9112, 3.2.2.
    if let Some(authority) = request.uri().authority() {
        return Ok(authority.as_str().to_owned());
    }
    let mut values = request.headers().get_all(HOST).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().map(str::to_owned).map_err(|_| Error::NoHost),
        _ => Err(Error::NoHost),
    }
}

/// The version behind a host.
pub(crate) fn version(snapshot: &Snapshot, host: &str) -> Result<Arc<Version>, Error> {
    let label = label(host).ok_or_else(|| Error::NoLabel(host.to_owned()))?;
    if let Some(version) = snapshot.resolve_label(label) {
        return Ok(Arc::clone(version));
    }
    Err(match snapshot.functions.keys().find(|name| name.eq_ignore_ascii_case(label)) {
        Some(name) => Error::NoUrl(name.clone()),
        None => Error::Unknown(host.to_owned()),
    })
}

/// The first of at least two labels; nothing for addresses and for `localhost` itself.
fn label(host: &str) -> Option<&str> {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    if name.starts_with('[') || name.parse::<IpAddr>().is_ok() {
        return None;
    }
    let (label, rest) = name.split_once('.')?;
    (!label.is_empty() && !rest.is_empty()).then_some(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_label_of_a_name_counts() {
        for (host, expected) in [
            ("hello.localhost:8080", Some("hello")),
            ("hello.localhost", Some("hello")),
            ("abc123.lambda-url.us-east-1.localhost:8080", Some("abc123")),
            ("my_function.localhost:1", Some("my_function")),
            ("localhost:8080", None),
            ("localhost", None),
            ("127.0.0.1:8080", None),
            ("127.0.0.1", None),
            ("[::1]:8080", None),
            ("[::1]", None),
            (".localhost", None),
            ("hello.", None),
            ("", None),
        ] {
            assert_eq!(label(host), expected, "{host}");
        }
    }
}
