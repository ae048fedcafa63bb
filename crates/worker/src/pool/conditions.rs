//! What idle memory costs on this node, and who goes when memory is short.
//!
//! A task per node: every [`PERIOD`] it adds up what idle instances and embers hold, moves the price towards the
//! budget and tells each function; every [`SAVED_EVERY`] periods what was learned is written down. When the
//! kernel tells of pressure, idle instances go in ascending order of what they are worth until enough is free.
//! Nothing of it is on the way of a request.

use std::sync::Arc;
use std::time::Duration;

use autoscaler::keep_alive::price::{Controller, Price};
use autoscaler::{Conditions, Event};
use parking_lot::Mutex;
use sandbox::pressure::Pressure;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use super::function::Function;
use super::node::Node;

/// How often memory is added up.
const PERIOD: Duration = Duration::from_secs(30);
/// Periods between two writes of what was learned.
const SAVED_EVERY: u32 = 8;
const GIB: f64 = (1_u64 << 30) as f64;
/// Bytes that the kernel and the platform hold for an instance beside what its groups tell.
const OVERHEAD: f64 = (4_u64 << 20) as f64;
/// Below this part of the machine's memory something has to go; until this part is free.
const SHORT: f64 = 0.05;
const ENOUGH: f64 = 0.10;
/// Share of time in which something waited for memory, in percent, that counts as pressure where little is free.
const WAITING: f32 = 10.0;
/// Where little is free at all, in parts of the machine's memory.
const LITTLE: f64 = 0.20;

/// The price and what it was made from.
#[derive(Debug, Default)]
pub(crate) struct Market {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    controller: Controller,
    measured: Option<Instant>,
}

/// Idle memory of one function, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Idle {
    pub bytes: u64,
    pub instances: u64,
}

// === impl Market ===

impl Market {
    /// What survives a restart.
    pub fn controller(&self) -> Controller {
        self.inner.lock().controller.clone()
    }

    /// Goes on from what an earlier life of the server found.
    pub fn restore(&self, controller: Controller) {
        self.inner.lock().controller = controller;
    }

    fn measure(&self, idle: f64, budget: f64) -> Price {
        let mut inner = self.inner.lock();
        let now = Instant::now();
        let elapsed = inner.measured.map_or(Duration::ZERO, |measured| now - measured);
        inner.measured = Some(now);
        inner.controller.measure(idle, budget, elapsed.as_secs_f64());
        inner.controller.price()
    }
}

/// Looks after the node's memory until it drains.
pub(crate) async fn watch(node: Arc<Node>, mut pressure: Option<watch::Receiver<Pressure>>) {
    let mut period = tokio::time::interval(PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut periods = 0_u32;
    loop {
        tokio::select! {
            () = node.draining.cancelled() => return,
            _ = period.tick() => {
                measure(&node, total(pressure.as_ref()));
                periods = periods.wrapping_add(1);
                if periods.is_multiple_of(SAVED_EVERY) {
                    node.remember().await;
                }
            }
            Some(now) = changed(&mut pressure) => relieve(&node, now),
        }
    }
}

/// The next news of pressure; `None` where there are none.
async fn changed(pressure: &mut Option<watch::Receiver<Pressure>>) -> Option<Pressure> {
    let receiver = pressure.as_mut()?;
    match receiver.changed().await {
        Ok(()) => Some(*receiver.borrow_and_update()),
        Err(_) => {
            *pressure = None;
            None
        }
    }
}

/// Bytes of the machine's memory.
fn total(pressure: Option<&watch::Receiver<Pressure>>) -> u64 {
    let told = pressure.map(|pressure| pressure.borrow().total_bytes).filter(|total| *total > 0);
    told.or_else(crate::machine::memory_bytes).unwrap_or(1 << 30)
}

fn measure(node: &Arc<Node>, total: u64) {
    let functions = node.functions();
    let embers = node.templates.alive();
    let held: Vec<(Arc<Function>, Idle)> =
        functions.into_iter().map(|function| (Arc::clone(&function), function.idle_memory())).collect();
    let instances: u64 = held.iter().map(|(_, idle)| idle.bytes).sum();
    let embers_hold: u64 = embers.iter().map(|ember| ember.memory_bytes).sum();
    let idle = instances + embers_hold + node.standby.memory_bytes();
    let budget = total as f64 / GIB * f64::from(node.limits.idle_percent) / 100.0;
    let price = node.market.measure(idle as f64 / GIB, budget);
    for (function, idle) in held {
        let own = embers.iter().filter(|ember| ember.key.function == function.name());
        let template = own.map(|ember| ember.memory_bytes).max().unwrap_or_default() as f64;
        let one = (idle.instances > 0).then(|| idle.bytes as f64 / idle.instances as f64 + OVERHEAD);
        // A fork's groups tell only what it does not share. Its ember has run the init: so much it would be alone.
        let alone = if template > 0.0 { Some(template + OVERHEAD) } else { one };
        let own_share = one.zip(alone).filter(|_| template > 0.0).map(|(one, alone)| one / alone);
        let memory = alone.map(|bytes| bytes / GIB);
        function.send(Event::Conditions(Conditions { price, memory, own_share }));
    }
}

/// Lets idle instances go until enough memory is free, the least worthy first.
fn relieve(node: &Arc<Node>, pressure: Pressure) {
    let total = pressure.total_bytes as f64;
    let free = pressure.available_bytes as f64;
    let waiting = pressure.some_percent >= WAITING && free < total * LITTLE;
    if total <= 0.0 || free >= total * SHORT && !waiting {
        return;
    }
    node.standby.release();
    let mut wanted = (total * if waiting { LITTLE } else { ENOUGH } - free).max(0.0);
    let mut gone = 0_u32;
    while wanted > 0.0 {
        let functions = node.functions();
        let cheapest = functions
            .iter()
            .filter_map(|function| {
                let (instance, worth, bytes) = function.cheapest()?;
                Some((function, instance, worth, bytes))
            })
            .min_by(|(_, _, one, _), (_, _, other, _)| one.total_cmp(other));
        let Some((function, instance, _, bytes)) = cheapest else { break };
        function.send(Event::Evict { instance });
        // One that could not be weighed counts for something, so that this ends.
        wanted -= bytes.max(1 << 20) as f64;
        gone += 1;
    }
    if wanted > 0.0 {
        for ember in node.templates.alive().iter().filter(|ember| ember.living == 0) {
            node.templates.retire(&ember.key, crate::template::Retirement::Memory);
            gone += 1;
        }
    }
    if gone > 0 {
        tracing::info!(
            gone,
            free_bytes = pressure.available_bytes,
            "memory is short: what was idle is let go"
        );
    }
}
