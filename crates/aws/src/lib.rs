//! The AWS wire: which service and operation a request means, and how answers and errors are spelled.
//!
//! A [`Router`] holds one [`Service`] per AWS API and takes any request that reaches the AWS port. It
//! finds the service ([`scope`], path or target header), matches the operation ([`route`]), reads the
//! body under the operation's limit ([`intake`]) and renders whatever comes back ([`respond`]). Services read
//! bodies with [`members`] and check them with [`violations`].
//!
//! No business logic and no storage. Signatures are not verified yet: [`scope::Scope`] is read and
//! handed to the service, which is where verification will attach.
#![forbid(unsafe_code)]

pub mod error;
pub mod intake;
pub mod members;
pub mod respond;
pub mod route;
pub mod router;
pub mod scope;
pub mod service;
pub mod violations;

pub use error::Error;
pub use members::Members;
pub use router::Router;
pub use service::{Protocol, Request, Service};
pub use violations::Violations;

/// What a service's operation answers with.
pub type Response = http::Response<types::body::Body>;
