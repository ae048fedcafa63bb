//! What functions wrote, kept for as long as there is room and found again by time.
//!
//! [`Logs`] takes lines as a [`Sink`]: it never blocks, a line goes into a bounded queue from which one
//! thread ([`writer`]) writes what has arrived together. A line is visible to queries once it is written,
//! milliseconds later; [`Logs::flush`] waits for that. Lines survive `kill -9` once written; a power cut may
//! cost the newest. Per function the newest [`Options::kept_bytes`] are kept.
//!
//! Lifecycle: dropping the last handle writes what is queued and waits for the thread.

mod chunk;
mod error;
mod pattern;
mod query;
mod queue;
mod schema;
mod sink;
#[cfg(test)]
mod tests;
mod writer;

pub use error::Error;
pub use pattern::{Pattern, PatternError};
pub use query::{Cursor, Event, EventQuery, Group, Order, Page, Stream, StreamCursor, StreamQuery};
pub(crate) use schema::SCHEMA;
pub use sink::Logs;
pub(crate) use sink::Options;
