//! Answers requests to the admin address.

use std::sync::Arc;

use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Response, StatusCode};
use prometheus_client::registry::Registry;
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use types::arn::FunctionReference;
use types::body::{self, Body};
use types::function::Version;
use types::invocation::Boxed;
use types::routing::{Snapshot, Table};
use worker::Worker;

use crate::admin::pages::{Description, Function, Status};

/// The type of a metrics page: <https://prometheus.io/docs/specs/om/open_metrics_spec/>.
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Answers requests to the admin address. A cheap clone.
#[derive(Clone)]
pub(crate) struct Admin(Arc<Sources>);

/// What the pages are made from.
pub(crate) struct Sources {
    pub description: Description,
    pub started: Instant,
    pub routes: Table,
    pub worker: Worker,
    /// Fires when the server begins to stop.
    pub stopping: CancellationToken,
    pub registry: Registry,
}

// === impl Admin ===

impl Admin {
    pub(crate) fn new(sources: Sources) -> Self {
        Self(Arc::new(sources))
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Body> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut response = error(StatusCode::METHOD_NOT_ALLOWED, "the admin address is read-only");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match parts.as_slice() {
            ["healthz"] => self.health(),
            ["metrics"] => self.metrics(),
            ["v1", "status"] => self.status(),
            ["v1", "functions", name] => self.function(name),
            ["v1", "functions", name, "isolation"] => self.isolation(name),
            ["v1", "functions", name, "explain"] => self.explain(name),
            ["v1", "requests", id] => self.request(id),
            _ => error(
                StatusCode::NOT_FOUND,
                "no such page: there are /healthz, /metrics, /v1/status, /v1/functions/NAME, \
                 /v1/functions/NAME/isolation, /v1/functions/NAME/explain and /v1/requests/ID",
            ),
        }
    }

    /// 200 as long as new work is taken, so that a load balancer stops sending once the server stops.
    fn health(&self) -> Response<Body> {
        if self.0.stopping.is_cancelled() {
            return with(StatusCode::SERVICE_UNAVAILABLE, TEXT, "stopping\n".to_owned());
        }
        with(StatusCode::OK, TEXT, "ok\n".to_owned())
    }

    fn metrics(&self) -> Response<Body> {
        let mut text = String::new();
        match prometheus_client::encoding::text::encode(&mut text, &self.0.registry) {
            Ok(()) => with(StatusCode::OK, OPEN_METRICS, text),
            Err(reason) => {
                tracing::error!(%reason, "metrics cannot be written");
                error(StatusCode::INTERNAL_SERVER_ERROR, "metrics cannot be written")
            }
        }
    }

    fn status(&self) -> Response<Body> {
        page(&Status {
            server: &self.0.description,
            uptime_seconds: self.0.started.elapsed().as_secs(),
            worker: self.0.worker.status(),
        })
    }

    fn function(&self, name: &str) -> Response<Body> {
        let routes = self.0.routes.load();
        if !routes.functions.contains_key(name) {
            return unknown(name);
        }
        let worker = self.0.worker.status().functions.into_iter().find(|function| function.name == name);
        page(&Function { name: name.to_owned(), worker })
    }

    fn isolation(&self, name: &str) -> Response<Body> {
        let Some(version) = version(&self.0.routes.load(), name) else { return unknown(name) };
        match self.0.worker.isolation(&version) {
            Ok(spec) => page(&spec),
            Err(reason) => error(StatusCode::CONFLICT, &reason.to_string()),
        }
    }

    fn explain(&self, name: &str) -> Response<Body> {
        if !self.0.routes.load().functions.contains_key(name) {
            return unknown(name);
        }
        page(&self.0.worker.explain(name))
    }

    fn request(&self, id: &str) -> Response<Body> {
        let Ok(request) = id.parse() else {
            return error(StatusCode::BAD_REQUEST, &format!("`{id}` is not a request's id"));
        };
        match self.0.worker.trace(request) {
            Some(trace) => page(&trace),
            None => error(
                StatusCode::NOT_FOUND,
                &format!(
                    "request {request} is not among the last {} that this server has seen",
                    worker::trace::KEPT
                ),
            ),
        }
    }
}

impl gateway::Handler for Admin {
    fn handle(&self, request: http::Request<Body>) -> Boxed<Response<Body>> {
        let response = self.answer(request.method(), request.uri().path());
        Box::pin(std::future::ready(response))
    }
}

/// `NAME` or `NAME:QUALIFIER`; without a qualifier the version that its URL leads to, else `$LATEST`.
fn version(routes: &Snapshot, name: &str) -> Option<Arc<Version>> {
    let reference: FunctionReference = name.parse().ok()?;
    if reference.qualifier.is_none()
        && let Some(version) = routes.resolve_label(&reference.name)
    {
        return Some(Arc::clone(version));
    }
    routes.resolve(&reference).cloned()
}

fn unknown(name: &str) -> Response<Body> {
    error(StatusCode::NOT_FOUND, &format!("there is no function `{name}`"))
}

fn page(value: &impl Serialize) -> Response<Body> {
    match serde_json::to_string_pretty(value) {
        Ok(text) => with(StatusCode::OK, JSON, text + "\n"),
        Err(reason) => {
            tracing::error!(%reason, "a page cannot be written");
            error(StatusCode::INTERNAL_SERVER_ERROR, "the page cannot be written")
        }
    }
}

fn error(status: StatusCode, message: &str) -> Response<Body> {
    with(status, JSON, format!("{}\n", json!({ "error": message })))
}

fn with(status: StatusCode, content_type: HeaderValue, content: String) -> Response<Body> {
    let mut response = Response::new(body::full(content));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
