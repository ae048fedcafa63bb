//! Code packages: a zip that has been checked, kept under its digest, and the tree unpacked from it.
//!
//! Life of an artifact: [`Artifacts::put_zip`] checks a zip ([`plan`]), unpacks it aside ([`unpack`]), syncs
//! both and renames them to `blobs/AB/DIGEST` and `code/DIGEST`. From then on neither changes: a digest's
//! tree is either complete or not there. The blob is the truth, the tree can be made again from it
//! ([`Artifacts::path`]). [`Artifacts::collect`] ends the life of those nobody refers to.
//!
//! Two puts of one digest at once do the work once; a put and a collect of one digest exclude each other.

mod collect;
mod digest;
mod error;
mod exclusive;
mod keep;
mod links;
mod plan;
mod unpack;

pub use collect::Collected;
pub use error::Error;
pub use keep::Artifacts;

use serde::{Deserialize, Serialize};

/// A zip that is kept, and its measures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// SHA-256 of the zip in lower-case hexadecimal: its name here.
    pub digest: String,
    /// The same in base64, AWS's `CodeSha256`.
    pub sha256_base64: String,
    /// Bytes of the zip, AWS's `CodeSize`.
    pub size: u64,
    /// Bytes of all its files.
    pub unpacked_size: u64,
}
