//! The limit on open files: each connection, each instance's sockets and pipes count. Raised to what the
//! host allows, before the broker is started, which inherits it; programs in sandboxes get their own.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one. A host that refuses leaves it as it was.
pub(crate) fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, limit = ?limit.current, "the limit on open files cannot be raised");
    }
}
