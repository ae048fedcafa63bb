//! `lambent logs`: what a function wrote, read through CloudWatch Logs operations.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use types::arn;

use super::ExitStatus;
use crate::api::{self, LogEvent, LogQuery};
use crate::printer::Printer;

/// How often `--follow` asks for more. The API has no way to be told.
const POLL: Duration = Duration::from_millis(250);
/// How far back `--follow` looks for lines that were written late.
const OVERLAP_MS: i64 = 2_000;

/// Show what a function wrote
///
/// Example: lambent logs shop --follow --since 10m
#[derive(Debug, Args)]
pub struct LogsArguments {
    /// The function
    name: String,
    /// Keep showing new lines
    #[arg(long, short)]
    follow: bool,
    /// Only lines of this long ago: 30s, 10m, 2h, 1d
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    since: Option<Duration>,
    /// Only lines of one request
    #[arg(long, value_name = "ID")]
    request: Option<String>,
    /// At most so many of the last lines
    #[arg(long, short = 'n', value_name = "NUMBER", default_value_t = 100)]
    lines: usize,
}

/// Runs the command.
pub async fn run(
    arguments: &LogsArguments,
    server: &api::Server,
    printer: Printer,
) -> anyhow::Result<ExitStatus> {
    arn::check_name(&arguments.name)?;
    let now = Timestamp::now().as_millisecond();
    let since = arguments.since.and_then(|since| i64::try_from(since.as_millis()).ok());
    let mut query = LogQuery {
        function: arguments.name.clone(),
        start_ms: since.map(|since| now.saturating_sub(since)),
        pattern: None,
    };
    let mut requests = Requests::default();
    let mut events = server.logs.events(&query).await?;
    if events.is_empty() && !arguments.follow {
        // No line and no function look alike to the log service.
        server.lambda.function(&arguments.name, None).await?;
    }
    let mut seen: HashSet<String> = HashSet::new();
    let mut first = true;
    loop {
        let newest = events.last().map(|event| event.timestamp);
        events.retain(|event| seen.insert(event.event_id.clone()));
        if let Some(id) = &arguments.request {
            events.retain(|event| requests.is_of(event, id));
        }
        let skipped = if first { events.len().saturating_sub(arguments.lines) } else { 0 };
        for event in events.iter().skip(skipped) {
            print(event, printer)?;
        }
        if !arguments.follow {
            return Ok(ExitStatus::Success);
        }
        first = false;
        if let Some(newest) = newest {
            query.start_ms = Some(newest.saturating_sub(OVERLAP_MS));
        }
        tokio::time::sleep(POLL).await;
        events = server.logs.events(&query).await?;
    }
}

fn print(event: &LogEvent, printer: Printer) -> anyhow::Result<()> {
    if printer.is_json() {
        printer.data(serde_json::to_string(event)?)?;
        return Ok(());
    }
    let time = Timestamp::from_millisecond(event.timestamp)?.to_zoned(TimeZone::system());
    let instance = event.log_stream_name.rsplit(']').next().unwrap_or_default();
    let instance: String = instance.chars().take(8).collect();
    let message = event.message.trim_end();
    printer.data(format_args!("{} {instance} {message}", time.strftime("%Y-%m-%d %H:%M:%S%.3f")))?;
    Ok(())
}

/// Which request each stream is handling, by the platform's own lines: an instance handles one at a time.
#[derive(Debug, Default)]
struct Requests {
    current: HashMap<String, String>,
}

// === impl Requests ===

impl Requests {
    /// Whether a line belongs to a request. Lines have to come in order.
    fn is_of(&mut self, event: &LogEvent, id: &str) -> bool {
        let named = |prefix: &str| event.message.strip_prefix(prefix)?.split_whitespace().next();
        if let Some(started) = named("START RequestId: ") {
            self.current.insert(event.log_stream_name.clone(), started.to_owned());
        }
        if let Some(ended) = named("REPORT RequestId: ") {
            self.current.remove(&event.log_stream_name);
            return ended == id;
        }
        self.current.get(&event.log_stream_name).is_some_and(|current| current == id)
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits).unwrap_or((text, ""));
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err("use a number and s, m, h or d, for instance 10m".to_owned()),
    };
    let number: u64 =
        number.parse().map_err(|_| "use a number and s, m, h or d, for instance 10m".to_owned())?;
    Ok(Duration::from_secs(number.saturating_mul(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_followed_through_its_stream() {
        let line = |stream: &str, message: &str| LogEvent {
            log_stream_name: stream.into(),
            message: message.into(),
            ..LogEvent::default()
        };
        let lines = [
            line("a", "START RequestId: 1 Version: 1"),
            line("b", "START RequestId: 2 Version: 1"),
            line("a", "mine"),
            line("b", "theirs"),
            line("a", "END RequestId: 1"),
            line("a", "REPORT RequestId: 1\tDuration"),
            line("a", "afterwards"),
        ];
        let mut requests = Requests::default();
        let mine: Vec<&str> = lines
            .iter()
            .filter(|event| requests.is_of(event, "1"))
            .map(|event| event.message.as_str())
            .collect();
        assert_eq!(
            mine,
            ["START RequestId: 1 Version: 1", "mine", "END RequestId: 1", "REPORT RequestId: 1\tDuration"]
        );
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(duration("1d"), Ok(Duration::from_secs(86_400)));
        for text in ["10", "m", "1w", ""] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
