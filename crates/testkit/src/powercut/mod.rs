//! Power cuts: a process runs on a file layer ([`Layer`], `powercut.c`) that remembers what was synced, is
//! killed, and its files ([`Disk`]) are put into a state that a power cut at that moment could have left
//! ([`Luck`]).
//!
//! Knows nothing of what the files mean. What goes past libc goes past the layer: it must sync nothing.

mod disk;
mod entries;
mod layer;

pub use disk::{Disk, Luck};
pub use layer::Layer;
