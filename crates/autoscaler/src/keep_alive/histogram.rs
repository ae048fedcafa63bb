//! What is remembered of one function's idle gaps: weights in about fifty cells, log-spaced, with narrow
//! cells where timers live. Observing is O(log cells); a new observation outweighs old ones by age.
//!
//! A cell also keeps its shortest and longest gap, so that a timer of 290 s is known as 290 s and not as
//! "between 270 and 303". Weights are never negative; the relative weight of an observation halves every
//! [`HALF_LIFE`] later ones.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::window::Point;

/// Gaps shorter than this are not observed: no window is shorter, so none can miss them.
pub const FLOOR: f64 = 1.0;
/// Observations after which an old one counts half.
pub const HALF_LIFE: f64 = 256.0;
/// Gaps above this are all the same: more than a day.
pub const LONGEST: f64 = 90_000.0;

/// Upper edges of the cells, in seconds. The pairs around 1, 2, 5, 10, 15, 30, 60 and 120 minutes and a
/// day are the narrow cells of timers.
const EDGES: [f64; 51] = [
    1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 13.0, 17.0, 22.0, 28.0, 35.0, 45.0, 57.0, 61.0, 80.0, 100.0, 116.0,
    121.0, 150.0, 180.0, 210.0, 250.0, 290.0, 303.0, 360.0, 450.0, 580.0, 605.0, 740.0, 880.0, 907.0,
    1_200.0, 1_500.0, 1_770.0, 1_815.0, 2_400.0, 3_000.0, 3_550.0, 3_620.0, 4_800.0, 7_100.0, 7_230.0,
    10_800.0, 14_400.0, 21_600.0, 32_000.0, 45_000.0, 65_000.0, 85_000.0, LONGEST,
];
/// Weights are scaled down before one observation weighs more than this.
const RESCALE_ABOVE: f64 = 1e9;
/// A cell whose weight is a smaller part of one observation has nothing left to say.
const FORGOTTEN: f64 = 1e-3;

/// The gaps of one cell.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Cell {
    weight: f64,
    shortest: f64,
    longest: f64,
}

/// The fading memory of idle gaps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    cells: BTreeMap<u8, Cell>,
    // What an observation made now weighs. It grows instead of all others shrinking.
    unit: f64,
    observations: u64,
}

// === impl Histogram ===

impl Default for Histogram {
    fn default() -> Self {
        Self { cells: BTreeMap::new(), unit: 1.0, observations: 0 }
    }
}

impl Histogram {
    /// Adds a gap. Gaps below [`FLOOR`] and what is no number are ignored.
    pub fn observe(&mut self, gap: f64) {
        if gap.is_nan() || gap < FLOOR {
            return;
        }
        let gap = gap.min(LONGEST);
        self.observations = self.observations.saturating_add(1);
        self.unit *= (std::f64::consts::LN_2 / HALF_LIFE).exp();
        let (unit, forgotten) = (self.unit, self.unit * FORGOTTEN);
        let cell = self.cells.entry(index(gap)).or_insert(Cell { weight: 0.0, shortest: gap, longest: gap });
        if cell.weight < forgotten {
            *cell = Cell { weight: 0.0, shortest: gap, longest: gap };
        }
        cell.weight += unit;
        cell.shortest = cell.shortest.min(gap);
        cell.longest = cell.longest.max(gap);
        if self.unit > RESCALE_ABOVE {
            self.rescale();
        }
    }

    /// Gaps ever observed.
    #[must_use]
    pub fn observations(&self) -> u64 {
        self.observations
    }

    /// What is left of all observations, in observations made now.
    #[must_use]
    pub fn weight(&self) -> f64 {
        self.cells.values().map(|cell| cell.weight / self.unit).sum()
    }

    /// The gaps as points, ascending, in weights of observations made now: half of a cell at its shortest
    /// gap, half at its longest.
    pub fn points(&self) -> impl Iterator<Item = Point> + '_ {
        self.cells.values().flat_map(|cell| {
            let weight = cell.weight / self.unit / 2.0;
            [Point { gap: cell.shortest, weight }, Point { gap: cell.longest, weight }]
        })
    }

    /// The shortest gap of every cell that holds at least this share of all weight: where it may pay to be
    /// back in time.
    pub fn clusters(&self, share: f64) -> impl Iterator<Item = f64> + '_ {
        let least = self.weight() * self.unit * share;
        self.cells.values().filter(move |cell| cell.weight >= least).map(|cell| cell.shortest)
    }

    fn rescale(&mut self) {
        let forgotten = self.unit * FORGOTTEN;
        self.cells.retain(|_, cell| cell.weight >= forgotten);
        for cell in self.cells.values_mut() {
            cell.weight /= self.unit;
        }
        self.unit = 1.0;
    }
}

/// The upper edge of the cell a gap falls into: what a prior remembers of it.
pub(super) fn edge(gap: f64) -> f64 {
    EDGES.get(usize::from(index(gap))).copied().unwrap_or(LONGEST)
}

fn index(gap: f64) -> u8 {
    u8::try_from(EDGES.partition_point(|edge| *edge < gap)).unwrap_or(u8::MAX)
}
