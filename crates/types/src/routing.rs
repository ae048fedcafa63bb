//! Which name leads to which version, as one immutable snapshot.
//!
//! The Lambda service publishes a new [`Snapshot`] after each durable change; the gateway and `Invoke`
//! read the current one with a single atomic load. Nothing durable is read on the invoke path.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::arn::{FunctionReference, LATEST};
use crate::function::Version;

/// Everything that can be called, at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Functions by bare name.
    pub functions: HashMap<String, Function>,
    /// Function URLs by their id: the first label of the host in `FunctionUrl`.
    pub urls: HashMap<String, Url>,
}

/// One function's names.
#[derive(Debug, Clone)]
pub struct Function {
    /// Versions by `$LATEST` or number.
    pub versions: BTreeMap<String, Arc<Version>>,
    /// Aliases and the version each points at.
    pub aliases: BTreeMap<String, String>,
    /// The qualifiers that have a URL (`None`: the unqualified function) and its id.
    pub urls: Vec<(Option<String>, String)>,
}

/// Where a function URL leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// The function and, where the URL is an alias's, its name.
    pub target: FunctionReference,
}

/// The current snapshot, shared by all who read it.
#[derive(Debug, Clone, Default)]
pub struct Table(Arc<ArcSwap<Snapshot>>);

// === impl Snapshot ===

impl Snapshot {
    /// The version a reference leads to; without a qualifier, `$LATEST`.
    #[must_use]
    pub fn resolve(&self, reference: &FunctionReference) -> Option<&Arc<Version>> {
        let function = self.functions.get(&reference.name)?;
        let qualifier = reference.qualifier.as_deref().unwrap_or(LATEST);
        let version = function.aliases.get(qualifier).map_or(qualifier, String::as_str);
        function.versions.get(version)
    }

    /// The version that a host's first label leads to: a URL id, or the name of a function that has a
    /// URL (the unqualified one first, else its only or first alias's).
    #[must_use]
    pub fn resolve_label(&self, label: &str) -> Option<&Arc<Version>> {
        if let Some(url) = self.urls.get(label) {
            return self.resolve(&url.target);
        }
        // Host names have no case and functions do: an exact match wins.
        let (name, function) = self
            .functions
            .get_key_value(label)
            .or_else(|| self.functions.iter().find(|(name, _)| name.eq_ignore_ascii_case(label)))?;
        let qualifier = match function.urls.iter().find(|(qualifier, _)| qualifier.is_none()) {
            Some((qualifier, _)) => qualifier.clone(),
            None => function.urls.first()?.0.clone(),
        };
        self.resolve(&FunctionReference { name: name.clone(), qualifier })
    }
}

// === impl Table ===

impl Table {
    /// The snapshot of this moment.
    #[must_use]
    pub fn load(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.0.load()
    }

    /// Makes `snapshot` the current one. Requests that hold the old one finish with it.
    pub fn publish(&self, snapshot: Snapshot) {
        self.0.store(Arc::new(snapshot));
    }
}
