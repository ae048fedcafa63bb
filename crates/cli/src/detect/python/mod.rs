//! Reads Python sources far enough to know what they define, without running them.
//!
//! [`lexer`] turns text into logical lines with strings and comments blanked, [`module`] reads
//! statements from those, [`application`] decides which of them are web applications. Not a parser: a
//! construct that is not understood is not seen, and the explicit flags remain.

mod application;
mod frameworks;
mod lexer;
mod module;

pub use application::{Found, Style, find_applications, find_event_handler, find_program};
pub use module::Module;
