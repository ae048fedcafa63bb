//! The server's side of starting the broker: what this host allows, what the broker is called, and the
//! line that says why it cannot be.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sandbox::{Confinement, LaunchError, Launched, Probe};

use crate::error::Error;
use crate::options::{Isolation, Options};

/// Sandboxes kept ready for their first program.
const POOL: usize = 2;

/// Starts the broker. Call it before any thread: it is started with this process's privileges, which are
/// given up right afterwards.
pub(crate) fn launch(isolation: Isolation, name: &str, data_dir: &Path) -> Result<Launched, Error> {
    let isolation = match isolation {
        Isolation::Process => sandbox::Isolation::Process,
        Isolation::Namespaces => sandbox::Isolation::Namespaces,
    };
    let options = sandbox::Options {
        name: name.to_owned(),
        isolation,
        directory: data_dir.join("tmp"),
        pool: POOL,
        switches: false,
    };
    // The broker finds out by doing: what a sysctl says is not what a container allows.
    let launched = sandbox::launch(options).map_err(|error| match error {
        LaunchError::Refused { step, reason } => {
            Error::NamespacesRefused { reason: format!("{step}: {reason}") }
        }
        other => Error::Broker(other),
    })?;
    sandbox::drop_privileges().map_err(|source| Error::System { action: "give up privileges", source })?;
    Ok(launched)
}

/// Takes from this process, before any thread, what it does not need now that the broker is there; what this
/// kernel cannot take, a sentence each.
pub(crate) fn confine(options: &Options, data_dir: &Path) -> Vec<String> {
    sandbox::confine(&Confinement {
        directory: data_dir,
        removed: options.ephemeral,
        // There every function has an address of this host, and a port that has to be found.
        sockets: options.isolation == Isolation::Process,
    })
}

/// What cgroups are named after: the data directory, by its place on the disk, so that the next server on
/// the same data finds what a killed one has left.
pub(crate) fn name(data_dir: &Path) -> Result<String, Error> {
    let metadata = fs::metadata(data_dir)
        .map_err(|source| Error::System { action: "read the data directory's identity", source })?;
    Ok(format!("{:x}-{:016x}", metadata.dev(), metadata.ino()))
}

/// What this host does not give, a sentence each.
pub(crate) fn shortcomings(probe: &Probe) -> Vec<String> {
    let mut found = Vec::new();
    if let Err(reason) = &probe.limits {
        found.push(format!("memory, CPU and processes are not limited ({reason})"));
    }
    if let Err(reason) = &probe.scratch {
        found.push(format!("/tmp of functions counts as their memory ({reason})"));
    }
    if let Err(reason) = &probe.listen_notify {
        found.push(format!("ports of functions cannot be found by listen() ({reason})"));
    }
    if probe.rootless {
        found.push("all functions share this user's id".to_owned());
    }
    found
}
