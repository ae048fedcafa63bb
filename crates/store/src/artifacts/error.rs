//! Why a zip is not taken, or an artifact not found.

use std::io;

use crate::durable;

/// Why a zip is not taken, or an artifact not found. Each message names the entry or the limit.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes are not a zip, or a broken one.
    #[error("the code is not a valid zip ({reason}): make it with zip or python3 -m zipfile -c")]
    NotAZip {
        /// What is wrong.
        reason: String,
    },
    /// A zip with no entry.
    #[error("the zip is empty: put the function's files at its top level")]
    Empty,
    /// An entry, or a link's target, that lies outside.
    #[error("zip entry `{entry}` leads outside the package: use relative paths without `..`")]
    Escapes {
        /// The entry.
        entry: String,
    },
    /// An entry that is neither file nor directory nor link.
    #[error("zip entry `{entry}` is a device, pipe or socket: only files, directories and links are taken")]
    Special {
        /// The entry.
        entry: String,
    },
    /// Two entries that want the same place.
    #[error("zip entry `{entry}` is in the way of another of the same path: keep only one of them")]
    Duplicate {
        /// The later entry.
        entry: String,
    },
    /// An entry that can be read by nobody here.
    #[error("zip entry `{entry}` cannot be unpacked: {reason}")]
    Unreadable {
        /// The entry.
        entry: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The zip itself is too large.
    #[error("the zip has {size} bytes, over the limit of {limit} (setting --limit-code-zip)")]
    ZipTooLarge {
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// What is in it is too large.
    #[error("the zip unpacks to more than {limit} bytes (setting --limit-code-unzipped)")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// Too much is in it.
    #[error("the zip has more than {limit} files and directories (setting --limit-code-entries)")]
    TooManyEntries {
        /// The limit.
        limit: u64,
    },
    /// There is no such artifact.
    #[error("there is no code with the digest `{digest}`: deploy the function again")]
    Unknown {
        /// The digest that was asked for.
        digest: String,
    },
    /// The kept zip has changed.
    #[error("the kept code `{digest}` is damaged: check the disk and deploy the function again")]
    Damaged {
        /// Its digest.
        digest: String,
    },
    /// There is no room.
    #[error("no space left for the code: free some in the data directory and retry")]
    DiskFull,
    /// Something else went wrong with a file.
    #[error("the code cannot be kept ({0}): check the data directory's disk and retry")]
    Io(#[source] io::Error),
    /// The server is going down.
    #[error("the store is closed: retry against the next server")]
    Stopped,
}

// === impl Error ===

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        if durable::is_full(&error) { Self::DiskFull } else { Self::Io(error) }
    }
}
