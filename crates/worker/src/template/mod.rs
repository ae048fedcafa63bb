//! Embers: processes that have run a version's init and are forked once per instance.
//!
//! At most one per version. Its life: *making* (a normal sandbox, its init, the platform's look at what the
//! init has left behind) → *alive* | *refused* (its init must not be shared; the process goes on as the only
//! instance of that init, and starts do without from then on) → *retired* (unused, too old, replaced, broken,
//! drain). [`templates`] knows which version has what and [`life`] is the task of one; [`ember`] forks,
//! [`kindle`] makes what can be forked, [`inputs`] says what an ember is made of and for whom there is none.
//!
//! Invariants: no two embers of one version are made at once; an ember's end ends no instance; nothing that
//! happens to an ember fails a start that could be made without it, except its init, which would fail there too.

mod ember;
mod inputs;
mod kindle;
mod life;
mod templates;

pub(crate) use ember::{Ember, Use};
pub(crate) use inputs::Key;
pub(crate) use templates::{Found, Outcome, Retirement, Templates};

#[cfg(test)]
mod tests;
