//! What a request costs: CPU, memory, bytes and time, from the kernel's figures of its instance.
//!
//! * `meter`: where figures come from;
//! * `ledger`: the pure division of an instance's figures among its requests;
//! * `books`: one instance's meter and ledger, looked at when a request begins and ends;
//! * `account`: what a function's instances have cost together;
//! * `record`, `ring`: what is kept of each request, and for how long.
//!
//! No figure comes from the function or its shim: what they say about themselves is never believed.

mod account;
mod books;
mod ledger;
mod meter;
mod record;
mod ring;

pub(crate) use account::{Account, Shared};
pub(crate) use books::{Books, Open, Used};
pub(crate) use ledger::{Amount, Buckets};
pub(crate) use record::{Arrival, Ended, Origin, Pending, Record, mib_ms};
pub(crate) use ring::{KEPT, Ring};
