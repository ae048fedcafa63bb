//! Reads the published Azure Functions traces, as text: calls per minute with memory and run times (2019, in
//! the layouts of the original and of InVitro's samples) and single calls (2021).
//!
//! A column is found by its name, a minute by a header that is a number, with or without `minute_`. Plain
//! CSV without quotes, which is what these files are. Opening files is the caller's business.

use std::collections::BTreeMap;
use std::fmt;

use super::trace::{Function, Profile, Recorder, Trace};
use crate::keep_alive::Trigger;

/// What a function without a row of its own is taken to hold, in GiB, and to run, in seconds: medians of
/// the published distributions.
const MEMORY: f64 = 170.0 / 1_024.0;
const RUN: f64 = 0.8;
/// Seconds a trace of single calls covers beyond its last one.
const AFTER_LAST: f64 = 60.0;

/// The three tables of 2019.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tables<'text> {
    /// Calls per minute.
    pub invocations: &'text str,
    /// Memory; may be empty.
    pub memory: &'text str,
    /// Run times; may be empty.
    pub durations: &'text str,
}

/// A table that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A column is missing.
    Column {
        /// Its name.
        name: &'static str,
    },
    /// A field is no number.
    Number {
        /// The line, from 1.
        line: usize,
        /// What it holds.
        field: String,
    },
    /// Nothing was called.
    Empty,
}

/// A table: the columns of its header, and its lines with their numbers.
struct Table<'text> {
    header: Vec<&'text str>,
    lines: Vec<(usize, Vec<&'text str>)>,
}

/// Reads calls per minute.
///
/// # Errors
/// A table lacks a column, or a field is no number.
pub fn minutes(name: &str, tables: Tables<'_>) -> Result<Trace, Error> {
    let memory = averages(tables.memory, &["HashFunction", "HashOwner"], "AverageAllocatedMb_pct50")?;
    let durations = averages(tables.durations, &["HashFunction"], "Average")?;
    let table = Table::new(tables.invocations);
    let id = table.column("HashFunction")?;
    let trigger = table.column("Trigger").ok();
    let first =
        table.header.iter().position(|name| is_minute(name)).ok_or(Error::Column { name: "minute_1" })?;
    let mut functions = Vec::new();
    for (line, fields) in &table.lines {
        let key = fields.get(id).copied().unwrap_or_default();
        let profile = Profile {
            trigger: trigger.map_or(Trigger::Unknown, |column| trigger_of(fields.get(column))),
            memory: memory.get(key).map_or(MEMORY, |mebibytes| mebibytes / 1_024.0),
            run: durations.get(key).map_or(RUN, |milliseconds| milliseconds / 1_000.0),
        };
        let counts = fields.get(first..).unwrap_or_default();
        let counts: Vec<u32> = counts.iter().map(|field| count(field, *line)).collect::<Result<_, _>>()?;
        functions.extend(Function::from_minutes(&profile, &counts, seed(key)));
    }
    let horizon = table.header.len().saturating_sub(first) as f64 * 60.0;
    finish(name, horizon, functions)
}

/// Reads single calls: application, function, end and duration in seconds.
///
/// # Errors
/// The table lacks a column, or a field is no number.
pub fn calls(name: &str, text: &str) -> Result<Trace, Error> {
    let table = Table::new(text);
    let (function, end, duration) =
        (table.column("func")?, table.column("end_timestamp")?, table.column("duration")?);
    let mut calls: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    let mut last: f64 = 0.0;
    for (line, fields) in &table.lines {
        let run = number(fields.get(duration), *line)?;
        let end = number(fields.get(end), *line)?;
        last = last.max(end);
        calls
            .entry(fields.get(function).copied().unwrap_or_default())
            .or_default()
            .push(((end - run).max(0.0), run));
    }
    let horizon = last + AFTER_LAST;
    let profile = Profile { trigger: Trigger::Unknown, memory: MEMORY, run: RUN };
    let functions = calls.into_values().filter_map(|mut calls| {
        calls.sort_by(|one, other| one.0.total_cmp(&other.0));
        let mut recorder = Recorder::new();
        for (begin, run) in calls {
            recorder.call(begin, run);
        }
        recorder.finish(&profile, horizon)
    });
    finish(name, horizon, functions.collect())
}

fn finish(name: &str, horizon: f64, functions: Vec<Function>) -> Result<Trace, Error> {
    if functions.is_empty() {
        return Err(Error::Empty);
    }
    Ok(Trace { name: name.to_owned(), horizon, functions })
}

/// One number per function, from the first of the key columns that is there.
fn averages<'text>(
    text: &'text str,
    keys: &[&'static str],
    value: &'static str,
) -> Result<BTreeMap<&'text str, f64>, Error> {
    if text.is_empty() {
        return Ok(BTreeMap::new());
    }
    let table = Table::new(text);
    let key = keys.iter().find_map(|key| table.column(key).ok());
    let key = key.ok_or(Error::Column { name: keys.first().copied().unwrap_or_default() })?;
    let value = table.column(value)?;
    let rows = table.lines.iter();
    rows.map(|(line, fields)| {
        Ok((fields.get(key).copied().unwrap_or_default(), number(fields.get(value), *line)?))
    })
    .collect()
}

fn number(field: Option<&&str>, line: usize) -> Result<f64, Error> {
    let field = field.copied().unwrap_or_default();
    match field.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(Error::Number { line, field: field.to_owned() }),
    }
}

/// A count, which some files write as `12.0` and leave out when it is 0.
fn count(field: &str, line: usize) -> Result<u32, Error> {
    if field.is_empty() {
        return Ok(0);
    }
    let whole = field.split_once('.').map_or(field, |(whole, _)| whole);
    whole.parse().map_err(|_| Error::Number { line, field: field.to_owned() })
}

fn is_minute(name: &str) -> bool {
    name.strip_prefix("minute_").unwrap_or(name).parse::<u32>().is_ok()
}

fn trigger_of(field: Option<&&str>) -> Trigger {
    match field.copied().unwrap_or_default() {
        "http" => Trigger::Http,
        "queue" => Trigger::Queue,
        "event" | "storage" => Trigger::Event,
        "timer" => Trigger::Timer,
        "orchestration" => Trigger::Orchestration,
        _ => Trigger::Unknown,
    }
}

/// A number made from a name (FNV-1a), so that a function's calls fall on the same seconds in every run.
pub(super) fn seed(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

// === impl Table ===

impl<'text> Table<'text> {
    fn new(text: &'text str) -> Self {
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty());
        let split = |line: &'text str| line.split(',').collect::<Vec<_>>();
        let header = lines.next().map(|(_, line)| split(line)).unwrap_or_default();
        Self { header, lines: lines.map(|(index, line)| (index + 1, split(line))).collect() }
    }

    fn column(&self, name: &'static str) -> Result<usize, Error> {
        self.header.iter().position(|header| *header == name).ok_or(Error::Column { name })
    }
}

// === impl Error ===

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Column { name } => write!(out, "the table has no column {name}"),
            Self::Number { line, field } => write!(out, "line {line}: '{field}' is not a number"),
            Self::Empty => write!(out, "the trace holds no calls"),
        }
    }
}

impl std::error::Error for Error {}
