//! The hybrid histogram policy of "Serverless in the Wild" (Shahrad et al., USENIX ATC 2020): unload after
//! a run, pre-warm before the 5th percentile of idle times, keep until the 99th.
//!
//! One-minute cells up to four hours, 10 % margins, the conservative window when the histogram is flat or
//! empty. The ARIMA forecast for times out of bounds is replaced by the mean of the last five, with the same
//! 15 % margins. Idle times of all instances of a function go into one histogram.

use super::replay::Retention;
use crate::keep_alive::{Plan, Window};

const CELLS: usize = 240;
const MINUTE: f64 = 60.0;
const HEAD: f64 = 0.05;
const TAIL: f64 = 0.99;
const MARGIN: f64 = 0.1;
const FORECAST_MARGIN: f64 = 0.15;
const FORECAST_SAMPLES: usize = 5;
/// Coefficient of variation of the cells below which the histogram says nothing.
const FLAT: f64 = 2.0;
/// Share of times out of bounds from which the forecast is used.
const OUT_OF_BOUNDS: f64 = 0.5;

/// The histogram of one function.
#[derive(Debug, Clone)]
pub struct Hybrid {
    cells: Vec<u32>,
    inside: u32,
    outside: u32,
    recent: Vec<f64>,
    window: Window,
}

// === impl Hybrid ===

impl Default for Hybrid {
    fn default() -> Self {
        Self {
            cells: vec![0; CELLS],
            inside: 0,
            outside: 0,
            recent: Vec::new(),
            window: Window::keep(CELLS as f64 * MINUTE),
        }
    }
}

impl Retention for Hybrid {
    fn plan(&mut self, _quiet: bool) -> Plan {
        Plan { instance: self.window, template: None }
    }

    fn observe(&mut self, gap: f64, _quiet: bool) {
        if self.recent.len() == FORECAST_SAMPLES {
            self.recent.remove(0);
        }
        self.recent.push(gap);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "minutes of a gap")]
        let minute = (gap / MINUTE) as usize;
        match self.cells.get_mut(minute) {
            Some(cell) => {
                *cell += 1;
                self.inside += 1;
            }
            None => self.outside += 1,
        }
        self.window = self.fit();
    }
}

impl Hybrid {
    fn fit(&self) -> Window {
        let (inside, outside) = (f64::from(self.inside), f64::from(self.outside));
        if self.inside + self.outside >= 2 && outside > OUT_OF_BOUNDS * (inside + outside) {
            let mean = self.recent.iter().sum::<f64>() / self.recent.len().max(1) as f64;
            return Window { from: mean * (1.0 - FORECAST_MARGIN), until: mean * (1.0 + FORECAST_MARGIN) };
        }
        if self.inside < 2 || self.variation() < FLAT {
            return Window::keep(CELLS as f64 * MINUTE);
        }
        let head = self.percentile(HEAD) as f64;
        let tail = self.percentile(TAIL) as f64 + 1.0;
        // A head within the first minute: it is not unloaded at all.
        Window { from: head * MINUTE * (1.0 - MARGIN), until: tail * MINUTE * (1.0 + MARGIN) }
    }

    fn variation(&self) -> f64 {
        let mean = f64::from(self.inside) / CELLS as f64;
        let squares: f64 = self.cells.iter().map(|cell| (f64::from(*cell) - mean).powi(2)).sum();
        (squares / CELLS as f64).sqrt() / mean
    }

    /// The minute in which this share of the idle times is reached.
    fn percentile(&self, share: f64) -> usize {
        let wanted = share * f64::from(self.inside);
        let mut sum = 0.0;
        self.cells
            .iter()
            .position(|cell| {
                sum += f64::from(*cell);
                sum >= wanted
            })
            .unwrap_or(CELLS)
    }
}
