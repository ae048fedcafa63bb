//! Why a server does not start or ended badly: one line each, with a hint and an exit status by kind,
//! after BSD's `sysexits.h` so that a service supervisor can tell them apart.

use std::io;
use std::net::SocketAddr;

use store::OpenError;

/// Exit status when an address cannot be listened on.
pub const EXIT_UNAVAILABLE: u8 = 69;
/// Exit status when the platform itself failed, the broker's death included.
pub const EXIT_SOFTWARE: u8 = 70;
/// Exit status when the operating system refused something basic.
pub const EXIT_SYSTEM: u8 = 71;
/// Exit status when the data directory cannot be made or read.
pub const EXIT_DATA_DIRECTORY: u8 = 73;
/// Exit status when reading or writing failed: the disk is full or broken.
pub const EXIT_DISK: u8 = 74;
/// Exit status when another server holds the data directory; later may be better.
pub const EXIT_IN_USE: u8 = 75;
/// Exit status when this host refuses namespaces.
pub const EXIT_NAMESPACES: u8 = 77;
/// Exit status when an option or the data directory's schema does not fit this version.
pub const EXIT_CONFIGURATION: u8 = 78;

/// Why a server ended other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another program listens there.
    #[error("{address} is in use: stop the other program or pass {option}")]
    PortTaken {
        /// The address.
        address: SocketAddr,
        /// The option that moves it.
        option: &'static str,
    },
    /// The address cannot be listened on for another reason.
    #[error("cannot listen on {address} ({option})")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The option that moves it.
        option: &'static str,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
    /// The data directory cannot be used.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// What is in the data directory cannot be served.
    #[error("cannot serve what is stored")]
    Lambda(#[from] lambda::OpenError),
    /// Our runtimes cannot be written out.
    #[error(transparent)]
    Shim(#[from] worker::shim::Error),
    /// The filter of `--log` is not one.
    #[error("`{filter}` is not a log filter")]
    LogFilter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: Box<tracing_subscriber::filter::ParseError>,
    },
    /// The broker does not start.
    #[error("the sandbox broker does not start")]
    Broker(#[source] sandbox::LaunchError),
    /// Namespaces are asked for and refused.
    #[error("this host refuses namespaces: {reason}")]
    NamespacesRefused {
        /// What was tried and what the kernel said.
        reason: String,
    },
    /// A thread, a runtime or a signal handler could not be had.
    #[error("cannot {action}")]
    System {
        /// What was tried.
        action: &'static str,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
    /// The broker ended while the server was running; every instance ended with it.
    #[error("the sandbox broker is gone and every instance with it")]
    BrokerGone,
}

// === impl Error ===

impl Error {
    /// The status the process exits with.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::PortTaken { .. } | Self::Listen { .. } => EXIT_UNAVAILABLE,
            Self::Store(error) => store_exit_code(error),
            Self::Lambda(_) | Self::Shim(_) => EXIT_DISK,
            Self::LogFilter { .. } => EXIT_CONFIGURATION,
            Self::NamespacesRefused { .. } => EXIT_NAMESPACES,
            Self::System { .. } => EXIT_SYSTEM,
            Self::Broker(_) => EXIT_SOFTWARE,
            Self::BrokerGone => EXIT_SOFTWARE,
        }
    }

    /// What to do about it, where the message does not already say.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            // Their messages name the fix.
            Self::PortTaken { .. } | Self::Store(_) | Self::Shim(_) | Self::System { .. } => None,
            Self::Lambda(_) => Some("restore a backup of the data directory".to_owned()),
            Self::Broker(_) => Some("run `lambent doctor` to see what this host refuses".to_owned()),
            Self::Listen { option, .. } => Some(format!("give {option} an address of this machine")),
            Self::LogFilter { .. } => Some("a filter looks like info or warn,gateway=debug".to_owned()),
            Self::NamespacesRefused { .. } => Some(
                "run `lambent doctor` to see what is refused, or start with --isolation=process, which \
                 keeps functions apart much less: for trusted code only"
                    .to_owned(),
            ),
            Self::BrokerGone => Some("start the server again; what was acknowledged is kept".to_owned()),
        }
    }
}

fn store_exit_code(error: &OpenError) -> u8 {
    match error {
        OpenError::InUse { .. } => EXIT_IN_USE,
        OpenError::Newer { .. } => EXIT_CONFIGURATION,
        OpenError::NotOurs { .. } | OpenError::NotADirectory { .. } | OpenError::NotWritable { .. } => {
            EXIT_DATA_DIRECTORY
        }
        OpenError::DiskFull { .. }
        | OpenError::Damaged { .. }
        | OpenError::Database { .. }
        | OpenError::Io { .. } => EXIT_DISK,
        OpenError::Thread(_) => EXIT_SYSTEM,
    }
}
