//! What the functions of one server share: the launcher, the limits, the capacity for starts.
//!
//! Functions are made when they are first called and forgotten when they have nothing left and are no
//! longer known. Lock order: never a function's lock and the node's at once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use autoscaler::admission::{Admission, Grant};
use autoscaler::keep_alive::{Prior, Priors, Trigger};
use autoscaler::{Instance as Key, Memory, Tier};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::function::Version;
use types::limits::Limits;
use types::log::Sink;

use super::conditions::Market;
use super::function::Function;
use super::memory::Remembered;
use crate::addresses::Addresses;
use crate::compose::Composer;
use crate::launcher::Launcher;
use crate::metering::Ring;
use crate::metrics::Metrics;
use crate::standby::Standby;
use crate::template::Templates;

/// What a node is made of.
pub(crate) struct Parts {
    pub composer: Composer,
    pub launcher: Box<dyn Launcher>,
    pub logs: Arc<dyn Sink>,
    pub limits: Limits,
    pub metrics: Metrics,
    pub remembered: Remembered,
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
    /// What idle memory costs.
    pub market: Market,
    remembered: Remembered,
    prior: Arc<Prior>,
    /// Functions that exist, as of the last snapshot.
    names: Mutex<Option<HashSet<String>>>,
    /// What instances are forked from.
    pub templates: Templates,
    /// Interpreters that wait for functions that are not forked.
    pub standby: Standby,
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
        let Parts { composer, launcher, logs, limits, metrics, remembered } = parts;
        let market = Market::default();
        if let Some(controller) = remembered.controller() {
            market.restore(controller);
        }
        Arc::new(Self {
            composer,
            launcher,
            logs,
            metrics,
            requests: Arc::default(),
            addresses: Arc::new(Addresses::new(std::process::id())),
            market,
            remembered,
            // Every call comes over HTTP or the API yet.
            prior: Arc::new(Priors::shipped().of(Trigger::Http).clone()),
            names: Mutex::default(),
            templates: Templates::default(),
            standby: Standby::default(),
            tracker: TaskTracker::new(),
            draining: CancellationToken::new(),
            ending: CancellationToken::new(),
            origin: Instant::now(),
            functions: Mutex::default(),
            admission: Mutex::new(Admission::new(crate::machine::processors(), limits.starts)),
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
        self.admission.lock().forget(&name.to_owned());
    }

    /// Forgets all functions. They hold on to the node as it does to them: this lets go of the launcher.
    pub fn forget_all(&self) {
        self.functions.lock().clear();
    }

    /// What is believed of a function's gaps before there are any.
    pub fn prior(&self) -> Arc<Prior> {
        Arc::clone(&self.prior)
    }

    /// What is known of a function from an earlier life of the server.
    pub fn memory_of(&self, function: &str) -> Memory {
        self.remembered.of(function)
    }

    /// The functions that exist from now on. Whether it was told before.
    pub fn exist(&self, names: HashSet<String>) -> bool {
        self.names.lock().replace(names).is_some()
    }

    /// Writes down what was learned.
    pub async fn remember(&self) {
        let functions = self.functions();
        let learned =
            functions.iter().map(|function| (function.name().to_owned(), function.memory())).collect();
        let names = self.names.lock().clone();
        let lives = |name: &str| names.as_ref().is_none_or(|names| names.contains(name));
        self.remembered.save(learned, &self.market.controller(), lives).await;
    }

    /// A function's template is there: its starts that wait are forks now.
    pub fn starts_are(self: &Arc<Self>, function: &str, tier: Tier) {
        self.admission.lock().now_of(&function.to_owned(), tier);
        self.admit();
    }

    /// Asks for the capacity to start an instance.
    pub fn want(self: &Arc<Self>, function: &Arc<Function>, instance: Key, tier: Tier) {
        let wanted = Wanted { function: Arc::clone(function), instance };
        self.admission.lock().want(&function.name().to_owned(), wanted, tier);
        self.admit();
    }

    /// Takes [`Self::want`] back.
    pub fn withdraw(&self, function: &Arc<Function>, instance: Key) {
        let wanted = Wanted { function: Arc::clone(function), instance };
        self.admission.lock().withdraw(&function.name().to_owned(), &wanted);
    }

    /// One of the starts under way is over, and came to an instance in this time if it did.
    pub fn start_is_over(self: &Arc<Self>, function: &str, tier: Tier, took: Option<Duration>) {
        self.admission.lock().done(&function.to_owned(), tier, took);
        self.admit();
    }

    /// Starts under way.
    pub fn starts_running(&self) -> u32 {
        self.admission.lock().running()
    }

    /// Starts that may be under way now, in forks.
    pub fn starts_limit(&self) -> u32 {
        self.admission.lock().limit()
    }

    fn admit(self: &Arc<Self>) {
        loop {
            let granted = self.admission.lock().grant();
            let Some(Grant { function: name, start: Wanted { function, instance }, tier }) = granted else {
                return;
            };
            if !function.admitted(instance, tier) {
                // It was taken back in the meantime.
                self.admission.lock().done(&name, tier, None);
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
