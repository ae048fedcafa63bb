//! `lambent explain`: why a function is as it is: its instances, its init, its windows, its costs.

use clap::Args;
use serde_json::Value;

use super::ExitStatus;
use super::status::duration as ago;
use super::trace::milliseconds;
use crate::api;
use crate::printer::Printer;
use crate::size::Bytes;

/// Starts and stops that are shown; `--json` has all that the server remembers.
const SHOWN: usize = 10;

/// Show why a function has the instances it has
///
/// How many instances there are and why, how long they are kept and where that comes from, whether they share
/// one init and what stands against it, the last starts and stops with their reasons, and what CPU time and
/// memory went into.
///
/// Example: lambent explain shop
#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// The function
    name: String,
}

/// Runs the command.
pub async fn run(
    arguments: &ExplainArguments,
    server: &api::Server,
    printer: Printer,
) -> anyhow::Result<ExitStatus> {
    let name = &arguments.name;
    // The AWS API knows best whether there is such a function, and says so in the words of every command.
    server.lambda.function(name, None).await?;
    let explanation = server.admin.explain(name).await?;
    if printer.is_json() {
        printer.document(&explanation)?;
        return Ok(ExitStatus::Success);
    }
    for line in lines(&explanation) {
        printer.data(line)?;
    }
    Ok(ExitStatus::Success)
}

fn lines(explanation: &Value) -> Vec<String> {
    let mut lines = labelled("instances", texts(explanation, "why"));
    if let Some(scaling) = explanation.get("scaling") {
        lines.extend(labelled("windows", scaling.get("windows").map(windows).unwrap_or_default()));
        lines.extend(labelled("load", scaling.get("load").map(load).unwrap_or_default()));
    }
    lines.extend(labelled("init", items(explanation, "templates").flat_map(init).collect()));
    lines.extend(labelled("failing", items(explanation, "backing_off").map(backing_off).collect()));
    if let Some(failure) = explanation.get("last_failure").filter(|failure| failure.is_object()) {
        let sentence = format!("{}: {}", text(failure, "error_type"), text(failure, "message"));
        lines.extend(labelled("last failure", vec![sentence, text(failure, "suggestion").to_owned()]));
    }
    if let Some(costs) = explanation.get("costs") {
        lines.extend(labelled("cost", split(costs)));
    }
    lines.extend(labelled("lately", items(explanation, "history").take(SHOWN).map(happening).collect()));
    lines
}

/// A label in front of the first of its lines.
fn labelled(label: &str, sentences: Vec<String>) -> Vec<String> {
    let labels = std::iter::once(label).chain(std::iter::repeat(""));
    let sentences = sentences.into_iter().filter(|sentence| !sentence.is_empty());
    labels.zip(sentences).map(|(label, sentence)| format!("{label:<14}{sentence}")).collect()
}

/// How long what is idle stays, and where that comes from.
fn windows(windows: &Value) -> Vec<String> {
    let window = |key: &str| {
        let span = windows.get(key)?;
        Some((span.get("from_ms")?.as_u64()?, span.get("until_ms")?.as_u64()?))
    };
    let sentence = |what: &str, (from, until): (u64, u64)| match (from, until) {
        (_, 0) => format!("{what} goes at once"),
        (0, _) => format!("{what} stays for {}", ago(until)),
        _ => format!("{what} goes at once, is made again after {} and goes after {}", ago(from), ago(until)),
    };
    let mut lines: Vec<String> =
        window("instance").map(|span| sentence("an idle instance", span)).into_iter().collect();
    lines.extend(window("template").map(|span| sentence("an ember without instances", span)));
    lines.push(text(windows, "source").to_owned());
    lines
}

/// What is known of the load.
fn load(load: &Value) -> Vec<String> {
    let number = |key: &str| load.get(key).and_then(Value::as_u64);
    let Some(service) = number("service_micros") else { return Vec::new() };
    let thousandths = |key: &str| number(key).unwrap_or(0);
    let (arrivals, places) = (thousandths("arrivals_milli"), thousandths("load_milli"));
    let start =
        number("start_micros").map(|start| format!(", a start {}", milliseconds(start))).unwrap_or_default();
    vec![
        format!("a request takes {}{start}", milliseconds(service)),
        format!(
            "{}.{:03} requests a second, {}.{:03} places in use on average, {} wanted",
            arrivals / 1_000,
            arrivals % 1_000,
            places / 1_000,
            places % 1_000,
            thousandths("places")
        ),
    ]
}

/// Whether a version's instances share one init.
fn init(template: &Value) -> Vec<String> {
    let version = text(template, "version");
    let number = |key: &str| template.get(key).and_then(Value::as_u64).unwrap_or(0);
    let first = match text(template, "state") {
        "alive" => format!(
            "version {version}: shared: forked {} times from an ember of {}, made {} ago",
            number("forks"),
            Bytes(number("memory_bytes")),
            ago(number("since_ms"))
        ),
        "making" => format!("version {version}: its ember is being made, since {}", ago(number("since_ms"))),
        "refused" => format!("version {version}: every instance runs its own"),
        _ => format!("version {version}: there is no ember any more, since {}", ago(number("since_ms"))),
    };
    std::iter::once(first)
        .chain(texts(template, "reasons").into_iter().map(|why| format!("  {why}")))
        .collect()
}

fn backing_off(paused: &Value) -> String {
    let number = |key: &str| paused.get(key).and_then(Value::as_u64).unwrap_or(0);
    format!(
        "init of version {} failed {} times in a row and is tried again in {}",
        text(paused, "version"),
        number("rounds"),
        ago(number("retry_after_ms"))
    )
}

/// What CPU time and memory went into, and how much of the whole each is.
fn split(costs: &Value) -> Vec<String> {
    let of =
        |bucket: &str, unit: &str| costs.get(bucket).and_then(|cost| cost.get(unit)?.as_u64()).unwrap_or(0);
    let buckets = ["requests", "init", "idle", "unattributed"];
    let whole = |unit: &str| buckets.iter().map(|bucket| of(bucket, unit)).sum::<u64>();
    let (cpu, memory) = (whole("cpu_micros"), whole("memory_mib_ms"));
    if cpu == 0 && memory == 0 {
        return Vec::new();
    }
    let percent = |part: u64, whole: u64| part.saturating_mul(100).checked_div(whole).unwrap_or(0);
    buckets
        .iter()
        .map(|bucket| {
            let (cpu_part, memory_part) = (of(bucket, "cpu_micros"), of(bucket, "memory_mib_ms"));
            format!(
                "{bucket:<13}{:>11} of CPU ({:>3} %), {:>11} MiB*s ({:>3} %)",
                milliseconds(cpu_part),
                percent(cpu_part, cpu),
                memory_part / 1_000,
                percent(memory_part, memory)
            )
        })
        .collect()
}

fn happening(happening: &Value) -> String {
    let number = |key: &str| happening.get(key).and_then(Value::as_u64);
    let instance: String = text(happening, "instance").chars().take(8).collect();
    let how = match (text(happening, "start"), number("start_micros")) {
        ("", _) | (_, None) => String::new(),
        (tier, Some(micros)) => format!(" {tier} in {}", milliseconds(micros)),
    };
    let why = match (text(happening, "why"), text(happening, "how")) {
        ("", "") => String::new(),
        (why, "") => format!(": {why}"),
        ("", how) => format!(": {how}"),
        (why, how) => format!(": {why}; {how}"),
    };
    let past = ago(number("ago_ms").unwrap_or(0));
    format!("{past:>7} ago  {:<8} {instance:<8}{how}{why}", text(happening, "what"))
}

fn items<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn texts(value: &Value, key: &str) -> Vec<String> {
    items(value, key).filter_map(Value::as_str).map(str::to_owned).collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_why_and_what_it_cost() {
        let explanation = serde_json::json!({
            "why": ["1 instance: 1 kept idle for up to 5 s"],
            "scaling": {
                "windows": {
                    "source": "learned from 4 gaps", "instance": { "from_ms": 0, "until_ms": 5_000 },
                    "template": { "from_ms": 300_000, "until_ms": 900_000 },
                },
                "load": {
                    "arrivals_milli": 2_500, "load_milli": 30, "places": 1, "service_micros": 12_000, "start_micros": 3_100,
                },
            },
            "templates": [
                { "version": "2", "state": "refused", "reasons": ["it has the file /tmp/x.db open for writing"] },
                { "version": "3", "state": "alive", "forks": 4, "memory_bytes": 31_000_000, "since_ms": 4_000, "reasons": [] },
            ],
            "backing_off": [{ "version": "4", "rounds": 2, "retry_after_ms": 900 }],
            "last_failure": { "error_type": "KeyError", "message": "'x'", "suggestion": "look at the log" },
            "costs": {
                "requests": { "cpu_micros": 900_000, "memory_mib_ms": 8_000 }, "init": { "cpu_micros": 90_000, "memory_mib_ms": 0 },
                "idle": { "cpu_micros": 10_000, "memory_mib_ms": 92_000 }, "unattributed": { "cpu_micros": 0, "memory_mib_ms": 0 },
            },
            "history": [
                { "ago_ms": 2_000, "what": "started", "instance": "0123456789", "start": "ember", "start_micros": 3_100, "why": "a request found no free place", "how": "no instance was free" },
                { "ago_ms": 61_000, "what": "stopped", "instance": "abcdefghij", "why": "it was idle for 5s, as long as it may be" },
            ],
        });
        insta::assert_snapshot!(lines(&explanation).join("\n"), @r"
        instances     1 instance: 1 kept idle for up to 5 s
        windows       an idle instance stays for 5 s
                      an ember without instances goes at once, is made again after 5 min and goes after 15 min
                      learned from 4 gaps
        load          a request takes 12.0 ms, a start 3.100 ms
                      2.500 requests a second, 0.030 places in use on average, 1 wanted
        init          version 2: every instance runs its own
                        it has the file /tmp/x.db open for writing
                      version 3: shared: forked 4 times from an ember of 31.0 MB, made 4 s ago
        failing       init of version 4 failed 2 times in a row and is tried again in 900 ms
        last failure  KeyError: 'x'
                      look at the log
        cost          requests        900.0 ms of CPU ( 90 %),           8 MiB*s (  8 %)
                      init             90.0 ms of CPU (  9 %),           0 MiB*s (  0 %)
                      idle             10.0 ms of CPU (  1 %),          92 MiB*s ( 92 %)
                      unattributed    0.000 ms of CPU (  0 %),           0 MiB*s (  0 %)
        lately            2 s ago  started  01234567 ember in 3.100 ms: a request found no free place; no instance was free
                         61 s ago  stopped  abcdefgh: it was idle for 5s, as long as it may be
        ");
    }
}
