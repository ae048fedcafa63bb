//! `lambent simulate`: replays a trace of calls against keep-alive policies and says what each would have
//! cost. Reads files and prints; the policies and the sums are in `autoscaler`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use autoscaler::keep_alive::price;
use autoscaler::keep_alive::prior::Learning;
use autoscaler::keep_alive::{Fork, Priors};
use autoscaler::simulate::azure::{self, Tables};
use autoscaler::simulate::compare::{Comparison, Row, Setup, compare};
use autoscaler::simulate::outcome::Charges;
use autoscaler::simulate::trace::Trace;
use autoscaler::simulate::{load, plot, synthetic};
use clap::Args;
use serde::Deserialize;

use super::ExitStatus;
use crate::diagnostics::Advised;
use crate::printer::Printer;

/// The generated trace: functions, minutes, and the seeds of what is tested and of what is learned from.
const FUNCTIONS: usize = 1_000;
const MINUTES: usize = 1_440;
const TEST_SEED: u64 = 1;
const PRIOR_SEED: u64 = 2;
/// Milliseconds of starts that the loads are tried with.
const LOAD_STARTS: [u64; 3] = [5, 50, 250];
/// What `bench/ratios.py` measured on 24 November 2026: the median of three functions, each figure by itself.
const COLD_START_MS: f64 = 128.9;
const FORK_MS: f64 = 3.75;
const TEMPLATE_SHARE: f64 = 1.04;
const OWN_SHARE: f64 = 0.12;
/// Names of the tables in a folder, in the layouts that are published.
const INVOCATIONS: [&str; 2] = ["invocations.csv", "inv.csv"];
const MEMORY: [&str; 2] = ["memory.csv", "mem.csv"];
const DURATIONS: [&str; 2] = ["durations.csv", "run.csv"];

/// Compare keep-alive policies on a trace of calls
///
/// Replays the calls against the policy of `autoscaler` and against fixed times, Knative's retention, the
/// hybrid histogram and greedy-dual, and prints for each how long callers would have waited for starts and how
/// much memory would have stood idle. No server is needed: the policy is the very code that it follows; see
/// docs/keep-alive.md.
///
/// Example: lambent simulate --trace azure2019_1350 --prior azure2019_500_8h --svg frontier.svg
#[derive(Debug, Args)]
pub struct SimulateArguments {
    /// A folder with the tables of the Azure Functions trace 2019, or a file with calls in the format of 2021
    /// [default: a trace generated from published parameters]
    #[arg(long, value_name = "DIR|FILE")]
    trace: Option<PathBuf>,
    /// Another trace, to learn from what functions do before their own gaps are known [default: a generated
    /// one]
    #[arg(long, value_name = "DIR|FILE")]
    prior: Option<PathBuf>,
    /// What memory costs: milliseconds of delay per GiB-minute; several draw the frontier
    #[arg(
        long,
        value_name = "MS",
        value_delimiter = ',',
        value_parser = amount,
        default_values_t = [price::DEFAULT / 10.0, 5.0, 10.0, price::DEFAULT, 50.0, 100.0, 200.0]
    )]
    price: Vec<f64>,
    /// Milliseconds of a start from nothing [default: measured, 129]
    #[arg(long, value_name = "MS", value_parser = amount)]
    cold_start: Option<f64>,
    /// Milliseconds of a start from a template [default: measured, 3.7]
    #[arg(long, value_name = "MS", value_parser = amount)]
    fork: Option<f64>,
    /// Memory of a template as a share of an instance's [default: measured, 1.04]
    #[arg(long, value_name = "SHARE", value_parser = amount)]
    template_memory: Option<f64>,
    /// Memory that a forked instance has to itself, as a share of an instance's [default: measured, 0.12]
    #[arg(long, value_name = "SHARE", value_parser = amount)]
    fork_memory: Option<f64>,
    /// A file written by bench/ratios.py, to take those four from: the median of its functions
    #[arg(long, value_name = "FILE")]
    measured: Option<PathBuf>,
    /// Write what was learned from the traces, as the server's own table is
    #[arg(long, value_name = "FILE")]
    write_prior: Option<PathBuf>,
    /// Write the frontier as a picture
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Instead of a trace, drive the scaling rules with a step, a ramp, a sine and a spike, and count starts and
    /// stops against those needed
    #[arg(long, conflicts_with_all = ["trace", "prior", "price", "svg", "write_prior"])]
    loads: bool,
}

/// Runs the command.
pub fn run(arguments: &SimulateArguments, printer: Printer) -> anyhow::Result<ExitStatus> {
    if arguments.loads {
        return loads(printer);
    }
    let trace = read(arguments.trace.as_deref(), TEST_SEED)?;
    let (prior, priors) = learn(arguments.prior.as_deref())?;
    if let Some(path) = &arguments.write_prior {
        return write_prior(path, arguments, printer);
    }
    let Costs { cold_start, fork } = Costs::of(arguments)?;
    let setup = Setup { charges: Charges { cold_start }, fork, prices: arguments.price.clone() };
    let comparison = compare(&trace, &prior, &priors, &setup);
    if let Some(path) = &arguments.svg {
        std::fs::write(path, plot::svg(&comparison))
            .with_context(|| format!("cannot write {}", path.display()))?;
        printer.step("wrote", path.display());
    }
    if printer.is_json() {
        printer.document(&comparison)?;
    } else {
        print(&comparison, printer)?;
    }
    Ok(ExitStatus::Success)
}

/// What starts and templates cost.
struct Costs {
    cold_start: f64,
    fork: Fork,
}

/// What `bench/ratios.py` writes.
#[derive(Debug, Deserialize)]
struct Measured {
    kinds: Vec<MeasuredKind>,
}

#[derive(Debug, Deserialize)]
struct MeasuredKind {
    cold_start_ms: f64,
    fork_ms: f64,
    instance_bytes: f64,
    template_bytes: f64,
    forked_bytes: f64,
}

// === impl Costs ===

impl Costs {
    /// As the options say, else as a file says, else as it was measured once.
    fn of(arguments: &SimulateArguments) -> anyhow::Result<Self> {
        let measured = match &arguments.measured {
            None => [COLD_START_MS, FORK_MS, TEMPLATE_SHARE, OWN_SHARE],
            Some(path) => medians(path)?,
        };
        let asked = [arguments.cold_start, arguments.fork, arguments.template_memory, arguments.fork_memory];
        let [cold_start, delay, share, own] =
            std::array::from_fn(|index| asked.get(index).copied().flatten().or(measured.get(index).copied()));
        Ok(Self {
            cold_start: cold_start.unwrap_or(COLD_START_MS) / 1e3,
            fork: Fork {
                delay: delay.unwrap_or(FORK_MS) / 1e3,
                share: share.unwrap_or(TEMPLATE_SHARE),
                own: own.unwrap_or(OWN_SHARE),
            },
        })
    }
}

/// The median of each figure over the functions that were measured.
fn medians(path: &Path) -> anyhow::Result<[f64; 4]> {
    let measured: Measured = serde_json::from_str(&text(path)?)
        .with_context(|| format!("{} is not what bench/ratios.py writes", path.display()))?;
    let of = |figure: fn(&MeasuredKind) -> f64| -> f64 {
        let mut values: Vec<f64> = measured.kinds.iter().map(figure).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let medians = [
        of(|kind| kind.cold_start_ms),
        of(|kind| kind.fork_ms),
        of(|kind| kind.template_bytes / kind.instance_bytes),
        of(|kind| kind.forked_bytes / kind.instance_bytes),
    ];
    if medians.iter().all(|figure| figure.is_finite() && *figure >= 0.0) {
        return Ok(medians);
    }
    Err(Advised::new(format!("{} has no figures", path.display()), "run bench/ratios.py again").into())
}

/// Learns from the traces and writes that down.
fn write_prior(path: &Path, arguments: &SimulateArguments, printer: Printer) -> anyhow::Result<ExitStatus> {
    let mut learning = Learning::default();
    for trace in [&arguments.trace, &arguments.prior].into_iter().flatten() {
        for function in &read(Some(trace), TEST_SEED)?.functions {
            learning.add(function.trigger, &function.gaps());
        }
    }
    let table = serde_json::to_string(&learning.finish())?;
    std::fs::write(path, table).with_context(|| format!("cannot write {}", path.display()))?;
    printer.step("wrote", path.display());
    Ok(ExitStatus::Success)
}

fn print(comparison: &Comparison, printer: Printer) -> anyhow::Result<()> {
    printer.data(format_args!(
        "{}: {} functions, {} calls, {:.1} h; priors from {}\ncold start {:.1} ms, fork {:.2} ms, template {:.0} % of an \
         instance, a fork {:.0} %; {} calls waited at the limit of instances\n",
        comparison.trace,
        comparison.functions,
        comparison.invocations,
        comparison.horizon / 3_600.0,
        comparison.prior,
        comparison.cold_start * 1e3,
        comparison.fork.delay * 1e3,
        comparison.fork.share * 1e2,
        comparison.fork.own * 1e2,
        comparison.waited,
    ))?;
    let header = [
        "policy",
        "setting",
        "delay",
        "rel.",
        "idle GiB h",
        "rel.",
        "cold",
        "forks",
        "pre-warms",
        "starts",
        "stops",
        "start work",
        "p75 cold",
        "less of both than",
    ];
    printer.table(header, comparison.rows.iter().map(cells).collect())?;
    Ok(())
}

fn cells(row: &Row) -> [String; 14] {
    let outcome = &row.outcome;
    let beaten = match (row.beats_fixed, row.beats_hybrid) {
        (true, true) => "fixed 10, hybrid",
        (true, false) => "fixed 10",
        (false, true) => "hybrid",
        (false, false) => "-",
    };
    [
        row.family.label().to_owned(),
        row.setting.clone(),
        format!("{:.0} s", outcome.delay_seconds),
        format!("{:.3}", row.relative_delay),
        format!("{:.1}", outcome.idle_gib_seconds / 3_600.0),
        format!("{:.3}", row.relative_idle),
        outcome.cold.to_string(),
        outcome.forks.to_string(),
        outcome.prewarms.to_string(),
        outcome.starts.to_string(),
        outcome.stops.to_string(),
        format!("{:.0} s", outcome.start_seconds),
        format!("{:.3}", row.cold_share_p75),
        beaten.to_owned(),
    ]
}

fn loads(printer: Printer) -> anyhow::Result<ExitStatus> {
    let mut reports = Vec::new();
    for start in LOAD_STARTS {
        let start = Duration::from_millis(start);
        reports.extend(load::Shape::ALL.map(|shape| load::run(shape, TEST_SEED, start)));
    }
    if printer.is_json() {
        printer.document(&reports)?;
        return Ok(ExitStatus::Success);
    }
    let header = [
        "load",
        "start",
        "requests",
        "starts",
        "stops",
        "needed",
        "ratio",
        "stopped too soon",
        "longest wait",
    ];
    let cells = |report: &load::Report| {
        [
            format!("{:?}", report.shape).to_lowercase(),
            format!("{} ms", report.start),
            report.requests.to_string(),
            report.starts.to_string(),
            report.stops.to_string(),
            report.needed.to_string(),
            format!("{:.2}", (report.starts + report.stops) as f64 / report.needed.max(1) as f64),
            report.regretted.to_string(),
            format!("{:.1} ms", report.longest_wait),
        ]
    };
    printer.table(header, reports.iter().map(cells).collect())?;
    Ok(ExitStatus::Success)
}

fn learn(path: Option<&Path>) -> anyhow::Result<(String, Priors)> {
    let trace = read(path, PRIOR_SEED)?;
    Ok((trace.name.clone(), trace.priors()))
}

/// The trace at this path, or a generated one.
fn read(path: Option<&Path>, seed: u64) -> anyhow::Result<Trace> {
    let Some(path) = path else { return Ok(synthetic::trace(FUNCTIONS, MINUTES, seed)) };
    let name = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let trace = if path.is_dir() {
        let invocations = table(path, &INVOCATIONS)?.ok_or_else(|| {
            Advised::new(
                format!("{} holds no {}", path.display(), INVOCATIONS.join(" or ")),
                "give a folder of the Azure Functions trace 2019: calls per minute, memory and durations, as plain CSV",
            )
        })?;
        let memory = table(path, &MEMORY)?.unwrap_or_default();
        let durations = table(path, &DURATIONS)?.unwrap_or_default();
        let tables = Tables { invocations: &invocations, memory: &memory, durations: &durations };
        azure::minutes(&name, tables)
    } else {
        azure::calls(&name, &text(path)?)
    };
    trace.with_context(|| format!("cannot read the trace {}", path.display()))
}

/// The first of these tables that is there.
fn table(folder: &Path, names: &[&str]) -> anyhow::Result<Option<String>> {
    let path = names.iter().map(|name| folder.join(name)).find(|path| path.is_file());
    path.map(|path| text(&path)).transpose()
}

fn text(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// A number that is not negative.
fn amount(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err("must be a number from 0 on".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_folder_a_file_and_says_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let message = read(Some(folder.path()), 1).unwrap_err().to_string();
        assert!(message.contains("invocations.csv or inv.csv"), "{message}");
        std::fs::write(folder.path().join("inv.csv"), "HashFunction,minute_1,minute_2\nf,1,1\n").unwrap();
        assert_eq!(read(Some(folder.path()), 1).unwrap().invocations(), 2);
        let file = folder.path().join("calls.csv");
        std::fs::write(&file, "app,func,end_timestamp,duration\na,f,2,x\n").unwrap();
        let error = format!("{:#}", read(Some(&file), 1).unwrap_err());
        assert!(error.contains("calls.csv") && error.contains("line 2: 'x' is not a number"), "{error}");
    }
}
