//! The Lambda Runtime API, served to one instance on a listener inside its sandbox.
//!
//! Source: AWS's "Using the Lambda runtime API" (2018-06-01). `GET .../invocation/next` waits for work; the
//! first one ends the init. `POST .../{id}/response` and `.../{id}/error` end a request, `POST .../init/error`
//! ends the instance. Who speaks here is the function's own code: an answer counts only for the request in
//! hand, and everything it sends is limited.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::addresses::Address;
use crate::call::{EventCall, Fault};
use crate::failures::{self, RESPONSE_SLACK};
use crate::frames::head::Raised;

const PREFIX: &str = "/2018-06-01/runtime/";
/// Connections one instance may have open; a runtime needs one.
const CONNECTIONS: usize = 64;
/// How much more than is taken is still read, so that the sender gets to hear that it is too much.
const PATIENCE: u64 = 16;
/// Bytes of an error report that are read.
const ERROR_LIMIT: u64 = 256 * 1024;

/// One instance's Runtime API.
#[derive(Debug)]
pub(crate) struct Api {
    work: mpsc::Sender<EventCall>,
    waiting: tokio::sync::Mutex<mpsc::Receiver<EventCall>>,
    in_hand: Mutex<Option<InHand>>,
    first: Notify,
    init_error: Mutex<Option<Raised>>,
    payload_limit: u64,
}

/// The request the function has been given and has not answered.
#[derive(Debug)]
struct InHand {
    id: String,
    reply: oneshot::Sender<Result<Bytes, Fault>>,
}

/// What a runtime posts as an error.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ErrorReport {
    error_message: String,
    error_type: String,
    stack_trace: Vec<String>,
}

type Answer = Response<Full<Bytes>>;

// === impl Api ===

impl Api {
    /// Serves `listener` until `closed`. Its address stays in use until the listener is gone.
    pub fn serve(
        listener: TcpListener,
        payload_limit: u64,
        tracker: &TaskTracker,
        closed: CancellationToken,
        address: Option<Arc<Address>>,
    ) -> Arc<Self> {
        let (work, waiting) = mpsc::channel(1);
        let api = Arc::new(Self {
            work,
            waiting: tokio::sync::Mutex::new(waiting),
            in_hand: Mutex::new(None),
            first: Notify::new(),
            init_error: Mutex::new(None),
            payload_limit,
        });
        let accept = Arc::clone(&api).accept(listener, tracker.clone(), closed);
        tracker.spawn(async move {
            accept.await;
            drop(address);
        });
        api
    }

    /// Done when the function asks for its first request, or has reported that its init failed.
    pub async fn ready(&self) -> Result<(), Fault> {
        self.first.notified().await;
        match self.init_error.lock().take() {
            Some(raised) => Err(Fault::Raised(raised)),
            None => Ok(()),
        }
    }

    /// Hands a request to the function and waits for its answer.
    pub async fn invoke(&self, call: &EventCall) -> Result<Bytes, Fault> {
        let (reply, answer) = oneshot::channel();
        let id = call.event.request_id.to_string();
        *self.in_hand.lock() = Some(InHand { id, reply });
        self.work.send(call.clone()).await.map_err(|_| Fault::NotSent)?;
        answer.await.unwrap_or(Err(Fault::Broken))
    }

    async fn accept(self: Arc<Self>, listener: TcpListener, tracker: TaskTracker, closed: CancellationToken) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let accept = async {
                let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
                Ok::<_, io::Error>((listener.accept().await?.0, place))
            };
            let (stream, place) = tokio::select! {
                () = closed.cancelled() => return,
                accepted = accept => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::warn!(%error, "an instance's runtime API cannot accept");
                        return;
                    }
                },
            };
            let _ = stream.set_nodelay(true);
            let api = Arc::clone(&self);
            let closed = closed.clone();
            tracker.spawn(async move {
                let _place = place;
                let service = service_fn(move |request| {
                    let api = Arc::clone(&api);
                    async move { Ok::<_, Infallible>(api.answer(request).await) }
                });
                let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::select! {
                    () = closed.cancelled() => {}
                    _ = connection => {}
                }
            });
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let path = request.uri().path().to_owned();
        let Some(route) = path.strip_prefix(PREFIX) else { return no_route() };
        let parts: Vec<&str> = route.split('/').collect();
        match (request.method(), parts.as_slice()) {
            (&Method::GET, ["invocation", "next"]) => self.next().await,
            (&Method::POST, ["invocation", id, "response"]) => self.response(id, request).await,
            (&Method::POST, ["invocation", id, "error"]) => self.error(id, request).await,
            (&Method::POST, ["init", "error"]) => self.init_failed(request).await,
            _ => no_route(),
        }
    }

    async fn next(&self) -> Answer {
        self.first.notify_one();
        let call = self.waiting.lock().await.recv().await;
        match call {
            Some(call) => event_response(call),
            None => {
                error(StatusCode::INTERNAL_SERVER_ERROR, "Container.Stopping", "the instance is stopping")
            }
        }
    }

    async fn response(&self, id: &str, request: Request<Incoming>) -> Answer {
        let Some(in_hand) = self.take(id) else { return unknown_request() };
        let limit = self.payload_limit + RESPONSE_SLACK;
        match collect(request, limit).await {
            Ok(body) => {
                drop(in_hand.reply.send(Ok(body)));
                accepted()
            }
            Err(over) => {
                let fault = match over {
                    Some(size) => Fault::Known(Box::new(failures::too_large(size, limit))),
                    None => Fault::Malformed("the answer broke off".to_owned()),
                };
                drop(in_hand.reply.send(Err(fault)));
                let message = format!("Exceeded maximum allowed payload size ({limit} bytes).");
                error(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", &message)
            }
        }
    }

    async fn error(&self, id: &str, request: Request<Incoming>) -> Answer {
        let Some(in_hand) = self.take(id) else { return unknown_request() };
        let raised = report(request).await;
        drop(in_hand.reply.send(Err(Fault::Raised(raised))));
        accepted()
    }

    async fn init_failed(&self, request: Request<Incoming>) -> Answer {
        let raised = report(request).await;
        *self.init_error.lock() = Some(raised);
        self.first.notify_one();
        accepted()
    }

    fn take(&self, id: &str) -> Option<InHand> {
        self.in_hand.lock().take_if(|in_hand| in_hand.id == id)
    }
}

fn event_response(call: EventCall) -> Answer {
    let event = call.event;
    let mut response = Response::new(Full::new(event.payload));
    let headers = [
        ("lambda-runtime-aws-request-id", Some(event.request_id.to_string())),
        ("lambda-runtime-deadline-ms", Some(call.deadline_ms.to_string())),
        ("lambda-runtime-invoked-function-arn", Some(call.arn)),
        ("lambda-runtime-trace-id", event.trace),
        ("lambda-runtime-client-context", event.client_context),
        ("content-type", Some("application/json".to_owned())),
    ];
    for (name, value) in headers {
        // A value with a line break, which only a caller can have put there, is left out.
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// The whole body; `Err(Some(size))`: it is over the limit, `Err(None)`: it broke off.
async fn collect(request: Request<Incoming>, limit: u64) -> Result<Bytes, Option<u64>> {
    let mut incoming = request.into_body();
    let mut body = BytesMut::new();
    let mut size = 0_u64;
    while let Some(frame) = incoming.frame().await {
        let Ok(data) = frame.map_err(|_| None)?.into_data() else { continue };
        size = size.saturating_add(data.len() as u64);
        if size <= limit {
            body.extend_from_slice(&data);
        } else if size > limit.saturating_mul(PATIENCE) {
            break;
        }
    }
    if size > limit { Err(Some(size)) } else { Ok(body.freeze()) }
}

async fn report(request: Request<Incoming>) -> Raised {
    let kind = request.headers().get("lambda-runtime-function-error-type");
    let kind = kind.map(|kind| crate::call::latin1(kind.as_bytes()));
    let body = collect(request, ERROR_LIMIT).await.unwrap_or_default();
    let report: ErrorReport = serde_json::from_slice(&body).unwrap_or_else(|_| ErrorReport {
        error_message: String::from_utf8_lossy(&body).into_owned(),
        ..ErrorReport::default()
    });
    let error_type = if report.error_type.is_empty() { kind.unwrap_or_default() } else { report.error_type };
    Raised { error_type, message: report.error_message, stack_trace: report.stack_trace }
}

fn accepted() -> Answer {
    json(StatusCode::ACCEPTED, &serde_json::json!({ "status": "OK" }))
}

fn unknown_request() -> Answer {
    error(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID")
}

fn no_route() -> Answer {
    error(StatusCode::NOT_FOUND, "NotFound", "no such path in the runtime API")
}

fn error(status: StatusCode, kind: &str, message: &str) -> Answer {
    json(status, &serde_json::json!({ "errorMessage": message, "errorType": kind }))
}

fn json(status: StatusCode, value: &serde_json::Value) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(value.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
