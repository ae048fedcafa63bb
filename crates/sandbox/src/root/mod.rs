//! The root of a sandbox: an in-memory tree into which everything visible is mounted, then made the only
//! one. It lives in the mount namespace of its shell and goes with it; nothing of it is on disk.
//!
//! * `tree`: the tree, and the mounts and files of a spec;
//! * `devices`: `/dev`;
//! * `process_information`: `/proc`;
//! * `scratch`: `/tmp`;
//! * `roots`: several roots of one tree, for a sandbox with an ember.

pub(crate) mod devices;
pub(crate) mod process_information;
pub(crate) mod roots;
pub(crate) mod scratch;
pub(crate) mod tree;
