//! Names and values every part of Lambent agrees on: who is called ([`arn`]), what is called
//! ([`function`]), how ([`invocation`]), with which settings ([`settings`]) and what came of it
//! ([`failure`], [`log`], [`metering`], [`summary`]).
//!
//! No I/O and no runtime: the traits here ([`invocation::Dispatch`], [`log::Sink`]) are the seams at
//! which crates that never depend on each other meet. A type lives here only when two crates need it.
#![forbid(unsafe_code)]

pub mod arn;
pub mod body;
pub mod failure;
pub mod function;
pub mod invocation;
pub mod limits;
pub mod log;
pub mod metering;
pub mod request_id;
pub mod routing;
pub mod settings;
pub mod summary;
