//! Control groups: what a process tree may use, what it has used, and the switch that stops or ends it.
//!
//! * `tree`: where ours are on this host, and their making and sweeping;
//! * `group`: those of one sandbox;
//! * `v1`, `v2`: the names and units of the kernel's files in the two versions.
//!
//! Freezing and killing always happen in the unified tree, on hybrid hosts too: the v1 freezer is slow, and what it
//! has frozen cannot be killed.

mod group;
mod tree;
mod v1;
mod v2;

pub(crate) use group::Group;
pub(crate) use tree::{Tree, sweep};
