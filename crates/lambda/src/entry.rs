//! One function in memory, a change of it, and the writes that make the change durable.

use std::collections::BTreeMap;
use std::sync::Arc;

use store::records::{Expected, Write};
use types::routing::{self, Snapshot};

use crate::error::Error;
use crate::records::{Configuration, FUNCTIONS, Function, VERSIONS, Version};
use crate::route::{self, Trees};

/// Everything known of one function. Immutable; a change makes a new one.
#[derive(Debug)]
pub struct Entry {
    /// The function's record.
    pub function: Function,
    /// Published versions by number.
    pub versions: BTreeMap<u64, Arc<Version>>,
    /// The store's revision of the function's record.
    pub(crate) revision: u64,
    /// Where the code of all its versions is unpacked.
    pub(crate) trees: Trees,
    routes: routing::Function,
}

/// A function that is being changed.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The function's record.
    pub function: Function,
    /// Published versions by number.
    pub versions: BTreeMap<u64, Arc<Version>>,
}

// === impl Entry ===

impl Entry {
    /// What a change comes to once it is durable at `revision`.
    pub(crate) fn new(draft: Draft, revision: u64, trees: Trees) -> Self {
        let routes = route::function(&draft, &trees);
        let Draft { function, versions } = draft;
        Self { function, versions, revision, trees, routes }
    }

    /// The same, to be changed.
    #[must_use]
    pub fn draft(&self) -> Draft {
        Draft { function: self.function.clone(), versions: self.versions.clone() }
    }

    /// Whether a change changed nothing.
    pub(crate) fn is(&self, draft: &Draft) -> bool {
        draft.function == self.function && same_versions(&draft.versions, &self.versions)
    }

    /// Shows its names and URLs.
    pub(crate) fn add_to(&self, name: &str, snapshot: &mut Snapshot) {
        for (qualifier, url) in &self.function.urls {
            snapshot.urls.insert(url.id.clone(), route::url(name, qualifier));
        }
        snapshot.functions.insert(name.to_owned(), self.routes.clone());
    }
}

/// Every configuration of a function: `$LATEST`'s and each version's.
pub(crate) fn configurations<'a>(
    function: &'a Function,
    versions: &'a BTreeMap<u64, Arc<Version>>,
) -> impl Iterator<Item = &'a Configuration> {
    std::iter::once(&function.latest).chain(versions.values().map(|version| &version.configuration))
}

fn same_versions(one: &BTreeMap<u64, Arc<Version>>, other: &BTreeMap<u64, Arc<Version>>) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|((_, a), (_, b))| Arc::ptr_eq(a, b))
}

/// The writes that lead from one state of a function to the next.
pub(crate) fn writes(before: Option<&Entry>, draft: &Draft) -> Result<Vec<Write>, Error> {
    let name = &draft.function.name;
    let expected = before.map_or(Expected::Absent, |entry| Expected::Revision(entry.revision));
    let mut writes = vec![Write::put(FUNCTIONS, name, json(&draft.function)?).expecting(expected)];
    let none = BTreeMap::new();
    let old = before.map_or(&none, |entry| &entry.versions);
    for (number, version) in &draft.versions {
        if !old.get(number).is_some_and(|known| Arc::ptr_eq(known, version)) {
            writes.push(Write::put(VERSIONS, &Version::key(name, *number), json(version.as_ref())?));
        }
    }
    for number in old.keys().filter(|number| !draft.versions.contains_key(number)) {
        writes.push(Write::delete(VERSIONS, &Version::key(name, *number)));
    }
    Ok(writes)
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|error| Error::Service(format!("a record cannot be written: {error}")))
}
