//! `lambent deploy`, without its argument parsing: what the function is to be ([`wanted`]), how the
//! server is brought there ([`publish`]), and how it is then reached ([`address`]).
//!
//! Everything goes through AWS operations; a deploy that stops half way is completed by the next one,
//! because each step looks at what is there.

pub mod address;
pub mod dotenv;
mod error;
mod publish;
mod runtime;
mod wanted;

pub use error::Error;
pub use publish::{Change, Deployed, LIVE, publish};
pub use runtime::{Chosen, choose};
pub use wanted::{Overrides, Wanted};
