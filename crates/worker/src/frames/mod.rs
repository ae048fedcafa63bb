//! Native frames: how the server talks to its own shims. The protocol is `docs/protocols/frames.md`.
//!
//! [`codec`] is pure, [`head`] the JSON heads, [`connection`] one end of the socketpair, [`shim`] an
//! instance spoken to this way.

pub(crate) mod codec;
pub(crate) mod connection;
pub(crate) mod head;
pub(crate) mod shim;

pub(crate) use connection::Connection;
pub(crate) use shim::Shim;

#[cfg(test)]
mod tests;
