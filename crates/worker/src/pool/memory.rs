//! What was learned of functions and of the node, kept beyond the server's life.
//!
//! The worker keeps nothing durable itself: a [`Memories`] is given to it, which is asked at a low rate and at the
//! drain, never on the way of a request. What is lost since the last time is learned again; what cannot be read
//! is dropped with one line in the log.

use std::collections::HashMap;
use std::sync::Arc;

use autoscaler::Memory;
use autoscaler::keep_alive::price::Controller;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use types::invocation::Boxed;

/// The key of what was learned of the node; no function is called that.
const NODE: &str = "!node";

/// Keeps small values by name.
pub trait Memories: Send + Sync {
    /// Writes these, in place of what was there under their names, and removes those without a value.
    fn save(&self, values: Vec<(String, Option<Vec<u8>>)>) -> Boxed<Result<(), String>>;
}

/// What is known of functions that have not been called since the server began, and where it is written.
#[derive(Default)]
pub(crate) struct Remembered {
    store: Option<Arc<dyn Memories>>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Of functions that were not called yet.
    known: HashMap<String, Memory>,
    /// What was written last, by function.
    written: HashMap<String, Memory>,
    controller: Option<Controller>,
}

/// The value of a record.
#[derive(Serialize, Deserialize)]
#[serde(tag = "format", rename_all = "kebab-case")]
enum Record<T> {
    V1 { learned: T },
}

// === impl Remembered ===

impl Remembered {
    /// Begins with what was kept.
    pub fn new(store: Option<Arc<dyn Memories>>, values: Vec<(String, Vec<u8>)>) -> Self {
        let mut inner = Inner::default();
        let mut dropped = 0_u32;
        for (name, value) in values {
            if name == NODE {
                inner.controller = read(&value);
                dropped += u32::from(inner.controller.is_none());
            } else if let Some(memory) = read::<Memory>(&value) {
                inner.written.insert(name.clone(), memory.clone());
                inner.known.insert(name, memory);
            } else {
                dropped += 1;
            }
        }
        if dropped > 0 {
            tracing::warn!(dropped, "what an earlier server has learned cannot be read: it is learned again");
        }
        Self { store, inner: Mutex::new(inner) }
    }

    /// What was found of the node's price.
    pub fn controller(&self) -> Option<Controller> {
        self.inner.lock().controller.clone()
    }

    /// What is known of a function that is called for the first time.
    pub fn of(&self, function: &str) -> Memory {
        self.inner.lock().known.remove(function).unwrap_or_default()
    }

    /// Writes what has changed; `lives` says of which functions anything is to be kept.
    pub async fn save(
        &self,
        functions: Vec<(String, Memory)>,
        controller: &Controller,
        lives: impl Fn(&str) -> bool,
    ) {
        let Some(store) = &self.store else { return };
        let values = self.changed(functions, controller, lives);
        if values.is_empty() {
            return;
        }
        if let Err(error) = store.save(values).await {
            tracing::warn!(%error, "what was learned could not be written: it is tried again later");
            self.inner.lock().written.clear();
        }
    }

    fn changed(
        &self,
        functions: Vec<(String, Memory)>,
        controller: &Controller,
        lives: impl Fn(&str) -> bool,
    ) -> Vec<(String, Option<Vec<u8>>)> {
        let mut inner = self.inner.lock();
        let mut values = Vec::new();
        for (name, memory) in functions.into_iter().filter(|(name, _)| lives(name)) {
            if inner.written.get(&name) != Some(&memory) {
                values.push((name.clone(), write(&memory)));
                inner.written.insert(name, memory);
            }
        }
        let gone: Vec<String> = inner.written.keys().filter(|name| !lives(name)).cloned().collect();
        for name in gone {
            inner.written.remove(&name);
            inner.known.remove(&name);
            values.push((name, None));
        }
        if inner.controller.as_ref() != Some(controller) {
            inner.controller = Some(controller.clone());
            values.push((NODE.to_owned(), write(controller)));
        }
        values
    }
}

fn read<T: for<'a> Deserialize<'a>>(value: &[u8]) -> Option<T> {
    serde_json::from_slice(value).ok().map(|Record::V1 { learned }| learned)
}

fn write<T: Serialize>(learned: &T) -> Option<Vec<u8>> {
    serde_json::to_vec(&Record::V1 { learned }).ok()
}
