//! The interpreters that wait: how many, for how long, and their tasks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use types::function::Version;

use super::interpreter::{self, Interpreter, Kind};
use crate::pool::Node;

/// How many of one version of an interpreter wait.
const WAITING: usize = 1;

/// How long one waits after a function has last been deployed or started that could use it.
const KEEP: Duration = Duration::from_secs(600);

/// After so many that could not be made in a row none is tried any more.
const MOST_FAILURES: u32 = 3;

/// All of them.
#[derive(Default)]
pub(crate) struct Standby {
    shelves: Mutex<HashMap<Kind, Shelf>>,
}

/// Those of one version.
#[derive(Default)]
struct Shelf {
    waiting: Vec<Place>,
    making: usize,
    failures: u32,
    used: Option<Instant>,
}

/// One that waits, and what ends its task.
struct Place {
    interpreter: Interpreter,
    left: Arc<Notify>,
}

// === impl Standby ===

impl Standby {
    /// One that waits, out of the pool.
    ///
    /// # Errors
    /// Why there is none, as a sentence for people.
    pub fn take(&self, kind: Kind) -> Result<Interpreter, String> {
        let mut shelves = self.shelves.lock();
        let shelf = shelves.entry(kind).or_default();
        shelf.used = Some(Instant::now());
        match shelf.waiting.pop() {
            Some(Place { interpreter, left }) => {
                left.notify_one();
                Ok(interpreter)
            }
            None if shelf.failures >= MOST_FAILURES => Err("interpreters cannot wait here".to_owned()),
            None => Err("no interpreter was waiting".to_owned()),
        }
    }

    /// One could not be made, or could not be used.
    pub fn failed(&self, kind: Kind, reason: &str) {
        tracing::warn!(?kind, "an interpreter that was to wait is of no use: {reason}");
        self.shelves.lock().entry(kind).or_default().failures += 1;
    }

    /// Has as many made as are to wait for functions like this one.
    pub fn fill(&self, node: &Arc<Node>, version: &Version) {
        let Ok(kind) = interpreter::suits(node, version) else { return };
        if node.draining.is_cancelled() {
            return;
        }
        let mut shelves = self.shelves.lock();
        let shelf = shelves.entry(kind).or_default();
        shelf.used = Some(Instant::now());
        if shelf.waiting.len() + shelf.making >= WAITING || shelf.failures >= MOST_FAILURES {
            return;
        }
        shelf.making += 1;
        node.tracker.spawn(live(Arc::clone(node), kind, version.clone()));
    }

    /// How many wait.
    pub fn count(&self) -> usize {
        self.shelves.lock().values().map(|shelf| shelf.waiting.len()).sum()
    }

    /// Bytes of memory that they use.
    pub fn memory_bytes(&self) -> u64 {
        let shelves = self.shelves.lock();
        let waiting = shelves.values().flat_map(|shelf| &shelf.waiting);
        waiting.filter_map(|place| place.interpreter.tree.meter().memory_bytes()).sum()
    }

    /// Ends those that wait: memory is wanted. The next are made when a function is started that could use one.
    pub fn release(&self) {
        for shelf in self.shelves.lock().values_mut() {
            for place in shelf.waiting.drain(..) {
                place.left.notify_one();
            }
        }
    }

    fn place(&self, kind: Kind, made: Result<Interpreter, String>, left: &Arc<Notify>) -> bool {
        let failure = match made {
            Ok(interpreter) => {
                let mut shelves = self.shelves.lock();
                let shelf = shelves.entry(kind).or_default();
                shelf.making -= 1;
                shelf.failures = 0;
                shelf.waiting.push(Place { interpreter, left: Arc::clone(left) });
                return true;
            }
            Err(failure) => failure,
        };
        self.shelves.lock().entry(kind).or_default().making -= 1;
        self.failed(kind, &failure);
        false
    }

    /// Takes one out that nobody wants any more.
    fn remove(&self, kind: Kind, left: &Arc<Notify>) {
        if let Some(shelf) = self.shelves.lock().get_mut(&kind) {
            shelf.waiting.retain(|place| !Arc::ptr_eq(&place.left, left));
        }
    }

    /// When those of this version have waited long enough.
    fn deadline(&self, kind: Kind) -> Option<Instant> {
        self.shelves.lock().get(&kind)?.used?.checked_add(KEEP)
    }
}

/// The task of one, until it is taken or ended.
async fn live(node: Arc<Node>, kind: Kind, version: Version) {
    let pool = &node.standby;
    let left = Arc::new(Notify::new());
    let made = tokio::select! {
        biased;
        () = node.draining.cancelled() => return,
        made = Interpreter::make(&node, &version) => made,
    };
    let tree = made.as_ref().ok().map(|interpreter| Arc::downgrade(&interpreter.tree));
    if !pool.place(kind, made, &left) {
        return;
    }
    let ended = async {
        if let Some(tree) = tree.and_then(|tree| tree.upgrade()) {
            tree.exited().await;
        }
    };
    tokio::pin!(ended);
    while let Some(deadline) = pool.deadline(kind) {
        tokio::select! {
            () = left.notified() => return,
            () = node.draining.cancelled() => break,
            () = &mut ended => break,
            () = tokio::time::sleep_until(deadline) => {
                if pool.deadline(kind).is_none_or(|deadline| deadline <= Instant::now()) {
                    break;
                }
            }
        }
    }
    pool.remove(kind, &left);
}
