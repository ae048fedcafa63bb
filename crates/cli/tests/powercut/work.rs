//! Threads that change functions through the API, each its own, as fast as they are answered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use testkit::{Client, Ready, World};

use super::model::{Function, Operation};
use crate::fixture;

/// Threads.
const WRITERS: usize = 4;
/// Functions of each.
const FUNCTIONS: usize = 3;

/// All functions by name.
pub type Functions = BTreeMap<String, Known>;

/// What is known of one function.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// As it was acknowledged; `None` when it is not there.
    pub acknowledged: Option<Function>,
    /// As it may be instead: the request that was not answered and what it leads to.
    pub pending: Option<(Operation, Option<Function>)>,
    /// The number its next version gets.
    pub next_version: u64,
    /// Ids of URLs that have to lead nowhere.
    pub gone: BTreeSet<String>,
}

/// The work of one round.
pub struct Work {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<Functions>>,
}

// === impl Known ===

impl Known {
    /// Takes what is there to be what was acknowledged.
    pub fn settle(&mut self, seen: Option<Function>) {
        self.pending = None;
        let url_of =
            |function: &Option<Function>| function.as_ref().and_then(|function| function.url.clone());
        let (before, after) = (url_of(&self.acknowledged), url_of(&seen));
        self.gone.extend(before.filter(|before| Some(before) != after.as_ref()));
        let newest = seen.as_ref().and_then(|seen| seen.versions.last_key_value());
        let next = newest.map_or(1, |(number, _)| number + 1);
        // Numbers are not used again, unless the function is gone.
        self.next_version = if seen.is_some() { next.max(self.next_version) } else { 1 };
        self.acknowledged = seen;
    }
}

// === impl Work ===

impl Work {
    /// Begins; `seed` decides who does what.
    pub fn start(world: &World, known: &Functions, seed: u64) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let runtime = fixture::runtime(world);
        let threads = (0..WRITERS)
            .map(|writer| {
                let functions: Functions = (0..FUNCTIONS)
                    .map(|number| format!("made-{writer}-{number}"))
                    .map(|name| (name.clone(), known.get(&name).cloned().unwrap_or_default()))
                    .collect();
                let mut worker = Worker {
                    ready: world.ready().clone(),
                    runtime: runtime.clone(),
                    functions,
                    dice: seed.wrapping_mul(31).wrapping_add(writer as u64),
                };
                let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
                thread::spawn(move || {
                    let mut client = Client::keeping_alive(worker.ready.listen);
                    while !stop.load(Ordering::Relaxed) && worker.step(&mut client, seed) {
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                    worker.functions
                })
            })
            .collect();
        Self { stop, answered, threads }
    }

    /// Requests acknowledged so far.
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits for the last answers.
    pub fn stop(self) -> Functions {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    }
}

/// One thread.
struct Worker {
    ready: Ready,
    runtime: String,
    functions: Functions,
    dice: u64,
}

// === impl Worker ===

impl Worker {
    /// One request; whether it was acknowledged.
    fn step(&mut self, client: &mut Client, seed: u64) -> bool {
        let (which, dice) = (self.throw(), self.throw());
        let index = usize::try_from(which).unwrap() % FUNCTIONS;
        let (name, known) = self.functions.iter_mut().nth(index).unwrap();
        let before = known.acknowledged.clone();
        let code = format!("{name}.{seed}.{dice:x}");
        let operation = Operation::chosen(before.as_ref(), dice, code);
        let mut after = operation.apply(before.as_ref(), known.next_version.max(1));
        let (method, path, body) = operation.request(name, before.as_ref(), &self.runtime);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        known.pending = Some((operation.clone(), after.clone()));
        let host = self.ready.listen.to_string();
        let headers = [("Content-Type", "application/json")];
        let Ok(answer) = client.request(method, &host, &path, &headers, body.as_bytes()) else {
            return false;
        };
        if answer.status >= 500 {
            return false;
        }
        assert!(answer.status < 300, "{name}: {operation:?} of {before:?}: {}", answer.text());
        operation.learn(&mut after, &answer);
        known.settle(after);
        true
    }

    /// The next number of a sequence that looks random (xorshift).
    fn throw(&mut self) -> u64 {
        let mut dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.dice = dice;
        dice = (dice ^ (dice >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        dice = (dice ^ (dice >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (dice ^ (dice >> 31)) >> 8
    }
}
