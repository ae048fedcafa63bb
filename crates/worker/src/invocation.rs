//! One request on one leased instance: handed over, timed, its end told apart and written to the log.
//!
//! Runs in a task of its own, so that a caller who leaves does not stop it: what has begun is finished and
//! its answer discarded. The instance is given back as well only after an answer that kept to the
//! protocol; in every other case, a panic included, the lease retires it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use tokio::sync::oneshot;
use tokio::time::Instant;
use types::body::Body;
use types::failure::{Cause, Failure};
use types::invocation::{Event, Outcome, Unserved};
use types::request_id::RequestId;

use crate::answer::Answer;
use crate::call::{EventCall, Fault, HttpCall, epoch_ms};
use crate::collect::{Incomplete, collect};
use crate::failures::{self, RESPONSE_SLACK};
use crate::http_event;
use crate::instance::{Instance, Serving};
use crate::output::Report;
use crate::pool::Lease;

/// The request never reached the instance; the lease is to be given back for another.
#[derive(Debug)]
pub(crate) struct NotSent;

/// An answer that only waits for its instance to be released.
#[derive(Debug)]
pub(crate) struct Finish {
    answer: Answer,
    failure: Option<Failure>,
}

/// A request that has been timed, whatever it came to.
struct Ended<T> {
    result: Result<T, Failure>,
    log_tail: Bytes,
}

/// Calls the handler, or gives the event to the web application.
pub(crate) async fn event(lease: &mut Lease, event: &Event, payload_limit: u64) -> Result<Outcome, NotSent> {
    let ended = match lease.instance().serving() {
        Serving::Handler => handler(lease, event, payload_limit).await?,
        Serving::Web => application(lease, event, payload_limit).await?,
    };
    Ok(match ended.result {
        Ok(payload) => Outcome { payload, failure: None, log_tail: ended.log_tail },
        Err(failure) => Outcome {
            payload: failure.payload(event.request_id),
            failure: Some(failure),
            log_tail: ended.log_tail,
        },
    })
}

/// Gives a handler an HTTP request as an event, and its result back as an HTTP answer.
pub(crate) async fn http_handler(
    lease: &mut Lease,
    call: &HttpCall,
    payload_limit: u64,
) -> Result<Result<http::Response<Body>, Unserved>, NotSent> {
    let event = Event {
        request_id: call.request_id,
        payload: http_event::event(call, jiff::Timestamp::now()),
        client_context: None,
        trace: call.header("x-amzn-trace-id"),
    };
    let ended = handler(lease, &event, payload_limit).await?;
    let failure = match ended.result.map(|payload| http_event::response(&payload)) {
        Ok(Ok(response)) => return Ok(Ok(response.map(types::body::full))),
        Ok(Err(what)) => {
            let mut failure = failures::malformed(types::failure::Phase::Handler, &what);
            failure.log_lines = lease.instance().output.recent();
            lease.function().failed(&failure);
            failure
        }
        Err(failure) => failure,
    };
    Ok(Err(Unserved::Failed(Box::new(failure))))
}

/// Gives a web application an HTTP request and streams its answer.
pub(crate) async fn http_application(
    lease: &mut Lease,
    parts: &Parts,
    body: &Bytes,
    request_id: RequestId,
    mut answer: Answer,
) -> Result<Finish, (NotSent, Answer)> {
    let instance = Arc::clone(lease.instance());
    let version = Arc::clone(&instance.version);
    let deadline_ms = epoch_ms(version.timeout);
    let call = HttpCall { request_id, deadline_ms, parts: parts.clone(), body: body.clone() };
    let running = Running::begin(lease, request_id);
    let served = tokio::time::timeout(version.timeout, instance.serve(&call, &mut answer)).await;
    match running.end(lease, served, |()| Ok(())).await {
        // Nothing of a request that was not sent can have been answered.
        Err(NotSent) => Err((NotSent, answer)),
        Ok(Ended { result, .. }) => Ok(Finish { answer, failure: result.err() }),
    }
}

async fn handler(lease: &mut Lease, event: &Event, payload_limit: u64) -> Result<Ended<Bytes>, NotSent> {
    let instance = Arc::clone(lease.instance());
    let version = Arc::clone(&instance.version);
    let call =
        EventCall { event: event.clone(), deadline_ms: epoch_ms(version.timeout), arn: version.arn.clone() };
    let running = Running::begin(lease, event.request_id);
    let answered = tokio::time::timeout(version.timeout, instance.invoke(&call)).await;
    running.end(lease, answered, |payload| within(payload, payload_limit)).await
}

/// An event for a web application: a request made of it, and a result made of the answer.
async fn application(lease: &mut Lease, event: &Event, payload_limit: u64) -> Result<Ended<Bytes>, NotSent> {
    let instance = Arc::clone(lease.instance());
    let version = Arc::clone(&instance.version);
    let call = http_event::request(&event.payload, event.request_id, epoch_ms(version.timeout));
    let running = Running::begin(lease, event.request_id);
    let (head, response) = oneshot::channel();
    let mut answer = Answer::new(head, &call.parts.method);
    let collected = async {
        let collect = async {
            let Ok(Ok(response)) = response.await else { return Ok(None) };
            let (parts, body) = response.into_parts();
            match collect(body, payload_limit + RESPONSE_SLACK).await {
                Ok(body) => Ok(Some(http_event::result(&parts, &body))),
                Err(Incomplete::TooLarge(size)) => {
                    let failure = failures::too_large(size, payload_limit + RESPONSE_SLACK);
                    Err(Fault::Known(Box::new(failure)))
                }
                Err(Incomplete::Broken(_)) => Ok(None),
            }
        };
        let serve = async {
            let served = instance.serve(&call, &mut answer).await;
            answer.finish();
            served
        };
        let (served, result) = tokio::join!(serve, collect);
        served?;
        result?.ok_or(Fault::Broken)
    };
    let answered = tokio::time::timeout(version.timeout, collected).await;
    running.end(lease, answered, Ok).await
}

// === impl Finish ===

impl Finish {
    /// Gives the client the end of its answer.
    pub fn finish(self) {
        match self.failure {
            None => self.answer.finish(),
            Some(failure) => self.answer.fail(failure),
        }
    }
}

/// A request from `START` to `REPORT`.
struct Running {
    request_id: RequestId,
    instance: Arc<Instance>,
    init: Option<Duration>,
    began: Instant,
}

// === impl Running ===

impl Running {
    fn begin(lease: &mut Lease, request_id: RequestId) -> Self {
        let instance = Arc::clone(lease.instance());
        lease.busy();
        instance.output.begin(request_id, &instance.version.version);
        let init = instance.first_use();
        Self { request_id, instance, init, began: Instant::now() }
    }

    /// Tells the end apart, writes it down and decides whether the instance is well.
    async fn end<T, U>(
        self,
        lease: &mut Lease,
        answered: Result<Result<T, Fault>, tokio::time::error::Elapsed>,
        check: impl FnOnce(T) -> Result<U, Box<Failure>>,
    ) -> Result<Ended<U>, NotSent> {
        let version = Arc::clone(&self.instance.version);
        let duration = self.began.elapsed();
        let result = match answered {
            Ok(Ok(answer)) => {
                lease.well();
                check(answer).map_err(|failure| *failure)
            }
            Ok(Err(Fault::NotSent)) => return Err(NotSent),
            Ok(Err(fault)) => {
                let (failure, well) = self.instance.explain(fault).await;
                if well {
                    lease.well();
                }
                Err(failure)
            }
            Err(_) => {
                self.instance.kill();
                Err(failures::timed_out(version.timeout))
            }
        };
        let result = result.map_err(|failure| self.explained(failure));
        let report = Report {
            duration: duration.min(version.timeout),
            memory_mib: version.memory_mib,
            memory_peak_bytes: self.instance.memory_peak(duration).await,
            init: self.init,
        };
        let log_tail = self.instance.output.end(self.request_id, &report);
        if let Err(failure) = &result {
            lease.function().failed(failure);
        }
        lease.function().metrics().ran(duration, result.as_ref().err().map(|failure| kind(&failure.cause)));
        Ok(Ended { result, log_tail })
    }

    /// Completes a failure with the last log lines and writes it to the log where AWS does.
    fn explained(&self, mut failure: Failure) -> Failure {
        failure.log_lines = self.instance.output.recent();
        let request_id = self.request_id;
        match failure.cause {
            Cause::Raised => {}
            Cause::TimedOut { .. } => {
                let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%3fZ");
                self.instance.output.note(format!("{now} {request_id} {}", failure.message));
            }
            _ => {
                self.instance.output.note(format!("RequestId: {request_id} Error: {}", failure.message));
                self.instance.output.note(failure.error_type.clone());
            }
        }
        failure
    }
}

fn within(payload: Bytes, limit: u64) -> Result<Bytes, Box<Failure>> {
    let size = payload.len() as u64;
    let limit = limit + RESPONSE_SLACK;
    if size > limit { Err(Box::new(failures::too_large(size, limit))) } else { Ok(payload) }
}

/// A failure's kind as a metric's label.
fn kind(cause: &Cause) -> &'static str {
    match cause {
        Cause::Raised => "raised",
        Cause::TimedOut { .. } => "timed_out",
        Cause::Exited { .. } => "exited",
        Cause::Killed { .. } => "killed",
        Cause::OutOfMemory { .. } => "out_of_memory",
        Cause::Malformed => "malformed",
        Cause::TooLarge { .. } => "too_large",
        Cause::Sandbox => "sandbox",
    }
}
