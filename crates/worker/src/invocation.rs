//! One request on one leased instance: handed over, timed, its end told apart and written to the log.
//!
//! Driven where it came in; a caller who leaves does not stop it ([`crate::begun`]): what has begun is finished and
//! its answer discarded. The instance is given back as well only after an answer that kept to the
//! protocol; in every other case, a panic included, the lease retires it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;
use types::body::Body;
use types::failure::{Cause, Failure};
use types::invocation::{Event, Outcome, Unserved};
use types::metering::Tier;
use types::request_id::RequestId;
use types::settings::Init;
use types::summary::Summary;

use crate::answer::Answer;
use crate::call::{EventCall, Fault, HttpCall, epoch_ms};
use crate::collect::{Incomplete, collect};
use crate::failures::{self, RESPONSE_SLACK};
use crate::http_event;
use crate::instance::{Instance, Serving};
use crate::metering::{Arrival, Ended as Times, Open, Pending, Ring, Used};
use crate::output::{Begun, Report};
use crate::pool::Lease;

/// How long the end of an instance that was killed is waited for, for its last figures.
const LAST_WORD: Duration = Duration::from_millis(500);

/// How often an instance that seems to have used nothing is looked at again.
const MOMENTS: u32 = 4;

/// The request never reached the instance; the lease is to be given back for another.
#[derive(Debug)]
pub(crate) struct NotSent;

/// An answer that only waits for its instance to be released.
#[derive(Debug)]
pub(crate) struct Finish {
    answer: Answer,
    failure: Option<Failure>,
    pending: Pending,
}

/// A request that has been timed, whatever it came to.
struct Ended<T> {
    result: Result<T, Failure>,
    log_tail: Bytes,
    summary: Summary,
    pending: Pending,
}

/// Calls the handler, or gives the event to the web application.
pub(crate) async fn event(
    lease: &mut Lease,
    event: &Event,
    arrival: Arrival,
    payload_limit: u64,
) -> Result<(Outcome, Pending), NotSent> {
    let Ended { result, log_tail, summary, pending } = match lease.instance().serving() {
        Serving::Handler => handler(lease, event, arrival, payload_limit).await?,
        Serving::Web => application(lease, event, arrival, payload_limit).await?,
    };
    let summary = Some(summary);
    let outcome = match result {
        Ok(payload) => Outcome { payload, failure: None, log_tail, summary },
        Err(failure) => {
            Outcome { payload: failure.payload(event.request_id), failure: Some(failure), log_tail, summary }
        }
    };
    Ok((outcome, pending))
}

/// Gives a handler an HTTP request as an event, and its result back as an HTTP answer.
pub(crate) async fn http_handler(
    lease: &mut Lease,
    call: &HttpCall,
    arrival: Arrival,
    payload_limit: u64,
) -> Result<(Result<http::Response<Body>, Unserved>, Pending), NotSent> {
    let event = Event {
        request_id: call.request_id,
        payload: http_event::event(call, jiff::Timestamp::now()),
        client_context: None,
        trace: call.header("x-amzn-trace-id"),
    };
    let Ended { result, summary, pending, .. } = handler(lease, &event, arrival, payload_limit).await?;
    let failure = match result.map(|payload| http_event::response(&payload)) {
        Ok(Ok(mut response)) => {
            if lease.instance().version.settings.headers {
                summary.write(response.headers_mut());
            }
            return Ok((Ok(response.map(types::body::full)), pending));
        }
        Ok(Err(what)) => {
            let mut failure = failures::malformed(types::failure::Phase::Handler, &what);
            failure.log_lines = lease.instance().output.recent();
            lease.function().failed(&failure);
            failure
        }
        Err(failure) => failure,
    };
    Ok((Err(Unserved::Failed(Box::new(failure))), pending))
}

/// Gives a web application an HTTP request and streams its answer.
pub(crate) async fn http_application(
    lease: &mut Lease,
    call: &HttpCall,
    arrival: Arrival,
    mut answer: Answer,
) -> Result<Finish, (NotSent, Answer)> {
    let instance = Arc::clone(lease.instance());
    let version = Arc::clone(&instance.version);
    let call = HttpCall { deadline_ms: epoch_ms(version.timeout), ..call.clone() };
    let running = Running::begin(lease, call.request_id, arrival, call.body.len());
    if version.settings.headers {
        answer.announce(running.head());
    }
    let served = tokio::time::timeout(version.timeout, instance.serve(&call, &mut answer)).await;
    match running.end(lease, served, answer.given(), |()| Ok(())).await {
        // Nothing of a request that was not sent can have been answered.
        Err(NotSent) => Err((NotSent, answer)),
        Ok(Ended { result, pending, .. }) => Ok(Finish { answer, failure: result.err(), pending }),
    }
}

async fn handler(
    lease: &mut Lease,
    event: &Event,
    arrival: Arrival,
    payload_limit: u64,
) -> Result<Ended<Bytes>, NotSent> {
    let instance = Arc::clone(lease.instance());
    let version = Arc::clone(&instance.version);
    let call =
        EventCall { event: event.clone(), deadline_ms: epoch_ms(version.timeout), arn: version.arn.clone() };
    let running = Running::begin(lease, event.request_id, arrival, event.payload.len());
    let answered = tokio::time::timeout(version.timeout, instance.invoke(&call)).await;
    let size = size(&answered);
    running.end(lease, answered, size, |payload| within(payload, payload_limit)).await
}

/// An event for a web application: a request made of it, and a result made of the answer.
async fn application(
    lease: &mut Lease,
    event: &Event,
    arrival: Arrival,
    payload_limit: u64,
) -> Result<Ended<Bytes>, NotSent> {
    let instance = Arc::clone(lease.instance());
    let version = Arc::clone(&instance.version);
    let call = http_event::request(&event.payload, event.request_id, epoch_ms(version.timeout));
    let running = Running::begin(lease, event.request_id, arrival, event.payload.len());
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
    let size = size(&answered);
    running.end(lease, answered, size, Ok).await
}

// === impl Finish ===

impl Finish {
    /// Gives the client the end of its answer.
    pub fn finish(self, ring: &Ring) {
        self.pending.keep(ring);
        match self.failure {
            None => self.answer.finish(),
            Some(failure) => self.answer.fail(failure),
        }
    }
}

/// A request from `START` to `REPORT`. Dropped before its end, it is still taken out of the books.
struct Running {
    request_id: RequestId,
    instance: Arc<Instance>,
    arrival: Arrival,
    bytes_in: u64,
    first: bool,
    begun: Instant,
    open: Option<Open>,
}

// === impl Running ===

impl Running {
    fn begin(lease: &mut Lease, request_id: RequestId, arrival: Arrival, bytes_in: usize) -> Self {
        let instance = Arc::clone(lease.instance());
        lease.busy();
        instance.output.begin(request_id, &instance.version.version);
        let first = instance.books.first_use();
        let begun = Instant::now();
        let open = Some(instance.books.begin(begun));
        Self { request_id, instance, arrival, bytes_in: bytes_in as u64, first, begun, open }
    }

    /// What is known at the head of an answer that streams.
    fn head(&self) -> Summary {
        let ended = self.times(self.begun, "", Used::default(), 0);
        let pending =
            Pending::new(self.request_id, Arc::clone(&self.instance.books.origin), self.arrival, ended);
        Summary { run_micros: None, bytes_out: None, ..pending.record().summary() }
    }

    /// Tells the end apart, writes it down and decides whether the instance is well.
    async fn end<T, U>(
        mut self,
        lease: &mut Lease,
        answered: Result<Result<T, Fault>, tokio::time::error::Elapsed>,
        bytes_out: u64,
        check: impl FnOnce(T) -> Result<U, Box<Failure>>,
    ) -> Result<Ended<U>, NotSent> {
        let at = Instant::now();
        let (result, gone) = match answered {
            Ok(Ok(answer)) => {
                lease.well();
                (check(answer).map_err(|failure| *failure), false)
            }
            Ok(Err(Fault::NotSent)) => return Err(NotSent),
            Ok(Err(fault)) => {
                let (failure, well) = self.instance.explain(fault).await;
                if well {
                    lease.well();
                }
                (Err(failure), !well)
            }
            Err(_) => {
                self.instance.kill();
                (Err(failures::timed_out(self.instance.version.timeout)), true)
            }
        };
        let result = result.map_err(|failure| self.explained(failure));
        let ending = result.as_ref().map_or_else(|failure| kind(&failure.cause), |_| "ok");
        let duration = at.saturating_duration_since(self.begun);
        let used = self.settle(duration, gone).await;
        let times = self.times(at, ending, used, bytes_out);
        let pending =
            Pending::new(self.request_id, Arc::clone(&self.instance.books.origin), self.arrival, times);
        let summary = pending.record().summary();
        let log_tail = self.instance.output.end(self.request_id, &self.report(duration, &used, &summary));
        if let Err(failure) = &result {
            lease.function().failed(failure);
        }
        lease.function().metrics().ran(duration, ending, &summary);
        Ok(Ended { result, log_tail, summary, pending })
    }

    /// Takes the request out of the books.
    async fn settle(&mut self, duration: Duration, gone: bool) -> Used {
        let books = &self.instance.books;
        let Some(open) = self.open.take() else { return Used::default() };
        if gone {
            // The kernel's last word, where its files are gone with the instance.
            let exit = tokio::time::timeout(LAST_WORD, Arc::clone(&self.instance.tree).exited()).await;
            return books.end(&open, duration, exit.ok().map(|exit| exit.usage.cpu_micros));
        }
        for _ in 0..MOMENTS {
            if let Some(used) = books.try_end(&open, duration) {
                return used;
            }
            // Its thread is still on its processor, between the answer and its sleep.
            tokio::task::yield_now().await;
        }
        books.end(&open, duration, None)
    }

    fn times(&self, answered: Instant, ending: &'static str, used: Used, bytes_out: u64) -> Times {
        let (begun, first, bytes_in) = (self.begun, self.first, self.bytes_in);
        Times { begun, answered, first, ending, used, bytes_in, bytes_out }
    }

    fn report(&self, duration: Duration, used: &Used, summary: &Summary) -> Report {
        let version = &self.instance.version;
        let began = self.instance.books.origin.start.as_ref().filter(|_| self.first);
        let restored = version.settings.init == Init::Shared;
        Report {
            duration: duration.min(version.timeout),
            memory_mib: version.memory_mib,
            memory_peak_bytes: used.memory_highest,
            begun: began.map(|start| match start.tier {
                Tier::Spare | Tier::Ember if restored => Begun::Restored(start.duration()),
                _ => Begun::Started(start.duration()),
            }),
            cpu_micros: summary.cpu_micros,
            estimated: summary.estimated,
            start: summary.start,
            queue_micros: summary.queue_micros,
        }
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

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            self.instance.books.end(&open, Duration::ZERO, None);
            self.instance.output.give_up(self.request_id);
        }
    }
}

/// Bytes of an answer that is there.
fn size(answered: &Result<Result<Bytes, Fault>, tokio::time::error::Elapsed>) -> u64 {
    match answered {
        Ok(Ok(payload)) => payload.len() as u64,
        _ => 0,
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
