//! HTTP requests and answers as Lambda events, payload format 2.0, both ways. Pure.
//!
//! Source: AWS's "Invoking Lambda function URLs" (request and response payload format) and, for events
//! given to a web application, the convention of AWS's Lambda Web Adapter. Parsing here never fails on
//! what a client sends, only on what a function answers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, COOKIE, HOST, SET_COOKIE, USER_AGENT};
use http::request::Parts;
use http::response;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};
use types::request_id::RequestId;

use crate::call::{HttpCall, is_hop_by_hop, latin1};
use crate::json::{self, Object};

/// Bytes of an event without its body; most need no more.
const ROOM: usize = 1024;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// The member that makes a result an HTTP answer.
const STATUS_CODE: &str = "statusCode";
/// Where a web application gets a payload that is no HTTP event.
const EVENTS_PATH: &str = "/events";

/// The payload a handler gets for an HTTP request.
pub(crate) fn event(call: &HttpCall, now: jiff::Timestamp) -> Bytes {
    let mut out = Vec::with_capacity(ROOM + call.body.len());
    let (headers, body) = (&call.parts.headers, &call.body);
    let query = call.parts.uri.query().unwrap_or_default();
    let base64_encoded = !body.is_empty() && !is_text(headers, body);
    let mut event = Object::begin(&mut out);
    event.text("version", "2.0");
    event.text("routeKey", "$default");
    event.text("rawPath", call.parts.uri.path());
    event.text("rawQueryString", query);
    if headers.contains_key(COOKIE) {
        let cookies = cookies(headers);
        if !cookies.is_empty() {
            json::plain(event.member("cookies"), Value::from(cookies));
        }
    }
    write_headers(event.object("headers"), headers);
    if !query.is_empty() {
        json::plain(event.member("queryStringParameters"), Value::from(query_parameters(query)));
    }
    write_context(event.object("requestContext"), call, now);
    if base64_encoded {
        event.text("body", &STANDARD.encode(body));
    } else if !body.is_empty() {
        event.text("body", &String::from_utf8_lossy(body));
    }
    event.plain("isBase64Encoded", base64_encoded);
    event.end();
    Bytes::from(out)
}

/// Headers by name, several values joined by commas.
fn write_headers(mut object: Object<'_>, headers: &HeaderMap) {
    for name in headers.keys() {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => object.latin1(name.as_str(), value.as_bytes()),
            _ => object.text(name.as_str(), &values_of(headers, name)),
        }
    }
    object.end();
}

fn write_context(mut context: Object<'_>, call: &HttpCall, now: jiff::Timestamp) {
    let host = call.host();
    let label = host.split(['.', ':']).next().unwrap_or_default();
    context.text("accountId", "anonymous");
    context.text("apiId", label);
    context.text("domainName", &host);
    context.text("domainPrefix", label);
    let mut http = context.object("http");
    http.text("method", call.parts.method.as_str());
    http.text("path", call.parts.uri.path());
    http.text("protocol", "HTTP/1.1");
    http.text("sourceIp", &call.client());
    match call.parts.headers.get(USER_AGENT) {
        Some(agent) => http.latin1("userAgent", agent.as_bytes()),
        None => http.plain("userAgent", "null"),
    }
    http.end();
    context.text("requestId", &call.request_id.to_string());
    context.text("routeKey", "$default");
    context.text("stage", "$default");
    context.text("time", &access_time(now));
    context.plain("timeEpoch", now.as_millisecond());
    context.end();
}

/// A time as access logs have it, in UTC.
fn access_time(now: jiff::Timestamp) -> String {
    let time = jiff::tz::Offset::UTC.to_datetime(now);
    let month = usize::try_from(time.month()).ok().and_then(|month| MONTHS.get(month.saturating_sub(1)));
    format!(
        "{:02}/{}/{}:{:02}:{:02}:{:02} +0000",
        time.day(),
        month.unwrap_or(&"Jan"),
        time.year(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

/// The HTTP answer in a handler's result.
///
/// # Errors
/// What is wrong with it, for a 502.
pub(crate) fn response(payload: &Bytes) -> Result<Response<Bytes>, String> {
    let not_json = |error| format!("it is not JSON: {error}");
    if !may_be_structured(payload) {
        serde_json::from_slice::<IgnoredAny>(payload).map_err(not_json)?;
        return Ok(inferred(payload));
    }
    let value: Value = serde_json::from_slice(payload).map_err(not_json)?;
    let structured = value.as_object().filter(|object| object.contains_key(STATUS_CODE));
    let Some(object) = structured else { return Ok(inferred(payload)) };
    let mut response = Response::new(body(object)?);
    *response.status_mut() = status(object.get("statusCode"))?;
    *response.headers_mut() = headers(object)?;
    Ok(response)
}

/// Whether a result may name a status; where it cannot, it need not be taken apart. Escapes may hide the name.
fn may_be_structured(payload: &[u8]) -> bool {
    payload.contains(&b'\\') || payload.windows(STATUS_CODE.len()).any(|name| name == STATUS_CODE.as_bytes())
}

/// A result that is the body itself, as AWS infers it.
fn inferred(payload: &Bytes) -> Response<Bytes> {
    let mut response = Response::new(payload.clone());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The request a web application gets for a payload: the one an HTTP event describes, else a POST of the
/// payload to `/events`.
pub(crate) fn request(payload: &Bytes, request_id: RequestId, deadline_ms: u64) -> HttpCall {
    let described = serde_json::from_slice::<Value>(payload).ok().and_then(|event| described(&event));
    let (parts, body) = described.unwrap_or_else(|| {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_static(EVENTS_PATH);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.headers_mut().insert(HOST, HeaderValue::from_static("localhost"));
        (request.into_parts().0, payload.clone())
    });
    HttpCall { request_id, deadline_ms, parts, body }
}

/// The result for an HTTP event that a web application has answered.
pub(crate) fn result(parts: &response::Parts, body: &Bytes) -> Bytes {
    let base64_encoded = !is_text(&parts.headers, body);
    let text =
        if base64_encoded { STANDARD.encode(body) } else { String::from_utf8_lossy(body).into_owned() };
    let set_cookies: Vec<String> =
        parts.headers.get_all(SET_COOKIE).iter().map(|value| latin1(value.as_bytes())).collect();
    let mut headers = joined(&parts.headers);
    headers.remove(SET_COOKIE.as_str());
    let mut result = json!({
        "statusCode": parts.status.as_u16(),
        "headers": headers,
        "body": text,
        "isBase64Encoded": base64_encoded,
    });
    if !set_cookies.is_empty()
        && let Some(object) = result.as_object_mut()
    {
        object.insert("cookies".to_owned(), set_cookies.into());
    }
    Bytes::from(result.to_string())
}

/// The request in an event of format 2.0.
fn described(event: &Value) -> Option<(Parts, Bytes)> {
    if event.get("version")?.as_str()? != "2.0" {
        return None;
    }
    let http = event.get("requestContext")?.get("http")?;
    let mut request = Request::new(());
    *request.method_mut() = http.get("method")?.as_str()?.parse().ok()?;
    let path =
        event.get("rawPath").and_then(Value::as_str).filter(|path| path.starts_with('/')).unwrap_or("/");
    let query = event.get("rawQueryString").and_then(Value::as_str).unwrap_or_default();
    let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    *request.uri_mut() = target.parse().ok()?;
    for (name, value) in event.get("headers").and_then(Value::as_object).into_iter().flatten() {
        let (Ok(name), Some(Ok(value))) =
            (name.parse::<HeaderName>(), value.as_str().map(HeaderValue::try_from))
        else {
            continue;
        };
        request.headers_mut().insert(name, value);
    }
    let cookies: Vec<&str> = event
        .get("cookies")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if !cookies.is_empty()
        && let Ok(value) = HeaderValue::try_from(cookies.join("; "))
    {
        request.headers_mut().insert(COOKIE, value);
    }
    let text = event.get("body").and_then(Value::as_str).unwrap_or_default();
    let encoded = event.get("isBase64Encoded").and_then(Value::as_bool).unwrap_or(false);
    let body = if encoded { STANDARD.decode(text).ok()? } else { text.as_bytes().to_vec() };
    Some((request.into_parts().0, body.into()))
}

fn status(value: Option<&Value>) -> Result<StatusCode, String> {
    let number = match value {
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(text)) => text.parse().ok(),
        _ => None,
    };
    let status = number.and_then(|number| u16::try_from(number).ok());
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    status.filter(|status| (200..600).contains(&status.as_u16())).ok_or_else(|| {
        format!("statusCode is {}, not a number from 200 to 599", value.unwrap_or(&Value::Null))
    })
}

fn body(object: &Map<String, Value>) -> Result<Bytes, String> {
    let text = match object.get("body") {
        None | Some(Value::Null) => return Ok(Bytes::new()),
        Some(Value::String(text)) => text,
        Some(other) => {
            let kind = if other.is_object() { "an object" } else { "not a string" };
            return Err(format!("body is {kind}: encode it as JSON text"));
        }
    };
    if object.get("isBase64Encoded").and_then(Value::as_bool) != Some(true) {
        return Ok(Bytes::from(text.clone()));
    }
    STANDARD.decode(text).map(Bytes::from).map_err(|error| format!("body is not base64: {error}"))
}

fn headers(object: &Map<String, Value>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    match object.get("headers") {
        None | Some(Value::Null) => {}
        Some(Value::Object(given)) => {
            for (name, value) in given {
                let text = match value {
                    Value::String(text) => text.clone(),
                    Value::Number(_) | Value::Bool(_) => value.to_string(),
                    _ => return Err(format!("header `{name}` is not a string")),
                };
                let parsed =
                    name.parse::<HeaderName>().map_err(|_| format!("`{name}` is not a header's name"))?;
                let value = HeaderValue::try_from(text)
                    .map_err(|_| format!("header `{name}` has characters that a header cannot have"))?;
                if !is_hop_by_hop(parsed.as_str()) && parsed != http::header::CONTENT_LENGTH {
                    headers.insert(parsed, value);
                }
            }
        }
        Some(_) => return Err("headers is not an object".to_owned()),
    }
    for cookie in object.get("cookies").and_then(Value::as_array).into_iter().flatten() {
        let cookie = cookie.as_str().and_then(|cookie| HeaderValue::try_from(cookie).ok());
        headers.append(SET_COOKIE, cookie.ok_or("a cookie is not a string that a header can have")?);
    }
    if !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    Ok(headers)
}

/// Headers by name, several values joined by commas.
fn joined(headers: &HeaderMap) -> Map<String, Value> {
    headers.keys().map(|name| (name.as_str().to_owned(), values_of(headers, name).into())).collect()
}

fn values_of(headers: &HeaderMap, name: &HeaderName) -> String {
    let values: Vec<String> = headers.get_all(name).iter().map(|value| latin1(value.as_bytes())).collect();
    values.join(if *name == COOKIE { "; " } else { "," })
}

fn cookies(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(COOKIE).iter().map(|value| latin1(value.as_bytes()));
    let split: Vec<String> =
        values.collect::<Vec<_>>().join(";").split(';').map(|one| one.trim().to_owned()).collect();
    split.into_iter().filter(|cookie| !cookie.is_empty()).collect()
}

fn query_parameters(query: &str) -> Map<String, Value> {
    let mut all: Map<String, Value> = Map::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match all.get_mut(name.as_ref()) {
            Some(Value::String(values)) => {
                values.push(',');
                values.push_str(&value);
            }
            _ => drop(all.insert(name.into_owned(), value.into_owned().into())),
        }
    }
    all
}

/// Whether a body can go into JSON as it is: AWS decides by the type, and it has to be UTF-8.
fn is_text(headers: &HeaderMap, body: &Bytes) -> bool {
    if headers.contains_key(http::header::CONTENT_ENCODING) {
        return false;
    }
    let kind = headers.get(CONTENT_TYPE).map(|value| latin1(value.as_bytes()).to_ascii_lowercase());
    let kind = kind.as_deref().map_or("", |kind| kind.split(';').next().unwrap_or_default().trim());
    let textual = kind.starts_with("text/")
        || kind.ends_with("+json")
        || kind.ends_with("+xml")
        || matches!(kind, "" | "application/json" | "application/xml" | "application/javascript");
    textual && std::str::from_utf8(body).is_ok()
}

#[cfg(test)]
mod tests;
