//! The admin address: is the server well, what does it count, what does it hold. Read-only and for
//! operators; everything that changes something is an AWS operation on the API's address.

mod pages;
mod service;

pub(crate) use pages::Description;
pub(crate) use service::{Admin, Sources};
