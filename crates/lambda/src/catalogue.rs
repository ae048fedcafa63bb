//! All functions in memory, the durable records behind them and the routing snapshot before them.
//!
//! Reads take an [`Entry`] from memory. A change is made in this order: wait for the function's turn →
//! edit a copy → make its code ready → commit durably → replace the entry → publish a new snapshot → say
//! that something changed. So what was answered is durable, and what can be called is a function of what
//! is durable. Changes of one function happen one after another; those of others do not wait for it.
//!
//! A change must not be dropped half way: the commit goes on without its future, and memory would miss
//! it. [`crate::service`] runs changes on a task of their own for that reason.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use parking_lot::RwLock;
use store::records::{Expected, Records, Write};
use store::{Artifacts, Store};
use tokio::sync::{Mutex, MutexGuard};
use types::routing::{Snapshot, Table};

use crate::entry::{Draft, Entry, configurations, writes};
use crate::error::Error;
use crate::records::{FUNCTIONS, Function, VERSIONS, Version};
use crate::route::Trees;

/// Functions whose changes do not wait for each other, give or take a collision.
const TURNS: u64 = 64;

/// Says that a new snapshot was published. Calls do not overlap; it must not call back into the service.
pub type Changed = Box<dyn Fn() + Send + Sync>;

/// Why the catalogue cannot be read at start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store failed.
    #[error(transparent)]
    Records(#[from] store::records::Error),
    /// A record is not what this version writes.
    #[error("the record of {what} cannot be read ({source}): it was made by another version of lambent")]
    Record {
        /// The record.
        what: String,
        /// What serde said.
        source: serde_json::Error,
    },
}

/// All functions.
pub struct Catalogue {
    records: Arc<dyn Records>,
    artifacts: Artifacts,
    routes: Table,
    changed: Changed,
    entries: RwLock<BTreeMap<String, Arc<Entry>>>,
    publishing: parking_lot::Mutex<()>,
    turns: Vec<Mutex<()>>,
    hasher: RandomState,
}

// === impl Catalogue ===

impl Catalogue {
    /// Reads all records, makes their code ready and publishes the first snapshot.
    ///
    /// # Errors
    /// [`OpenError`] when the records cannot be read. Code that cannot be unpacked makes only its own
    /// version uncallable.
    pub async fn open(store: &Store, routes: Table, changed: Changed) -> Result<Self, OpenError> {
        let catalogue = Self {
            records: store.records(),
            artifacts: store.artifacts(),
            routes,
            changed,
            entries: RwLock::new(BTreeMap::new()),
            publishing: parking_lot::Mutex::new(()),
            turns: (0..TURNS).map(|_| Mutex::new(())).collect(),
            hasher: RandomState::new(),
        };
        let entries = catalogue.load().await?;
        *catalogue.entries.write() = entries;
        catalogue.publish();
        catalogue.collect().await;
        Ok(catalogue)
    }

    /// One function, by its bare name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<Entry>> {
        self.entries.read().get(name).cloned()
    }

    /// All functions in the order of their names.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Entry>> {
        self.entries.read().values().cloned().collect()
    }

    /// The snapshot table.
    #[must_use]
    pub fn routes(&self) -> &Table {
        &self.routes
    }

    /// Where code is kept.
    #[must_use]
    pub fn artifacts(&self) -> &Artifacts {
        &self.artifacts
    }

    /// Makes a function.
    ///
    /// # Errors
    /// [`Error::Conflict`] when there is one of that name, or what the store said.
    pub async fn create(&self, draft: Draft) -> Result<Arc<Entry>, Error> {
        let _turn = self.turn(&draft.function.name).await;
        if self.get(&draft.function.name).is_some() {
            return Err(Error::Conflict(format!("Function already exist: {}", draft.function.name)));
        }
        self.commit(None, draft).await
    }

    /// Changes a function. `edit` works on a copy; where it changes nothing, nothing is written.
    ///
    /// # Errors
    /// `missing` when there is no such function, what `edit` said, or what the store said.
    pub async fn change<T>(
        &self,
        name: &str,
        missing: impl FnOnce() -> Error,
        edit: impl FnOnce(&mut Draft) -> Result<T, Error>,
    ) -> Result<(T, Arc<Entry>), Error> {
        let _turn = self.turn(name).await;
        let Some(entry) = self.get(name) else { return Err(missing()) };
        let mut draft = entry.draft();
        let value = edit(&mut draft)?;
        if entry.is(&draft) {
            return Ok((value, entry));
        }
        Ok((value, self.commit(Some(&entry), draft).await?))
    }

    /// Removes a function with all its versions.
    ///
    /// # Errors
    /// `missing` when there is no such function, or what the store said.
    pub async fn remove(&self, name: &str, missing: impl FnOnce() -> Error) -> Result<(), Error> {
        let _turn = self.turn(name).await;
        let Some(entry) = self.get(name) else { return Err(missing()) };
        let function = Write::delete(FUNCTIONS, name).expecting(Expected::Revision(entry.revision));
        let version = |number: &u64| Write::delete(VERSIONS, &Version::key(name, *number));
        let writes = std::iter::once(function).chain(entry.versions.keys().map(version)).collect();
        self.records.commit(writes).await?;
        self.entries.write().remove(name);
        self.publish();
        Ok(())
    }

    async fn turn(&self, name: &str) -> Option<MutexGuard<'_, ()>> {
        let index = self.hasher.hash_one(name) % TURNS;
        match self.turns.get(usize::try_from(index).unwrap_or_default()) {
            Some(turn) => Some(turn.lock().await),
            None => None,
        }
    }

    async fn commit(&self, before: Option<&Entry>, draft: Draft) -> Result<Arc<Entry>, Error> {
        let mut trees = before.map(|entry| entry.trees.clone()).unwrap_or_default();
        for configuration in configurations(&draft.function, &draft.versions) {
            trees.add(&self.artifacts, configuration).await;
        }
        let writes = writes(before, &draft)?;
        let revision = self.records.commit(writes).await?;
        let entry = Arc::new(Entry::new(draft, revision, trees));
        self.entries.write().insert(entry.function.name.clone(), Arc::clone(&entry));
        self.publish();
        Ok(entry)
    }

    /// Shows what is in memory now. One at a time, the announcement included: neither an older state nor
    /// news of it ever comes after a newer one.
    fn publish(&self) {
        let _turn = self.publishing.lock();
        let mut snapshot = Snapshot::default();
        for (name, entry) in self.entries.read().iter() {
            entry.add_to(name, &mut snapshot);
        }
        self.routes.publish(snapshot);
        (self.changed)();
    }

    async fn load(&self) -> Result<BTreeMap<String, Arc<Entry>>, OpenError> {
        let mut versions: BTreeMap<String, BTreeMap<u64, Arc<Version>>> = BTreeMap::new();
        for record in self.records.list(VERSIONS, "").await? {
            let version: Version = read(&record.key, &record.value)?;
            let function = record.key.split('/').next().unwrap_or_default().to_owned();
            versions.entry(function).or_default().insert(version.number, Arc::new(version));
        }
        let mut entries = BTreeMap::new();
        for record in self.records.list(FUNCTIONS, "").await? {
            let function: Function = read(&record.key, &record.value)?;
            let versions = versions.remove(&record.key).unwrap_or_default();
            let mut trees = Trees::default();
            for configuration in configurations(&function, &versions) {
                trees.add(&self.artifacts, configuration).await;
            }
            let entry = Entry::new(Draft { function, versions }, record.revision, trees);
            entries.insert(record.key, Arc::new(entry));
        }
        Ok(entries)
    }

    /// Ends the life of code that no function refers to any more.
    async fn collect(&self) {
        let mut live = HashSet::new();
        for entry in self.all() {
            for configuration in configurations(&entry.function, &entry.versions) {
                live.insert(configuration.code.digest.clone());
            }
        }
        if let Err(error) = self.artifacts.collect(&live).await {
            tracing::warn!(%error, "unreferenced code could not be removed; the next start tries again");
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, OpenError> {
    serde_json::from_slice(value).map_err(|source| OpenError::Record { what: format!("`{key}`"), source })
}
