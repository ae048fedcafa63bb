//! Where words go: data to standard output, talk to standard error. Knows nothing of what it prints.
//!
//! Colour is decoration only and goes away when the stream is not a terminal or `NO_COLOR` is set
//! (`anstream` decides).

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;

/// Width of the labels in front of talk: `   found app.py: ...`.
const LABEL: usize = 9;

/// Decides between text for people and JSON for programs.
#[derive(Debug, Clone, Copy)]
pub struct Printer {
    json: bool,
}

// === impl Printer ===

impl Printer {
    /// A printer for this process's own streams.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether data is to be JSON.
    pub fn is_json(self) -> bool {
        self.json
    }

    /// Whether a person watches the talk, so that a line may be redrawn.
    pub fn is_watched() -> bool {
        io::stderr().is_terminal()
    }

    /// One line of data on standard output.
    pub fn data(self, line: impl Display) -> io::Result<()> {
        writeln!(anstream::stdout().lock(), "{line}")
    }

    /// Bytes of data on standard output, as they are.
    pub fn raw(self, bytes: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }

    /// One JSON document on standard output, on lines of its own.
    pub fn document(self, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
        self.data(text)
    }

    /// A table of data on standard output.
    pub fn table<const N: usize>(self, header: [&str; N], rows: Vec<[String; N]>) -> io::Result<()> {
        self.data(render_table(header, rows))
    }

    /// One line of talk on standard error. Losing it is no reason to fail.
    #[expect(
        clippy::unused_self,
        reason = "all output goes through a printer, so that it can be silenced in one place"
    )]
    pub fn talk(self, line: impl Display) {
        let _ = writeln!(anstream::stderr().lock(), "{line}");
    }

    /// One labelled line of talk: what is being done, and with what.
    pub fn step(self, label: &str, text: impl Display) {
        let style = Style::new().bold().fg_color(Some(AnsiColor::Green.into()));
        self.labelled(style, label, text);
    }

    /// A labelled line that deserves attention.
    pub fn note(self, text: impl Display) {
        let style = Style::new().bold().fg_color(Some(AnsiColor::Yellow.into()));
        self.labelled(style, "note", text);
    }

    fn labelled(self, style: Style, label: &str, text: impl Display) {
        self.talk(format_args!("{style}{label:>LABEL$}{style:#} {text}"));
    }
}

fn render_table<const N: usize>(header: [&str; N], rows: Vec<[String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.map(str::to_uppercase));
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}
