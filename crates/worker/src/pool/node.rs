//! What the functions of one server share: the launcher, the limits, the capacity for starts.
//!
//! Functions are made when they are first called and forgotten when they have nothing left and are no
//! longer known. Lock order: never a function's lock and the node's at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use autoscaler::Instance as Key;
use autoscaler::admission::Admission;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::function::Version;
use types::limits::Limits;
use types::log::Sink;

use super::function::Function;
use crate::addresses::Addresses;
use crate::compose::Composer;
use crate::launcher::Launcher;
use crate::metering::Ring;
use crate::metrics::Metrics;
use crate::template::Templates;

/// What a node is made of.
pub(crate) struct Parts {
    pub composer: Composer,
    pub launcher: Box<dyn Launcher>,
    pub logs: Arc<dyn Sink>,
    pub limits: Limits,
    pub metrics: Metrics,
}

/// What the functions of one server share.
pub(crate) struct Node {
    pub composer: Composer,
    pub launcher: Box<dyn Launcher>,
    pub logs: Arc<dyn Sink>,
    pub limits: Limits,
    pub metrics: Metrics,
    /// The last requests.
    pub requests: Arc<Ring>,
    pub addresses: Arc<Addresses>,
    /// What instances are forked from.
    pub templates: Templates,
    /// Every task of the worker.
    pub tracker: TaskTracker,
    /// Set when the drain begins; ends the timers.
    pub draining: CancellationToken,
    /// Set when the drain has no more patience; ends every instance.
    pub ending: CancellationToken,
    origin: Instant,
    functions: Mutex<HashMap<String, Arc<Function>>>,
    admission: Mutex<Admission<String, Wanted>>,
}

/// A start that is asked for. It holds its function, which may have been forgotten since.
struct Wanted {
    function: Arc<Function>,
    instance: Key,
}

// === impl Node ===

impl Node {
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts { composer, launcher, logs, limits, metrics } = parts;
        Arc::new(Self {
            composer,
            launcher,
            logs,
            metrics,
            requests: Arc::default(),
            addresses: Arc::new(Addresses::new(std::process::id())),
            templates: Templates::default(),
            tracker: TaskTracker::new(),
            draining: CancellationToken::new(),
            ending: CancellationToken::new(),
            origin: Instant::now(),
            functions: Mutex::default(),
            admission: Mutex::new(Admission::new(limits.starts)),
            limits,
        })
    }

    /// The time since the node was made, which is the time of all decisions.
    pub fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// The moment of a decision's time.
    pub fn moment(&self, time: Duration) -> Instant {
        self.origin.checked_add(time).unwrap_or_else(Instant::now)
    }

    /// The function of a version, made if this is its first call.
    pub fn function(self: &Arc<Self>, version: &Version) -> Arc<Function> {
        let mut functions = self.functions.lock();
        if let Some(function) = functions.get(&version.name) {
            return Arc::clone(function);
        }
        let function = Function::new(Arc::clone(self), version);
        functions.insert(version.name.clone(), Arc::clone(&function));
        function
    }

    /// Every function that has been called.
    pub fn functions(&self) -> Vec<Arc<Function>> {
        self.functions.lock().values().cloned().collect()
    }

    /// A function that has been called.
    pub fn known(&self, name: &str) -> Option<Arc<Function>> {
        self.functions.lock().get(name).cloned()
    }

    /// Forgets a function. Requests that still hold it finish.
    pub fn forget(&self, name: &str) {
        self.functions.lock().remove(name);
    }

    /// Forgets all functions. They hold on to the node as it does to them: this lets go of the launcher.
    pub fn forget_all(&self) {
        self.functions.lock().clear();
    }

    /// Asks for the capacity to start an instance.
    pub fn want(self: &Arc<Self>, function: &Arc<Function>, instance: Key) {
        let wanted = Wanted { function: Arc::clone(function), instance };
        self.admission.lock().want(&function.name().to_owned(), wanted);
        self.admit();
    }

    /// Takes [`Self::want`] back.
    pub fn withdraw(&self, function: &Arc<Function>, instance: Key) {
        let wanted = Wanted { function: Arc::clone(function), instance };
        self.admission.lock().withdraw(&function.name().to_owned(), &wanted);
    }

    /// One of the starts under way is over.
    pub fn start_is_over(self: &Arc<Self>) {
        self.admission.lock().done();
        self.admit();
    }

    /// Starts under way.
    pub fn starts_running(&self) -> u32 {
        self.admission.lock().running()
    }

    fn admit(self: &Arc<Self>) {
        loop {
            let granted = self.admission.lock().grant();
            let Some((_, Wanted { function, instance })) = granted else { return };
            if !function.admitted(instance) {
                // It was taken back in the meantime.
                self.admission.lock().done();
            }
        }
    }
}

// === impl Wanted ===

impl PartialEq for Wanted {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.function, &other.function) && self.instance == other.instance
    }
}
