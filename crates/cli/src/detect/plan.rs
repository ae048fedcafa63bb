//! What detection answers: what a folder is, how it is started, and the sentences that say why.

use types::settings::Server;

/// What the caller already knows.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `--handler`
    pub handler: Option<String>,
    /// `--start`
    pub start: Option<String>,
    /// `--server`
    pub server: Option<Server>,
}

/// The language whose runtime and packages are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// `python3.N`
    Python,
    /// `nodejsN.x`
    Node,
    /// None: an executable of the user's own, `provided.al2023`.
    Any,
}

/// What the folder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A Lambda handler: called with events.
    Handler,
    /// A web application object that the shim serves.
    Application(Application),
    /// A program that listens on a socket of its own.
    Program,
    /// An executable that speaks the Lambda Runtime API.
    Bootstrap,
}

/// A web application object in a Python module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// `Flask`, `FastAPI`, ...
    pub framework: String,
    /// The file it is in.
    pub file: String,
}

/// How a folder is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What it is.
    pub kind: Kind,
    /// What it needs.
    pub language: Language,
    /// AWS's `Handler`.
    pub handler: String,
    /// The tag `lambent:server`, where it has to be set.
    pub server: Option<Server>,
    /// The text of a start script to add to the package under the name `handler`.
    pub start: Option<String>,
    /// Python packages that have to be installed besides the declared ones.
    pub extra_packages: Vec<String>,
    /// What was found, one sentence each.
    pub why: Vec<String>,
    /// What the user should know.
    pub notes: Vec<String>,
}

// === impl Plan ===

impl Plan {
    /// A plan of which only the essentials are known.
    pub fn new(kind: Kind, language: Language, handler: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            kind,
            language,
            handler: handler.into(),
            server: None,
            start: None,
            extra_packages: Vec::new(),
            why: vec![why.into()],
            notes: Vec::new(),
        }
    }
}
