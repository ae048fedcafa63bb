//! The cheapest window of presence after a run, over a distribution of idle gaps: exact over its candidates,
//! by prefix sums.
//!
//! With gaps `g` of weight `h(g)`, a window from `a` until `b` costs
//! `sum[g<a or g>b] h*miss + sum[g>=a] h*rate*(min(g,b)-a) + [a>0] * sum[g>=a] h*prewarm`: the requests that
//! find nothing, the memory held, the pre-warms. `a = 0` is plain keep-alive.

use serde::{Deserialize, Serialize};

/// How much earlier than the gap it aims at a pre-warm is done, as a share of the gap, and in seconds.
const EARLY: f64 = 0.95;
const LEAD: f64 = 1.0;
/// How much longer than the gap it aims at a window stays open.
const LATE: f64 = 1.02;

/// A gap, and how often it is expected.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Seconds.
    pub gap: f64,
    /// Not negative.
    pub weight: f64,
}

/// When something is there, in seconds after the end of the last run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// 0: it simply stays. Otherwise it goes at once and is made again at this age.
    pub from: f64,
    /// When it goes for good; not before `from`.
    pub until: f64,
}

/// What being there and not being there costs, in seconds of delay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Costs {
    /// A request that finds nothing.
    pub miss: f64,
    /// A second of being there.
    pub rate: f64,
    /// Making it again ahead of a request.
    pub prewarm: f64,
}

/// Running sums over the points up to an index.
#[derive(Debug, Clone, Copy, Default)]
struct Prefix {
    weight: f64,
    seconds: f64,
}

// === impl Window ===

impl Window {
    /// Gone at once.
    pub const NONE: Self = Self { from: 0.0, until: 0.0 };

    /// Plain keep-alive.
    #[must_use]
    pub const fn keep(seconds: f64) -> Self {
        Self { from: 0.0, until: seconds }
    }

    /// Whether a request after this gap finds it there.
    #[must_use]
    pub fn covers(&self, gap: f64) -> bool {
        self.from <= gap && gap <= self.until
    }

    /// For how long it was there during this gap.
    #[must_use]
    pub fn presence(&self, gap: f64) -> f64 {
        (gap.min(self.until) - self.from).max(0.0)
    }

    /// Whether it goes at once and comes back.
    #[must_use]
    pub fn prewarms(&self) -> bool {
        self.from > 0.0
    }
}

/// What a window costs over these points. The definition; [`cheapest`] finds its minimum faster.
#[must_use]
pub fn cost(points: &[Point], window: Window, costs: Costs) -> f64 {
    let of = |point: &Point| {
        let miss = if window.covers(point.gap) { 0.0 } else { costs.miss };
        let prewarm = if window.prewarms() && point.gap >= window.from { costs.prewarm } else { 0.0 };
        point.weight * (miss + prewarm + costs.rate * window.presence(point.gap))
    };
    points.iter().map(of).sum()
}

/// When to be back for gaps of this length; `None` if that is too soon to go away.
#[must_use]
pub fn early(gap: f64) -> Option<f64> {
    let from = gap * EARLY - LEAD;
    (from > LEAD).then_some(from)
}

/// Until when to stay for gaps of this length.
#[must_use]
pub fn late(gap: f64) -> f64 {
    gap * LATE
}

/// The cheapest window among those that begin at 0 or at one of `starts` and end behind one of the points
/// from there on; of equally cheap ones the one that is there the least. `points` ascend.
#[must_use]
pub fn cheapest(points: &[Point], starts: &[f64], costs: Costs) -> Window {
    let prefixes = prefixes(points);
    let at = |index: usize| prefixes.get(index).copied().unwrap_or_default();
    let all = at(points.len());
    let mut best = (all.weight * costs.miss, Window::NONE);
    for from in [0.0].into_iter().chain(starts.iter().copied().filter(|from| *from > 0.0)) {
        let first = points.partition_point(|point| point.gap < from);
        let before = at(first);
        let prewarm = if from > 0.0 { costs.prewarm * (all.weight - before.weight) } else { 0.0 };
        let mut covered = first;
        for point in points.get(first..).unwrap_or_default() {
            let until = late(point.gap);
            while points.get(covered).is_some_and(|point| point.gap <= until) {
                covered += 1;
            }
            let end = at(covered);
            let after = all.weight - end.weight;
            let inside = (end.seconds - before.seconds) - from * (end.weight - before.weight);
            let total = costs.miss * (before.weight + after)
                + costs.rate * (inside + after * (until - from))
                + prewarm;
            if total < best.0 * (1.0 - 1e-12) {
                best = (total, Window { from, until });
            }
        }
    }
    best.1
}

fn prefixes(points: &[Point]) -> Vec<Prefix> {
    let mut sum = Prefix::default();
    let mut prefixes = Vec::with_capacity(points.len() + 1);
    prefixes.push(sum);
    for point in points {
        sum.weight += point.weight;
        sum.seconds += point.weight * point.gap;
        prefixes.push(sum);
    }
    prefixes
}
