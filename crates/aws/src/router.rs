//! From a request on the AWS port to the service's operation, and back to bytes.
//!
//! The order of the steps: parse the query → find the service and operation → read the body under that
//! operation's limit → call → render errors in the caller's protocol → stamp the request id. A request
//! that means nothing here is answered in the shape its client reads and logged with what was missing.

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{HeaderName, StatusCode};
use types::body::Body;
use types::invocation::Boxed;
use types::request_id::RequestId;

use crate::error::Error;
use crate::route::{self, Labels};
use crate::scope::Scope;
use crate::service::{Protocol, Request, Service};
use crate::{Response, intake, respond};

const TARGET: HeaderName = HeaderName::from_static("x-amz-target");

/// All services on one port.
#[derive(Clone, Default)]
pub struct Router {
    services: Arc<Vec<Arc<dyn Service>>>,
}

/// A service and the operation a request means.
struct Destination {
    service: Arc<dyn Service>,
    operation: String,
    labels: Labels,
}

/// Where a request cannot go, and in which spelling to say so.
struct Lost {
    error: Error,
    spelling: Spelling,
}

enum Spelling {
    RestJson,
    Json(&'static str),
    Query,
    S3,
}

// === impl Router ===

impl Router {
    /// A router without services.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a service.
    #[must_use]
    pub fn with(self, service: Arc<dyn Service>) -> Self {
        let mut services = Arc::unwrap_or_clone(self.services);
        services.push(service);
        Self { services: Arc::new(services) }
    }

    /// Answers one request. Dropping the future means that the client has gone.
    #[must_use]
    pub fn handle(&self, request: http::Request<Body>) -> Boxed<Response> {
        let router = self.clone();
        Box::pin(async move {
            let id = RequestId::new();
            let (parts, body) = request.into_parts();
            let mut response = router.answer(id, parts, body).await;
            if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
                response.headers_mut().insert(respond::REQUEST_ID, value);
            }
            response
        })
    }

    async fn answer(&self, id: RequestId, parts: Parts, body: Body) -> Response {
        let query = parse_query(parts.uri.query().unwrap_or_default());
        let scope = Scope::of(&parts.headers, &query);
        let Destination { service, operation, labels } =
            match self.destination(&parts, &query, scope.as_ref()) {
                Ok(destination) => destination,
                Err(lost) => return lost.answer(id),
            };
        let protocol = service.protocol();
        let limit = service.body_limit(&operation);
        let body = match intake::collect(body, limit, content_length(&parts.headers)).await {
            Ok(body) => body,
            Err(intake::Error::TooLarge { size }) => {
                return protocol.error(&service.too_large(&operation, limit, size));
            }
            Err(broken @ intake::Error::Broken(_)) => {
                let code = "IncompleteBody";
                return protocol.error(&Error::front_end(code, StatusCode::BAD_REQUEST, broken.to_string()));
            }
        };
        let (method, headers) = (parts.method, parts.headers);
        let request = Request { operation, id, method, labels, query, headers, body, scope };
        match service.call(request).await {
            Ok(response) => response,
            Err(error) => {
                if error.status.is_server_error() {
                    tracing::warn!(%id, %error, "an AWS operation failed");
                }
                protocol.error(&error)
            }
        }
    }

    fn destination(
        &self,
        parts: &Parts,
        query: &[(String, String)],
        scope: Option<&Scope>,
    ) -> Result<Destination, Box<Lost>> {
        if let Some(target) = parts.headers.get(TARGET).and_then(|value| value.to_str().ok()) {
            return self.by_target(target, &parts.headers);
        }
        let path = parts.uri.path();
        for service in self.services.iter() {
            // A signature names the service; without one (curl, a presigned download) the path decides.
            let Protocol::RestJson(routes) = service.protocol() else { continue };
            if scope.is_some_and(|scope| scope.service != service.name()) {
                continue;
            }
            if let Some((operation, labels)) = route::find(routes, &parts.method, path, query) {
                let service = Arc::clone(service);
                return Ok(Destination { service, operation: operation.to_owned(), labels });
            }
        }
        Err(Box::new(self.nowhere(parts, scope)))
    }

    fn by_target(&self, target: &str, headers: &HeaderMap) -> Result<Destination, Box<Lost>> {
        let (prefix, operation) = target.rsplit_once('.').unwrap_or((target, ""));
        let serves = |service: &&Arc<dyn Service>| match service.protocol() {
            Protocol::Json { target, .. } => target == prefix,
            Protocol::RestJson(_) => false,
        };
        if let Some(service) = self.services.iter().find(serves) {
            let (service, operation) = (Arc::clone(service), operation.to_owned());
            return Ok(Destination { service, operation, labels: Labels::default() });
        }
        let content_type =
            headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let version = if content_type.ends_with("1.0") { "1.0" } else { "1.1" };
        Err(Box::new(Lost {
            error: Error::unsupported(prefix, operation),
            spelling: Spelling::Json(version),
        }))
    }

    /// Why no REST service takes the request, in the spelling of the service it was signed for.
    fn nowhere(&self, parts: &Parts, scope: Option<&Scope>) -> Lost {
        let what = format!("{} {}", parts.method, parts.uri.path());
        let service = scope.map_or("", |scope| scope.service.as_str());
        if service.is_empty() || self.services.iter().any(|known| known.name() == service) {
            let text = format!(
                "`{what}` is no operation of the AWS API here: this is the AWS endpoint, functions and web \
                 applications are served by the gateway"
            );
            let error = Error::front_end("UnknownOperationException", StatusCode::NOT_FOUND, text);
            return Lost { error, spelling: Spelling::RestJson };
        }
        let spelling = match service {
            "s3" => Spelling::S3,
            "sts" | "iam" | "cloudformation" | "sns" | "sqs" | "monitoring" | "ec2" => Spelling::Query,
            _ => Spelling::RestJson,
        };
        let mut error = Error::unsupported(service, "");
        error.message = error.message.map(|message| format!("{message} (request: {what})"));
        Lost { error, spelling }
    }
}

// === impl Lost ===

impl Lost {
    fn answer(&self, id: RequestId) -> Response {
        tracing::warn!(%id, error = %self.error, "a request for something that is not there");
        match self.spelling {
            Spelling::RestJson => respond::rest_json_error(&self.error),
            Spelling::Json(version) => respond::json_error(&self.error, version),
            Spelling::Query => respond::query_error(&self.error, &id.to_string()),
            Spelling::S3 => respond::s3_error(&self.error, &id.to_string()),
        }
    }
}

fn parse_query(query: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
