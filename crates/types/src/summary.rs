//! What a request cost, in a few figures, and how they are written into an answer's headers.
//!
//! Made by the worker when it has ended; an answer that streams carries what is known at its head.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::metering::Tier;
use crate::request_id::RequestId;

/// What the request found: the words of [`Tier::name`].
pub const START: HeaderName = HeaderName::from_static("x-lambent-start");
/// Its id, for `lambent trace`.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-lambent-request-id");
/// Microseconds it waited for something else than the start of its instance.
pub const QUEUE: HeaderName = HeaderName::from_static("x-lambent-queue-micros");
/// Microseconds it waited for the start of its instance.
pub const START_MICROS: HeaderName = HeaderName::from_static("x-lambent-start-micros");
/// Microseconds its instance had it.
pub const RUN: HeaderName = HeaderName::from_static("x-lambent-run-micros");
/// Microseconds of CPU time.
pub const CPU: HeaderName = HeaderName::from_static("x-lambent-cpu-micros");
/// The most memory of its instance meanwhile, in bytes.
pub const MEMORY_PEAK: HeaderName = HeaderName::from_static("x-lambent-memory-peak-bytes");
/// Bytes it sent.
pub const BYTES_IN: HeaderName = HeaderName::from_static("x-lambent-bytes-in");
/// Bytes it was answered with.
pub const BYTES_OUT: HeaderName = HeaderName::from_static("x-lambent-bytes-out");
/// `true` where CPU and memory are its part of what several requests used together.
pub const ESTIMATED: HeaderName = HeaderName::from_static("x-lambent-estimated");

/// What a request cost. `None`: not known yet, or not measured on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Which request.
    pub request_id: RequestId,
    /// What it found.
    pub start: Tier,
    /// Microseconds it waited for something else than the start of its instance.
    pub queue_micros: u64,
    /// Microseconds it waited for the start of its instance.
    pub start_micros: u64,
    /// Microseconds its instance had it.
    pub run_micros: Option<u64>,
    /// Microseconds of CPU time.
    pub cpu_micros: Option<u64>,
    /// The most memory of its instance meanwhile, in bytes.
    pub memory_peak_bytes: Option<u64>,
    /// Bytes it sent.
    pub bytes_in: u64,
    /// Bytes it was answered with.
    pub bytes_out: Option<u64>,
    /// Whether CPU and memory are its part of what several requests used together.
    pub estimated: bool,
}

// === impl Summary ===

impl Summary {
    /// Writes the figures into an answer's headers, over whatever the function has set under these names.
    pub fn write(&self, headers: &mut HeaderMap) {
        headers.insert(START, HeaderValue::from_static(self.start.name()));
        if let Ok(id) = HeaderValue::from_str(&self.request_id.to_string()) {
            headers.insert(REQUEST_ID, id);
        }
        let figures = [
            (QUEUE, Some(self.queue_micros)),
            (START_MICROS, Some(self.start_micros)),
            (RUN, self.run_micros),
            (CPU, self.cpu_micros),
            (MEMORY_PEAK, self.memory_peak_bytes),
            (BYTES_IN, Some(self.bytes_in)),
            (BYTES_OUT, self.bytes_out),
        ];
        for (name, figure) in figures {
            match figure {
                Some(figure) => drop(headers.insert(name, HeaderValue::from(figure))),
                None => drop(headers.remove(name)),
            }
        }
        match self.estimated {
            true => drop(headers.insert(ESTIMATED, HeaderValue::from_static("true"))),
            false => drop(headers.remove(ESTIMATED)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_that_are_not_known_are_not_said_by_anyone() {
        let summary = Summary {
            request_id: RequestId::new(),
            start: Tier::Ember,
            queue_micros: 1,
            start_micros: 2,
            run_micros: Some(3),
            cpu_micros: None,
            memory_peak_bytes: Some(4),
            bytes_in: 5,
            bytes_out: None,
            estimated: false,
        };
        let mut headers = HeaderMap::new();
        headers.insert(CPU, HeaderValue::from_static("of the function's own"));
        summary.write(&mut headers);
        assert_eq!(headers[START], "ember");
        assert_eq!(headers[RUN], "3");
        assert!(headers[REQUEST_ID] == summary.request_id.to_string().as_str());
        assert!(!headers.contains_key(CPU) && !headers.contains_key(ESTIMATED));
    }
}
