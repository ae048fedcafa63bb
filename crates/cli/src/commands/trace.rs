//! `lambent trace`: the timeline of one request, as the server remembers it.

use clap::Args;
use serde_json::Value;
use types::request_id::RequestId;

use super::ExitStatus;
use crate::api;
use crate::diagnostics::Advised;
use crate::printer::Printer;
use crate::size::Bytes;

/// Cells of the widest bar.
const WIDTH: u64 = 40;

/// Show where one request's time went
///
/// Every answer names its request: in the header x-amzn-requestid, in the REPORT line of the log, and in what
/// `lambent invoke --json` prints. Times add up to the whole: from the request's arrival until its instance was
/// free again.
///
/// Example: lambent trace 5f0c1e1e-8a7d-4c39-9d1c-2b1a8f6f2f5e
#[derive(Debug, Args)]
pub struct TraceArguments {
    /// The request's id
    #[arg(value_name = "REQUEST_ID")]
    request: String,
}

/// Runs the command.
pub async fn run(
    arguments: &TraceArguments,
    server: &api::Server,
    printer: Printer,
) -> anyhow::Result<ExitStatus> {
    let id = request_id(&arguments.request)?;
    let trace = match server.admin.request(&id.to_string()).await {
        Err(api::Error::Service(error)) if error.status == 404 => return Err(forgotten(id).into()),
        answer => answer?,
    };
    if printer.is_json() {
        printer.document(&trace)?;
        return Ok(ExitStatus::Success);
    }
    for line in lines(&trace) {
        printer.data(line)?;
    }
    Ok(ExitStatus::Success)
}

fn request_id(text: &str) -> Result<RequestId, Advised> {
    text.parse().map_err(|_| {
        let hint = "take it from the header x-amzn-requestid of an answer, or from a REPORT line of `lambent logs NAME`";
        Advised::new(format!("`{text}` is not a request's id"), hint)
    })
}

fn forgotten(id: RequestId) -> Advised {
    let hint = "a server remembers its last 10,000 requests until it stops; `lambent logs NAME --request ID` has \
                what the request wrote for longer";
    Advised::new(format!("the server knows nothing of request {id}"), hint)
}

fn lines(trace: &Value) -> Vec<String> {
    let (text, number) = (|key| text(trace, key), |key| trace.get(key).and_then(Value::as_u64));
    let wall = number("wall_micros").unwrap_or(0);
    let instance: String = text("instance").chars().take(8).collect();
    let instance =
        if instance.is_empty() { "no instance".to_owned() } else { format!("instance {instance}") };
    let mut lines = vec![
        format!("{} {}, {instance}: {}", text("function"), text("version"), text("ending")),
        format!("arrived {}, {} in all", text("arrived"), milliseconds(wall)),
        String::new(),
    ];
    lines.extend(timeline(trace, wall));
    lines.push(String::new());
    let start = match text("why") {
        "" => text("start").to_owned(),
        why => format!("{}: {why}", text("start")),
    };
    let part = if trace.get("estimated") == Some(&Value::Bool(true)) { " (estimated)" } else { "" };
    let figures = [
        ("start", Some(start).filter(|start| !start.is_empty())),
        ("cpu", number("cpu_micros").map(|cpu| format!("{}{part}", milliseconds(cpu)))),
        (
            "memory",
            number("memory_peak_bytes").map(|peak| {
                let over_time = number("memory_mib_ms").unwrap_or(0);
                format!("{} at most, {over_time} MiB*ms{part}", Bytes(peak))
            }),
        ),
        (
            "bytes",
            Some(format!("{} in, {} out", number("bytes_in").unwrap_or(0), number("bytes_out").unwrap_or(0))),
        ),
    ];
    lines.extend(figures.into_iter().filter_map(|(label, figure)| Some(format!("{label:<10}{}", figure?))));
    lines
}

/// One line per stretch: its name, its time, and a bar that begins where the one before it ended.
fn timeline(trace: &Value, wall: u64) -> Vec<String> {
    let mut before = 0;
    let spans = trace.get("spans").and_then(Value::as_array).into_iter().flatten();
    spans
        .map(|span| {
            let micros = span.get("micros").and_then(Value::as_u64).unwrap_or(0);
            let from = cell(before, wall);
            before += micros;
            let cells = cell(before, wall).saturating_sub(from).max(u64::from(micros > 0));
            let from = from.min(WIDTH - cells.min(WIDTH));
            let bar = " ".repeat(usize::try_from(from).unwrap_or(0))
                + &"=".repeat(usize::try_from(cells).unwrap_or(0));
            format!("  {:<10}{:>12}  |{bar:<40}|", text(span, "name"), milliseconds(micros))
        })
        .collect()
}

fn cell(micros: u64, wall: u64) -> u64 {
    micros.saturating_mul(WIDTH).checked_div(wall).unwrap_or(0).min(WIDTH)
}

/// `0.042 ms`, `12.3 ms`, `1500 ms`: three digits that mean something.
pub fn milliseconds(micros: u64) -> String {
    let (whole, rest) = (micros / 1_000, micros % 1_000);
    match whole {
        0..10 => format!("{whole}.{rest:03} ms"),
        10..1_000 => format!("{whole}.{} ms", rest / 100),
        _ => format!("{whole} ms"),
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_each_stretch_where_the_last_ended() {
        let trace = serde_json::json!({
            "function": "shop", "version": "3", "instance": "0123456789", "ending": "ok",
            "arrived": "2026-11-24T00:00:00.000000Z", "start": "ember", "why": "no instance was free",
            "spans": [
                { "name": "queue", "micros": 10 }, { "name": "fork", "micros": 3_990 },
                { "name": "run", "micros": 5_000 }, { "name": "after", "micros": 1_000 },
            ],
            "wall_micros": 10_000, "cpu_micros": 1_234, "memory_peak_bytes": 12_300_000, "memory_mib_ms": 99,
            "estimated": false, "bytes_in": 2, "bytes_out": 27,
        });
        let shown = lines(&trace).join("\n");
        insta::assert_snapshot!(shown, @r"
        shop 3, instance 01234567: ok
        arrived 2026-11-24T00:00:00.000000Z, 10.0 ms in all

          queue         0.010 ms  |=                                       |
          fork          3.990 ms  |================                        |
          run           5.000 ms  |                ====================    |
          after         1.000 ms  |                                    ====|

        start     ember: no instance was free
        cpu       1.234 ms
        memory    12.3 MB at most, 99 MiB*ms
        bytes     2 in, 27 out
        ");
    }

    #[test]
    fn an_id_is_checked_before_anything_is_asked() {
        assert!(request_id("5f0c1e1e-8a7d-4c39-9d1c-2b1a8f6f2f5e").is_ok());
        assert!(request_id("../status").unwrap_err().to_string().contains("not a request's id"));
    }
}
