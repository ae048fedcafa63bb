//! The life of a request, as one readable stack.
//!
//! Each layer stands where it does for the reason given beside it. A layer that refuses returns a typed
//! [`Error`]; [`rescue`] alone turns errors into responses.

use std::net::SocketAddr;
use std::sync::Arc;

use types::body::Body;
use types::invocation::{Boxed, Dispatch};
use types::request_id::RequestId;
use types::routing::Table;

use crate::connections::Handler;
use crate::forward;
use crate::metrics::Metrics;
use crate::rescue::{self, Context, Error};
use crate::route;

/// Answers requests to functions and web applications. A cheap clone.
#[derive(Clone)]
pub struct Service {
    routes: Table,
    dispatch: Arc<dyn Dispatch>,
    metrics: Metrics,
}

// === impl Service ===

impl Service {
    /// A service that resolves names by `routes` and hands requests to `dispatch`.
    #[must_use]
    pub fn new(routes: Table, dispatch: Arc<dyn Dispatch>, metrics: Metrics) -> Self {
        Self { routes, dispatch, metrics }
    }

    /// Answers one request, whatever it is.
    async fn answer(self, mut request: http::Request<Body>) -> http::Response<Body> {
        // In progress until the answer's head is made, also where the client leaves before that.
        let _in_progress = self.metrics.in_progress();
        // The id comes first, so that every answer has one, a refusal's too.
        let id = RequestId::new();
        request.extensions_mut().insert(id);
        let mut context = Context::of(&request, id);

        let mut response = match self.attempt(request, &mut context).await {
            Ok(response) => response,
            // The only place where an error becomes a response.
            Err(error) => rescue::response(&error, &mut context),
        };

        // What the function says about its own connection is not ours to repeat.
        forward::strip_hop_by_hop(response.headers_mut());
        forward::stamp(response.headers_mut(), id);
        if context.close && context.version < http::Version::HTTP_2 {
            response.headers_mut().insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
        }
        self.metrics.answered(response.status());
        response
    }

    /// The way to the function. Every `?` is a request that does not reach it.
    async fn attempt(
        &self,
        request: http::Request<Body>,
        context: &mut Context,
    ) -> Result<http::Response<Body>, Error> {
        // Sanity before anything looks at the request: no tunnels, no ambiguous hosts.
        forward::check_method(&request)?;
        let host = route::host(&request)?;

        // One atomic load; a redeploy from here on concerns the next request.
        let version = route::version(&self.routes.load(), &host)?;
        context.resolved = Some(Arc::clone(&version));

        // Only what is understood is passed on: an upgrade would silently become a plain request.
        forward::check_upgrade(&request)?;
        let mut request = forward::in_origin_form(request)?;

        // Stripped before set: no client decides what the connection's headers mean to the function.
        forward::strip_hop_by_hop(request.headers_mut());
        forward::set_forwarding(&mut request, &host, context.peer, context.id);

        // From here on the worker owns it: queue, instance, body.
        Ok(self.dispatch.serve(version, request).await?)
    }
}

impl Handler for Service {
    fn handle(&self, request: http::Request<Body>) -> Boxed<http::Response<Body>> {
        Box::pin(self.clone().answer(request))
    }
}

// === impl Context ===

impl Context {
    fn of(request: &http::Request<Body>, id: RequestId) -> Self {
        Self {
            id,
            version: request.version(),
            peer: request.extensions().get::<SocketAddr>().copied(),
            resolved: None,
            close: false,
        }
    }
}
