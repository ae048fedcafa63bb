//! Small values by kind and key, each with a revision: everything the control plane remembers.
//!
//! [`Records`] is the seam behind which a back end stands: [`Sqlite`] now, one shared by several servers
//! later. All of them pass the suite in `conformance.rs`. It is not on the way of an invocation: who
//! needs records there keeps a snapshot.

#[cfg(test)]
mod conformance;
mod error;
mod sqlite;
mod writer;

pub use error::Error;
pub(crate) use sqlite::SCHEMA;
pub use sqlite::Sqlite;

use bytes::Bytes;
use types::invocation::Boxed;

/// One value and the revision it was written at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The key within its kind.
    pub key: String,
    /// The value: bytes that mean something to their kind's owner.
    pub value: Bytes,
    /// The commit that wrote it. Revisions rise with each commit and are never used twice.
    pub revision: u64,
}

/// What must be there for a write to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Anything or nothing.
    Any,
    /// Nothing.
    Absent,
    /// A record that was last written at this revision.
    Revision(u64),
}

/// One change of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The kind, for instance `function`.
    pub kind: String,
    /// The key within the kind.
    pub key: String,
    /// The new value; `None` removes the record.
    pub value: Option<Bytes>,
    /// What the whole commit depends on.
    pub expected: Expected,
}

/// Keeps records.
pub trait Records: Send + Sync + 'static {
    /// The record under a key, if there is one.
    fn get(&self, kind: &str, key: &str) -> Boxed<Result<Option<Record>, Error>>;

    /// All records of a kind whose key begins with `prefix`, in the order of their keys' bytes.
    fn list(&self, kind: &str, prefix: &str) -> Boxed<Result<Vec<Record>, Error>>;

    /// Makes all of `writes`, in order, or none of them, and answers with the revision they now have.
    ///
    /// Once this is done they are durable, and every later read sees them. Where it fails with
    /// [`Error::Conflict`] nothing has changed. A commit that has begun goes on when its
    /// future is dropped.
    fn commit(&self, writes: Vec<Write>) -> Boxed<Result<u64, Error>>;
}

// === impl Write ===

impl Write {
    /// Writes a value whatever is there.
    #[must_use]
    pub fn put(kind: &str, key: &str, value: impl Into<Bytes>) -> Self {
        Self { value: Some(value.into()), ..Self::delete(kind, key) }
    }

    /// Writes a value where there is none.
    #[must_use]
    pub fn create(kind: &str, key: &str, value: impl Into<Bytes>) -> Self {
        Self::put(kind, key, value).expecting(Expected::Absent)
    }

    /// Removes a record, if there is one.
    #[must_use]
    pub fn delete(kind: &str, key: &str) -> Self {
        Self { kind: kind.to_owned(), key: key.to_owned(), value: None, expected: Expected::Any }
    }

    /// The same write, made only where `expected` holds.
    #[must_use]
    pub fn expecting(self, expected: Expected) -> Self {
        Self { expected, ..self }
    }
}
