//! Draws a comparison as an SVG document: idle memory-time against added delay, both beside a fixed ten
//! minutes, both logarithmic. Down and left is better. Text only; the numbers are in [`Comparison`].

use std::fmt::Write as _;

use super::compare::{Comparison, Family};

const WIDTH: f64 = 920.0;
const HEIGHT: f64 = 560.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 660.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 490.0;
const STYLE: &str = "text{font:12px sans-serif;fill:#333}.title{font-size:15px;font-weight:bold}.small{font-size:10px;\
    fill:#555}.grid{stroke:#ddd}.frame{fill:none;stroke:#333}.line{fill:none;stroke-width:1.5}";

/// One logarithmic axis.
#[derive(Debug, Clone, Copy)]
struct Axis {
    least: f64,
    most: f64,
    from: f64,
    to: f64,
}

/// The document.
#[must_use]
pub fn svg(comparison: &Comparison) -> String {
    let of = |value: fn(&super::compare::Row) -> f64| comparison.rows.iter().map(value);
    let across = Axis::around(of(|row| row.relative_idle), LEFT, RIGHT);
    let up = Axis::around(of(|row| row.relative_delay).chain(unavoidable(comparison)), BOTTOM, TOP);
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\n<style>{STYLE}</style>\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n"
    );
    heading(&mut out, comparison);
    grid(&mut out, across, up);
    if let Some(delay) = unavoidable(comparison) {
        let y = up.place(delay);
        let _ = write!(
            out,
            "<path d=\"M{LEFT} {y:.1}H{RIGHT}\" stroke=\"#999\" stroke-dasharray=\"5 4\"/>\n\
             <text class=\"small\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">every function's first call</text>\n",
            RIGHT - 6.0,
            y - 5.0
        );
    }
    for (index, family) in Family::ALL.into_iter().enumerate() {
        series(&mut out, comparison, family, across, up);
        legend(&mut out, family, TOP + 20.0 + index as f64 * 24.0);
    }
    out.push_str("</svg>\n");
    out
}

/// What no policy can avoid, beside a fixed ten minutes.
fn unavoidable(comparison: &Comparison) -> Option<f64> {
    let reference = comparison.rows.first()?;
    let delay = comparison.functions as f64 * comparison.cold_start;
    Some(delay / reference.outcome.delay_seconds.max(f64::MIN_POSITIVE))
}

fn heading(out: &mut String, comparison: &Comparison) {
    let _ = write!(
        out,
        "<text class=\"title\" x=\"{LEFT}\" y=\"26\">Delay against idle memory: {}</text>\n\
         <text class=\"small\" x=\"{LEFT}\" y=\"44\">{} functions, {} calls, {:.0} h. Cold start {:.0} ms, fork {:.1} ms, \
         template {:.0} % of an instance, a fork {:.0} %. Priors: {}.</text>\n",
        escape(&comparison.trace),
        comparison.functions,
        comparison.invocations,
        comparison.horizon / 3_600.0,
        comparison.cold_start * 1e3,
        comparison.fork.delay * 1e3,
        comparison.fork.share * 1e2,
        comparison.fork.own * 1e2,
        escape(&comparison.prior)
    );
    let (x, y) = (f64::midpoint(LEFT, RIGHT), f64::midpoint(TOP, BOTTOM));
    let _ = write!(
        out,
        "<text x=\"{x}\" y=\"{:.1}\" text-anchor=\"middle\">idle memory-time (fixed 10 min = 1), less is better</text>\n\
         <text transform=\"translate(24 {y}) rotate(-90)\" text-anchor=\"middle\">total added delay (fixed 10 min = 1), less \
         is better</text>\n",
        BOTTOM + 44.0
    );
}

fn grid(out: &mut String, across: Axis, up: Axis) {
    for tick in across.ticks() {
        let x = across.place(tick);
        let _ = writeln!(
            out,
            "<path class=\"grid\" d=\"M{x:.1} {TOP}V{BOTTOM}\"/><text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{tick}\
             </text>",
            BOTTOM + 18.0
        );
    }
    for tick in up.ticks() {
        let y = up.place(tick);
        let _ = writeln!(
            out,
            "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{RIGHT}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{tick}</text>",
            LEFT - 8.0,
            y + 4.0
        );
    }
    let _ = writeln!(
        out,
        "<rect class=\"frame\" x=\"{LEFT}\" y=\"{TOP}\" width=\"{}\" height=\"{}\"/>",
        RIGHT - LEFT,
        BOTTOM - TOP
    );
}

fn series(out: &mut String, comparison: &Comparison, family: Family, across: Axis, up: Axis) {
    let mut rows: Vec<_> = comparison.rows.iter().filter(|row| row.family == family).collect();
    rows.sort_by(|one, other| one.relative_idle.total_cmp(&other.relative_idle));
    let places: Vec<(f64, f64)> =
        rows.iter().map(|row| (across.place(row.relative_idle), up.place(row.relative_delay))).collect();
    let path: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
    let color = color(family);
    if path.len() > 1 {
        let _ = writeln!(out, "<path class=\"line\" stroke=\"{color}\" d=\"M{}\"/>", path.join("L"));
    }
    for (row, (x, y)) in rows.iter().zip(places) {
        mark(out, family, x, y);
        let label = row.setting.strip_prefix("price ").unwrap_or(&row.setting);
        let _ = writeln!(
            out,
            "<text class=\"small\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            x + 6.0,
            y - 5.0,
            escape(label)
        );
    }
}

/// A shape per family, so that colour is not needed to tell them apart.
fn mark(out: &mut String, family: Family, x: f64, y: f64) {
    let color = color(family);
    let _ = match family {
        Family::Fixed => writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{color}\"/>"),
        Family::Concurrency => {
            writeln!(out, "<path d=\"M{x:.1} {y:.1}m-5 4h10l-5 -9z\" fill=\"{color}\"/>")
        }
        Family::Hybrid => writeln!(out, "<path d=\"M{x:.1} {y:.1}m0 -6l6 6l-6 6l-6 -6z\" fill=\"{color}\"/>"),
        Family::GreedyDual => {
            writeln!(
                out,
                "<path d=\"M{x:.1} {y:.1}m-4 -4l8 8m0 -8l-8 8\" stroke=\"{color}\" stroke-width=\"2\"/>"
            )
        }
        Family::Window => {
            writeln!(
                out,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"#fff\" stroke=\"{color}\" stroke-width=\"2\"/>"
            )
        }
        Family::Templates => writeln!(out, "<path d=\"M{x:.1} {y:.1}m-4 -4h8v8h-8z\" fill=\"{color}\"/>"),
    };
}

fn legend(out: &mut String, family: Family, y: f64) {
    mark(out, family, RIGHT + 22.0, y);
    let note = match family {
        Family::Window | Family::Templates => " (by price)",
        _ => "",
    };
    let _ =
        writeln!(out, "<text x=\"{:.1}\" y=\"{:.1}\">{}{note}</text>", RIGHT + 36.0, y + 4.0, family.label());
}

fn color(family: Family) -> &'static str {
    match family {
        Family::Fixed => "#666666",
        Family::Concurrency => "#b8860b",
        Family::Hybrid => "#8b2f8b",
        Family::GreedyDual => "#a0522d",
        Family::Window => "#1f77b4",
        Family::Templates => "#c0392b",
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

// === impl Axis ===

impl Axis {
    /// An axis with some room around these values; what is not positive has no place on it.
    fn around(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let positive = values.filter(|value| *value > 0.0 && value.is_finite());
        let (least, most) = positive
            .fold((f64::INFINITY, 0.0_f64), |(least, most), value| (least.min(value), most.max(value)));
        if most <= 0.0 {
            return Self { least: 0.1, most: 10.0, from, to };
        }
        Self { least: least / 1.3, most: most * 1.3, from, to }
    }

    fn place(&self, value: f64) -> f64 {
        let part = (value.clamp(self.least, self.most) / self.least).ln() / (self.most / self.least).ln();
        self.from + part * (self.to - self.from)
    }

    /// 1, 2 and 5 times the powers of ten in range.
    fn ticks(&self) -> Vec<f64> {
        let powers = (-6..7).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| (digit, power)));
        // Written out and read back: 2 * 10^-1 is then 0.2 and nothing else.
        let values = powers.filter_map(|(digit, power)| format!("{digit}e{power}").parse::<f64>().ok());
        values.filter(|value| (self.least..=self.most).contains(value)).collect()
    }
}
