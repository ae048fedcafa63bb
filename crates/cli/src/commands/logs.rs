//! `lambent logs`: what a function wrote, read through CloudWatch Logs operations.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use types::arn;

use super::ExitStatus;
use crate::api::{self, LogEvent, LogQuery, Logs};
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
    let mut reader = Reader::new(arguments);
    let events = reader.read(&server.logs, Some(arguments.lines)).await?;
    if events.is_empty() && !arguments.follow {
        // No line and no function look alike to the log service.
        server.lambda.function(&arguments.name, None).await?;
    }
    print(&events, printer)?;
    if !arguments.follow {
        return Ok(ExitStatus::Success);
    }
    loop {
        tokio::time::sleep(POLL).await;
        print(&reader.read(&server.logs, None).await?, printer)?;
    }
}

fn print(events: &[LogEvent], printer: Printer) -> anyhow::Result<()> {
    for event in events {
        print_event(event, printer)?;
    }
    Ok(())
}

fn print_event(event: &LogEvent, printer: Printer) -> anyhow::Result<()> {
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

/// Reads a log from where the last reading ended.
#[derive(Debug)]
struct Reader<'a> {
    query: LogQuery,
    request: Option<&'a str>,
    requests: Requests,
    /// Ids of what was read lately, which the next reading meets again.
    seen: HashSet<String>,
}

/// Which requests each stream is handling, by the platform's own lines. What a program writes while it handles
/// several is nobody's.
#[derive(Debug, Default)]
struct Requests {
    current: HashMap<String, Vec<String>>,
}

// === impl Reader ===

impl<'a> Reader<'a> {
    fn new(arguments: &'a LogsArguments) -> Self {
        let now = Timestamp::now().as_millisecond();
        let since = arguments.since.and_then(|since| i64::try_from(since.as_millis()).ok());
        let start_ms = since.map(|since| now.saturating_sub(since));
        let query = LogQuery { function: arguments.name.clone(), start_ms };
        let request = arguments.request.as_deref();
        Self { query, request, requests: Requests::default(), seen: HashSet::new() }
    }

    /// What is new; of that at most the last `keep` lines.
    async fn read(&mut self, logs: &Logs, keep: Option<usize>) -> Result<Vec<LogEvent>, api::Error> {
        let mut events: Vec<LogEvent> = Vec::new();
        let mut met: Vec<(String, i64)> = Vec::new();
        let Self { request, requests, seen, .. } = self;
        let take = |mut page: Vec<LogEvent>| {
            met.extend(page.iter().map(|event| (event.event_id.clone(), event.timestamp)));
            let start = met.last().map_or(0, |(_, newest)| newest.saturating_sub(OVERLAP_MS));
            met.retain(|(_, at)| *at >= start);
            page.retain(|event| !seen.contains(&event.event_id));
            page.retain(|event| request.is_none_or(|id| requests.is_of(event, id)));
            events.append(&mut page);
            let surplus = keep.map_or(0, |keep| events.len().saturating_sub(keep));
            events.drain(..surplus);
        };
        logs.events(&self.query, take).await?;
        if let Some((_, newest)) = met.last() {
            self.query.start_ms = Some(newest.saturating_sub(OVERLAP_MS));
            self.seen = met.into_iter().map(|(id, _)| id).collect();
        }
        Ok(events)
    }
}

// === impl Requests ===

impl Requests {
    /// Whether a line belongs to a request. Lines have to come in order.
    fn is_of(&mut self, event: &LogEvent, id: &str) -> bool {
        let named = |prefix: &str| event.message.strip_prefix(prefix)?.split_whitespace().next();
        let running = self.current.entry(event.log_stream_name.clone()).or_default();
        if let Some(started) = named("START RequestId: ") {
            running.push(started.to_owned());
            return started == id;
        }
        if let Some(ended) = named("END RequestId: ") {
            return ended == id;
        }
        if let Some(ended) = named("REPORT RequestId: ") {
            running.retain(|request| request != ended);
            return ended == id;
        }
        matches!(running.as_slice(), [only] if only == id)
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
            line("c", "START RequestId: 1 Version: 1"),
            line("c", "START RequestId: 3 Version: 1"),
            line("c", "of either"),
            line("c", "END RequestId: 3"),
            line("c", "REPORT RequestId: 3\tDuration"),
            line("c", "mine again"),
        ];
        let mut requests = Requests::default();
        let mine: Vec<&str> = lines
            .iter()
            .filter(|event| requests.is_of(event, "1"))
            .map(|event| event.message.as_str())
            .collect();
        assert_eq!(
            mine,
            [
                "START RequestId: 1 Version: 1",
                "mine",
                "END RequestId: 1",
                "REPORT RequestId: 1\tDuration",
                "START RequestId: 1 Version: 1",
                "mine again",
            ]
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
