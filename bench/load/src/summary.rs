//! Measured latencies as the figures that are reported. Exact: every latency is kept and sorted.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// What one thread of a load has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Nanoseconds of each answer that counts.
    pub latencies: Vec<u64>,
    /// Nanoseconds that requests of an open loop were sent after they were due.
    pub lateness: Vec<u64>,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Connections that broke, by what they said.
    pub errors: BTreeMap<String, u64>,
}

// === impl Seen ===

impl Seen {
    /// Takes in what another thread has seen.
    pub(crate) fn merge(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.lateness.extend(other.lateness);
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        for (error, count) in other.errors {
            *self.errors.entry(error).or_default() += count;
        }
    }

    /// Everything, as JSON; `seconds` is the time that counted.
    pub(crate) fn report(mut self, mode: &str, seconds: f64) -> Value {
        let requests = self.latencies.len();
        let statuses: BTreeMap<String, u64> =
            self.statuses.iter().map(|(status, count)| (status.to_string(), *count)).collect();
        let refused: u64 =
            self.statuses.iter().filter(|(status, _)| **status >= 400).map(|(_, count)| count).sum();
        let mut report = json!({
            "mode": mode,
            "seconds": seconds,
            "requests": requests,
            "per_second": ratio(requests, seconds),
            "errors": refused + self.errors.values().sum::<u64>(),
            "statuses": statuses,
            "broken": self.errors,
            "latency_us": distribution(&mut self.latencies),
        });
        if let (Some(object), false) = (report.as_object_mut(), self.lateness.is_empty()) {
            object.insert("sent_late_us".to_owned(), distribution(&mut self.lateness));
        }
        report
    }
}

/// Minimum, percentiles, maximum and mean of nanoseconds, in microseconds.
fn distribution(values: &mut [u64]) -> Value {
    values.sort_unstable();
    let at = |share: f64| microseconds(percentile(values, share));
    let sum: u64 = values.iter().sum();
    json!({
        "min": at(0.0),
        "p50": at(0.5),
        "p90": at(0.9),
        "p99": at(0.99),
        "p999": at(0.999),
        "max": at(1.0),
        "mean": microseconds(sum.checked_div(values.len() as u64).unwrap_or(0)),
    })
}

/// The smallest value that at least `share` of all values do not exceed.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a vector's length is one of its positions"
)]
fn percentile(sorted: &[u64], share: f64) -> u64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

fn microseconds(nanoseconds: u64) -> f64 {
    (nanoseconds as f64 / 100.0).round() / 10.0
}

fn ratio(count: usize, seconds: f64) -> f64 {
    (count as f64 / seconds * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let values: Vec<u64> = (1..=1000).collect();
        assert_eq!(percentile(&values, 0.0), 1);
        assert_eq!(percentile(&values, 0.5), 500);
        assert_eq!(percentile(&values, 0.99), 990);
        assert_eq!(percentile(&values, 1.0), 1000);
        assert_eq!(percentile(&[], 0.5), 0);
    }

    #[test]
    fn answers_of_an_error_count_as_errors() {
        let mut seen = Seen { latencies: vec![1000, 3000], ..Seen::default() };
        seen.statuses = BTreeMap::from([(200, 1), (502, 1)]);
        seen.merge(Seen { errors: BTreeMap::from([("reset".to_owned(), 2)]), ..Seen::default() });
        let report = seen.report("closed", 0.5);
        assert_eq!(report["errors"], 3);
        assert_eq!(report["per_second"], 4.0);
        assert_eq!(report["latency_us"]["max"], 3.0);
    }
}
