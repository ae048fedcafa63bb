//! What an instance's file system is composed of: parts of the host, read-only, and a few generated
//! files. What is not here is not there: above all not the host's `/etc`, `/home`, `/root`, `/var`.

use std::fs;
use std::path::{Path, PathBuf};

use sandbox::spec::Mount;
use types::function::Version;

use super::program::Entry;
use crate::shim;

/// Directories that a merged `/usr` leaves as links.
const TOP: &[&str] = &["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// What programs look up in `/etc` and that is the same for everyone.
const ETC: &[&str] = &[
    "/etc/alternatives",
    "/etc/ca-certificates.conf",
    "/etc/crypto-policies",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/pki/ca-trust",
    "/etc/pki/tls",
    "/etc/protocols",
    "/etc/services",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
];

const PASSWD: &str = "root:x:0:0:root:/root:/usr/sbin/nologin\n\
                      lambent:x:1000:1000:function:/tmp:/bin/sh\n\
                      nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nlambent:x:1000:\nnogroup:x:65534:\n";
const HOSTS: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
const RESOLV: &str = "# There is no network inside but loopback.\nnameserver 127.0.0.1\n";
const NSSWITCH: &str = "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n";

/// The mounts of one instance, in order.
pub(super) fn mounts(version: &Version, shim: &shim::Installed, entry: &Entry) -> Vec<Mount> {
    let mut mounts = vec![read_only("/usr", "/usr")];
    mounts.extend(TOP.iter().filter_map(|path| same(Path::new(path))));
    if let Some(interpreter) = &entry.interpreter
        && !interpreter.prefix.starts_with("/usr")
    {
        mounts.push(read_only(&interpreter.prefix, &interpreter.prefix));
    }
    mounts.extend(ETC.iter().filter_map(|path| same(Path::new(path))));
    let files = [
        ("/etc/passwd", PASSWD),
        ("/etc/group", GROUP),
        ("/etc/hosts", HOSTS),
        ("/etc/resolv.conf", RESOLV),
        ("/etc/nsswitch.conf", NSSWITCH),
    ];
    mounts.extend(files.map(|(target, text)| Mount::File { text: text.to_owned(), target: target.into() }));
    mounts.push(Mount::Directory { target: "/opt".into() });
    mounts.push(read_only(&version.code, "/var/task"));
    mounts.push(read_only(&shim.directory, "/var/runtime"));
    mounts
}

/// A path of the host at the same place: as a link where it is one, else as it is.
fn same(path: &Path) -> Option<Mount> {
    let metadata = fs::symlink_metadata(path).ok()?;
    if metadata.file_type().is_symlink() {
        return Some(Mount::Link { to: fs::read_link(path).ok()?, target: path.to_owned() });
    }
    Some(read_only(path, path))
}

fn read_only(source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Mount {
    Mount::ReadOnly { source: source.into(), target: target.into() }
}
