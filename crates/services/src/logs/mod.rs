//! CloudWatch Logs over what functions wrote: groups, streams, events, filters, deletion.
//!
//! A group is a function's (`/aws/lambda/NAME`) and is there as soon as the function has written a line.
//! Groups and streams of one's own are not supported yet and are refused by name.

mod error;
mod events;
mod groups;
mod service;
mod streams;
mod token;

pub use error::Error;
pub use service::Service;
