//! Turns a folder into the zip that AWS's API takes: the folder's own files, installed dependencies and
//! what detection adds, checked for binaries of another Python or machine.
//!
//! The same folder with the same dependencies gives the same bytes, so the digest tells whether anything
//! changed. Installed dependencies are kept in a cache keyed by a digest of all that decides them.

mod archive;
mod binaries;
mod cache;
mod error;
mod ignore;
mod node;
mod progress;
mod python;
mod requirements;
mod tool;
mod walk;
mod wheel;

pub use archive::{Package, Source, Zip};
pub use binaries::{Target, check};
pub use cache::Cache;
pub use error::Error;
pub use node::{has_dependencies, install as install_node};
pub use python::{
    Interpreter, add_launchers, compile_own, install as install_python, pip_version, uv_version,
};
pub use requirements::{Requirements, python_constraint};
pub use tool::version as tool_version;
pub use walk::{Walk, walk};
