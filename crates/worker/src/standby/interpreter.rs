//! One interpreter that waits, and whom it could serve.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sandbox::handle::Channels;
use sandbox::spec::{Mount, Spec};
use types::function::{Runtime, Version};
use types::settings::Settings;

use crate::compose::{Composition, Identity, Isolation, Protocol, Purpose};
use crate::frames::{Connection, shim};
use crate::launcher::Tree;
use crate::output;
use crate::pool::Node;

/// How long one may take until it waits; it is nobody's start that waits for it.
const LONGEST: Duration = Duration::from_secs(30);

/// Memory that one may use while it waits, in MiB.
const MEMORY_MIB: u32 = 512;

/// Where code is mounted later.
const CODE: [&str; 2] = ["/var/task", "/opt"];

/// What interpreters, the C library and OpenSSL read when a process begins, and never again.
const READ_AT_START: [&str; 9] = [
    "LANG",
    "LANGUAGE",
    "LOCPATH",
    "GCONV_PATH",
    "OPENSSL_CONF",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TZ",
    "TZDIR",
];

/// The same, by how their names begin.
const READ_AT_START_PREFIXES: [&str; 9] =
    ["NODE_", "PYTHON", "LD_", "UV_", "LC_", "MALLOC_", "GLIBC_", "ICU_", "V8_"];

/// One that waits. Dropping it ends it.
pub(crate) struct Interpreter {
    pub tree: Arc<dyn Tree>,
    pub connection: Connection,
    /// What it writes is read from here.
    pub output: OwnedFd,
    /// What is visible in it already.
    pub mounts: Vec<Mount>,
}

/// Which interpreter one is: its language and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Node(u8),
    Python(u8),
}

/// Which interpreter a version needs.
///
/// # Errors
/// Why it can use none that waits, as a sentence for people.
pub(crate) fn suits(node: &Node, version: &Version) -> Result<Kind, String> {
    if node.composer.isolation == Isolation::Process {
        return Err("without namespaces no interpreter waits".to_owned());
    }
    if !node.composer.shims(version) {
        return Err("no interpreter waits for what the shim does not serve".to_owned());
    }
    let choice = node.composer.runtimes.choose(version.runtime);
    let found = choice.ok_or_else(|| format!("{} is not on this machine", version.runtime))?.version;
    let kind = match version.runtime {
        Runtime::Node { .. } => Kind::Node(found),
        Runtime::Python { .. } => Kind::Python(found),
        Runtime::Provided => return Err("no interpreter is wanted".to_owned()),
    };
    let early = |name: &&String| {
        READ_AT_START.contains(&name.as_str())
            || READ_AT_START_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    match version.environment.keys().find(early) {
        Some(name) => Err(format!("its variable {name} is read when the interpreter starts")),
        None => Ok(kind),
    }
}

// === impl Interpreter ===

impl Interpreter {
    /// Starts the one that would serve `version` and waits until it waits. Nothing of the version goes into it.
    ///
    /// # Errors
    /// Why it cannot be made.
    pub async fn make(node: &Node, version: &Version) -> Result<Self, String> {
        let text = |error: std::io::Error| error.to_string();
        let nobody = nobody(version);
        let identity = Identity::new(&nobody, jiff::Timestamp::now());
        let composed = node.composer.compose(&nobody, &identity, Purpose::Instance);
        let Composition { spec, protocol, .. } = composed.map_err(|error| error.message)?;
        if protocol != Protocol::Frames {
            return Err("it is not served by the shim".to_owned());
        }
        let spec = waiting(spec);
        let mounts = spec.mounts.clone();
        let (output, writer) = output::pipe().map_err(text)?;
        let (mut connection, theirs) = Connection::pair().map_err(text)?;
        let channels = Channels { output: writer, frames: Some(theirs) };
        let tree = node.launcher.start(spec, channels).await.map_err(|error| error.to_string())?;
        let waits = tokio::time::timeout(LONGEST, shim::waiting(&mut connection)).await;
        match waits {
            Ok(Ok(())) => Ok(Self { tree, connection, output, mounts }),
            Ok(Err(fault)) => Err(format!("its shim did not come to wait: {fault:?}")),
            Err(_) => Err("its shim did not come to wait in time".to_owned()),
        }
    }
}

/// A version of the same runtime that is nobody's.
fn nobody(version: &Version) -> Version {
    Version {
        name: "standby".to_owned(),
        arn: String::new(),
        revision: String::new(),
        handler: String::new(),
        memory_mib: MEMORY_MIB,
        environment: std::collections::BTreeMap::new(),
        settings: Settings::default(),
        ..version.clone()
    }
}

/// The spec of a program, as one that waits for its code.
fn waiting(spec: Spec) -> Spec {
    let Spec { mut mounts, mut process, .. } = spec;
    mounts.retain(|mount| !matches!(mount, Mount::ReadOnly { target, .. } if CODE.iter().any(|code| target.starts_with(code))));
    for target in CODE.map(PathBuf::from) {
        let directory = Mount::Directory { target };
        if !mounts.contains(&directory) {
            mounts.push(directory);
        }
    }
    process.argv.push("--standby".to_owned());
    process.directory = "/".into();
    Spec { mounts, process, standby: true, ember: false, ..spec }
}

#[cfg(test)]
mod tests {
    use sandbox::spec::{Layers, Limits, Listen, Process};

    use super::*;
    use crate::testing;

    #[test]
    fn nothing_of_a_version_is_left_in_nobody() {
        let mut version = testing::version("secret-name");
        version.environment.insert("SECRET".to_owned(), "value".to_owned());
        version.code = "/secret/code".into();
        let mounts = [("/usr", "/usr"), ("/secret/code", "/var/task"), ("/secret/layer", "/opt/layer")];
        let spec = Spec {
            hostname: "lambent-0".to_owned(),
            mounts: mounts
                .map(|(source, target)| Mount::ReadOnly { source: source.into(), target: target.into() })
                .into(),
            tmp_bytes: 512 << 20,
            process: Process { argv: vec![], environment: vec![], directory: "/var/task".into() },
            limits: Limits {
                memory_bytes: 128 << 20,
                cpu_millis: 1000,
                cpu_weight: 72,
                cpu_owner: 1,
                pids: 1024,
                open_files: 4096,
            },
            listen: Listen::Ordinary,
            server_listener: None,
            ember: false,
            standby: false,
            layers: Layers::ALL,
        };
        let waiting = waiting(spec);
        let shown = format!("{:?} {waiting:?}", Version { code: "/".into(), ..nobody(&version) });
        assert!(!shown.contains("ecret"), "{shown}");
        assert!(waiting.standby);
        assert_eq!(waiting.mounts.len(), 3);
    }
}
