//! What changes on a request and a response between a client and a function: targets in origin form,
//! hop-by-hop headers removed, forwarding headers and ids set. Pure; decides nothing about routing.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::SystemTime;

use http::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, UPGRADE};
use http::uri::{PathAndQuery, Uri};
use http::{Method, Request};
use types::body::Body;
use types::request_id::RequestId;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const HTTP: HeaderValue = HeaderValue::from_static("http");
const TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// Why a request cannot be passed on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// A tunnel or an echo, which functions do not offer.
    #[error("method {0} is not served")]
    Method(Method),
    /// A target that is no path.
    #[error("the request's target is not a path")]
    Target,
    /// A change of protocol.
    #[error("upgrading to `{0}` is not supported yet")]
    Upgrade(String),
}

/// Refuses methods that make sense only between a client and a proxy.
pub(crate) fn check_method(request: &Request<Body>) -> Result<(), Error> {
    match *request.method() {
        Method::CONNECT | Method::TRACE => Err(Error::Method(request.method().clone())),
        _ => Ok(()),
    }
}

/// Refuses WebSockets by name. Other offers to upgrade (`h2c`) may be ignored: RFC 9110, 7.8.
pub(crate) fn check_upgrade(request: &Request<Body>) -> Result<(), Error> {
    let offered = request.headers().get_all(UPGRADE).iter().filter_map(|value| value.to_str().ok());
    for protocol in offered.flat_map(|value| value.split(',')).map(str::trim) {
        if protocol.eq_ignore_ascii_case("websocket") {
            return Err(Error::Upgrade(protocol.to_owned()));
        }
    }
    Ok(())
}

/// Makes the target a path with its query, as HTTP/1.1 servers get it.
pub(crate) fn in_origin_form(mut request: Request<Body>) -> Result<Request<Body>, Error> {
    let path = request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    if !path.as_str().starts_with('/') {
        return Err(Error::Target);
    }
    *request.uri_mut() = Uri::from(path);
    Ok(request)
}

/// Removes the headers that belong to one connection, those that `Connection` names among them.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    // Most have none, and looking is cheaper than removing each by name.
    if !headers.keys().any(is_hop_by_hop) {
        return;
    }
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let own: Vec<HeaderName> = headers.keys().filter(|name| is_hop_by_hop(name)).cloned().collect();
    for name in named.iter().chain(&own) {
        headers.remove(name);
    }
}

/// Headers that concern one connection only: RFC 9110, 7.6.1. `TE: trailers` is an offer to us; we take none.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Says where the request came from. A client on this machine may be a proxy that knows better, so what
/// it says about the protocol and the host stays; others are overruled.
pub(crate) fn set_forwarding(
    request: &mut Request<Body>,
    host: &str,
    peer: Option<SocketAddr>,
    id: RequestId,
) {
    let trusted = peer.is_some_and(|peer| peer.ip().is_loopback());
    let headers = request.headers_mut();
    if let Ok(value) = HeaderValue::from_str(host) {
        set(headers, FORWARDED_HOST, value.clone(), trusted);
        // As it came in, unless the target named another.
        if headers.get(HOST) != Some(&value) {
            headers.insert(HOST, value);
        }
    }
    set(headers, FORWARDED_PROTO, HTTP, trusted);
    let port = host.rsplit_once(':').map_or("80", |(_, port)| port);
    if let Ok(value) = HeaderValue::from_str(port) {
        set(headers, FORWARDED_PORT, value, trusted);
    }
    if let Some(peer) = peer {
        append_client(headers, peer);
    }
    if !headers.contains_key(TRACE_ID)
        && let Ok(value) = HeaderValue::try_from(trace_root(id))
    {
        headers.insert(TRACE_ID, value);
    }
}

/// Puts the request's id on an answer.
pub(crate) fn stamp(headers: &mut HeaderMap, id: RequestId) {
    if let Ok(value) = HeaderValue::try_from(id.to_string()) {
        headers.insert(REQUEST_ID, value);
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue, keep: bool) {
    if !(keep && headers.contains_key(&name)) {
        headers.insert(name, value);
    }
}

/// Appends the client's address to the list of those the request has passed.
fn append_client(headers: &mut HeaderMap, peer: SocketAddr) {
    let mut passed = String::new();
    for value in headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()) {
        passed.push_str(value);
        passed.push_str(", ");
    }
    // Writing to a String cannot fail.
    let _ = write!(passed, "{}", peer.ip().to_canonical());
    if let Ok(value) = HeaderValue::try_from(passed) {
        headers.insert(FORWARDED_FOR, value);
    }
}

/// A fresh X-Ray root: version, seconds since the epoch and 96 bits, which are the request's own.
fn trace_root(id: RequestId) -> String {
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut root = format!("Root=1-{seconds:08x}-");
    root.extend(id.to_string().chars().filter(|c| *c != '-').skip(8));
    root
}
