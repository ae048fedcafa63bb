//! Which version has an ember, is getting one, or does without: one slot per version.
//!
//! One lock, never held over an await. A slot has a number, and whoever changes it says which he means: a task
//! that is late finds another number there and changes nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use types::function::Version;

use super::ember::{Account, Ember};
use super::inputs::{Inputs, Key};
use super::life;
use crate::init::{Ready, StartError};
use crate::phases::Clock;
use crate::pool::Node;
use crate::status;

/// How long an ember stays at least once its last instance has ended, where nothing is learned.
const SHORTEST_KEEP: Duration = Duration::from_secs(600);
/// How long a version does without after its ember was of no use to anyone: the next may do better.
const PAUSE: Duration = Duration::from_secs(60);

/// The embers of a server.
#[derive(Default)]
pub(crate) struct Templates {
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    by_key: HashMap<Key, Slot>,
    next: u64,
}

struct Slot {
    number: u64,
    version: String,
    inputs: Inputs,
    retire: CancellationToken,
    account: Arc<watch::Sender<Account>>,
    since: Instant,
    state: State,
}

/// What a version has.
pub(super) enum State {
    /// One is being made.
    Making(Arc<watch::Sender<Option<Outcome>>>),
    /// One lives.
    Alive(Arc<Ember>),
    /// It does without, until the given moment or for good.
    Refused { reasons: Arc<[String]>, until: Option<Instant> },
    /// It had one, and why it has none now.
    Gone(String),
}

/// What a start finds.
pub(crate) enum Found {
    /// An ember.
    Alive(Arc<Ember>),
    /// One that is being made, and why there was none.
    Making(watch::Receiver<Option<Outcome>>, String),
    /// None, and why.
    None(String),
}

/// What the making of an ember came to, for the starts that wait for it.
#[derive(Clone)]
pub(crate) enum Outcome {
    /// It is to be forked.
    Alive(Arc<Ember>),
    /// Its init must not be shared: one of those who wait gets the process.
    Refused { only: Only, clock: Clock, why: String },
    /// Its init failed, as theirs would have.
    Failed(StartError),
    /// It was taken away.
    Retired,
}

/// A process that one start may take. It ends if nobody does.
#[derive(Clone)]
pub(crate) struct Only(Arc<Mutex<Option<Ready>>>);

/// Why an ember goes, where somebody decides that it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retirement {
    /// Its version is not current any more, or deleted.
    Replaced,
    /// What its memory could be used for is worth more than what it saves.
    Memory,
    /// Its use is not expected soon enough.
    Idle,
}

/// An ember that lives, for those who decide about it.
#[derive(Debug, Clone)]
pub(crate) struct Alive {
    pub key: Key,
    /// Instances of it that live.
    pub living: u32,
    pub memory_bytes: u64,
}

// === impl Templates ===

impl Templates {
    /// What there is to fork for `version`; has an ember made where there could be one.
    pub fn find(&self, node: &Arc<Node>, version: &Arc<Version>) -> Found {
        if node.limits.ember_seconds == 0 {
            return Found::None("this server forks nothing: its --limit-ember is 0".to_owned());
        }
        if let Err(reason) = node.composer.embers(version) {
            return Found::None(reason);
        }
        let (key, inputs) = (Key::of(version), Inputs::of(&node.composer, version));
        let mut slots = self.slots.lock();
        let why = match slots.by_key.get(&key) {
            Some(slot) if slot.inputs != inputs => {
                slot.retire.cancel();
                "no ember yet: the interpreter on this machine was replaced".to_owned()
            }
            Some(Slot { state: State::Alive(ember), .. }) => return Found::Alive(Arc::clone(ember)),
            Some(Slot { state: State::Making(told), .. }) => {
                return Found::Making(told.subscribe(), "its ember was still being made".to_owned());
            }
            Some(Slot { state: State::Refused { reasons, until }, .. })
                if until.is_none_or(|until| until > Instant::now()) =>
            {
                return Found::None(not_shared(reasons));
            }
            Some(Slot { state: State::Refused { reasons, .. }, .. }) => reasons.join("; "),
            Some(Slot { state: State::Gone(why), .. }) => format!("no ember: {why}"),
            None => "no ember yet: the first start of this version".to_owned(),
        };
        slots.next += 1;
        let number = slots.next;
        let (told, making) = watch::channel(None);
        let (told, retire) = (Arc::new(told), CancellationToken::new());
        let keep = SHORTEST_KEEP.max(version.settings.idle.unwrap_or_default());
        let account = Arc::new(watch::Sender::new(Account::new(keep)));
        let slot = Slot {
            number,
            version: version.version.clone(),
            inputs,
            retire: retire.clone(),
            account: Arc::clone(&account),
            since: Instant::now(),
            state: State::Making(Arc::clone(&told)),
        };
        slots.by_key.insert(key.clone(), slot);
        let work = life::Work { key, number, version: Arc::clone(version), retire, account, told };
        node.tracker.spawn(life::live(Arc::clone(node), work));
        Found::Making(making, why)
    }

    /// Whether a version has an ember that can be forked.
    pub fn is_alive(&self, key: &Key) -> bool {
        matches!(self.slots.lock().by_key.get(key), Some(Slot { state: State::Alive(_), .. }))
    }

    /// The embers that live.
    pub fn alive(&self) -> Vec<Alive> {
        let slots = self.slots.lock();
        let alive = slots.by_key.iter().filter_map(|(key, slot)| {
            let State::Alive(ember) = &slot.state else { return None };
            let account = *slot.account.borrow();
            Some(Alive { key: key.clone(), living: account.living, memory_bytes: ember.memory_bytes() })
        });
        alive.collect()
    }

    /// Takes a version's ember away. Its instances live on. One that is being made is taken away too, unless its
    /// version was replaced: then it still serves those who wait for it.
    pub fn retire(&self, key: &Key, retirement: Retirement) {
        let mut slots = self.slots.lock();
        let Some(slot) = slots.by_key.get_mut(key) else { return };
        if retirement == Retirement::Replaced && matches!(slot.state, State::Making(_)) {
            return slot.account.send_modify(|account| account.keep = Duration::ZERO);
        }
        slot.retire.cancel();
        if retirement == Retirement::Replaced {
            slots.by_key.remove(key);
        } else if !matches!(slot.state, State::Refused { .. }) {
            slot.set(State::Gone(retirement.to_string()));
        }
    }

    /// Forgets a function that is deleted, with its embers.
    pub fn forget(&self, function: &str) {
        self.slots.lock().by_key.retain(|key, slot| {
            let stays = key.function != function;
            if !stays {
                slot.retire.cancel();
            }
            stays
        });
    }

    /// How long a version's ember stays once its last instance has ended.
    pub fn keep(&self, key: &Key, keep: Duration) {
        if let Some(slot) = self.slots.lock().by_key.get(key) {
            slot.account.send_if_modified(|account| std::mem::replace(&mut account.keep, keep) != keep);
        }
    }

    /// An ember could not be forked: it goes. One that never could makes its version do without for a while.
    pub fn broken(&self, ember: &Arc<Ember>, reason: &str) {
        let mut slots = self.slots.lock();
        let is_it =
            |slot: &&mut Slot| matches!(&slot.state, State::Alive(known) if Arc::ptr_eq(known, ember));
        let Some(slot) = slots.by_key.values_mut().find(is_it) else { return };
        slot.retire.cancel();
        slot.set(if ember.forks() == 0 {
            State::refused_for_now(format!("its ember could not be forked: {reason}"))
        } else {
            State::Gone(format!("the last one could not be forked any more: {reason}"))
        });
    }

    /// What a function has, for the status.
    pub fn status(&self, function: &str) -> Vec<status::Template> {
        let slots = self.slots.lock();
        let of_function = slots.by_key.iter().filter(|(key, _)| key.function == function);
        let mut status: Vec<_> = of_function.map(|(_, slot)| slot.status()).collect();
        status.sort_by(|one, other| one.version.cmp(&other.version));
        status
    }

    /// The slot's own task changes it. False: it is not its slot any more.
    pub(super) fn settle(&self, key: &Key, number: u64, state: State) -> bool {
        let mut slots = self.slots.lock();
        match slots.by_key.get_mut(key) {
            Some(slot) if slot.number == number && !slot.retire.is_cancelled() => {
                slot.set(state);
            }
            _ => return false,
        }
        slots.by_key.retain(|_, slot| !slot.is_over());
        true
    }

    /// The slot's own task ends, having settled it or not.
    pub(super) fn abandoned(&self, key: &Key, number: u64) {
        let mut slots = self.slots.lock();
        if let Some(slot) = slots.by_key.get_mut(key).filter(|slot| slot.number == number)
            && matches!(slot.state, State::Making(_) | State::Alive(_))
        {
            slot.retire.cancel();
            slot.set(State::Gone("the task of the last one ended".to_owned()));
        }
    }
}

// === impl Slot ===

impl Slot {
    /// Whether nothing of it is worth remembering: its version was replaced, and its ember is gone.
    fn is_over(&self) -> bool {
        matches!(self.state, State::Gone(_)) && self.account.borrow().keep.is_zero()
    }

    fn set(&mut self, state: State) {
        self.state = state;
        self.since = Instant::now();
    }

    fn status(&self) -> status::Template {
        let mut status = status::Template {
            version: self.version.clone(),
            state: status::TemplateState::Making,
            since_ms: milliseconds(self.since.elapsed()),
            reasons: Vec::new(),
            sandbox: String::new(),
            instances: 0,
            forks: 0,
            memory_bytes: 0,
            idle_ms: None,
        };
        match &self.state {
            State::Making(_) => {}
            State::Alive(ember) => {
                let account = *self.account.borrow();
                status.state = status::TemplateState::Alive;
                status.sandbox = ember.sandbox();
                status.instances = account.living;
                status.forks = ember.forks();
                status.memory_bytes = ember.memory_bytes();
                status.idle_ms = (account.living == 0).then(|| milliseconds(account.last.elapsed()));
            }
            State::Refused { reasons, .. } => {
                status.state = status::TemplateState::Refused;
                status.reasons = reasons.to_vec();
            }
            State::Gone(why) => {
                status.state = status::TemplateState::Gone;
                status.reasons.push(why.clone());
            }
        }
        status
    }
}

// === impl State ===

impl State {
    /// A version does without for a while.
    pub fn refused_for_now(reason: String) -> Self {
        Self::Refused { reasons: [reason].into(), until: Instant::now().checked_add(PAUSE) }
    }
}

// === impl Only ===

impl Only {
    pub(super) fn new(ready: Ready) -> Self {
        Self(Arc::new(Mutex::new(Some(ready))))
    }

    /// The process, for the first who asks.
    pub fn take(&self) -> Option<Ready> {
        self.0.lock().take()
    }
}

// === impl Retirement ===

impl std::fmt::Display for Retirement {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Replaced => "the last one was of another version",
            Self::Memory => "the last one had to go, because memory was short",
            Self::Idle => "the last one was not expected to be used soon",
        })
    }
}

/// The sentence for a version that does without.
pub(super) fn not_shared(reasons: &[String]) -> String {
    format!("init is not shared: {}", reasons.join("; "))
}

fn milliseconds(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}
