//! What a program has open. Known and harmless: its input, output, frames and control socket; sockets to itself; what
//! an event loop is made of, which the shim makes anew in each instance; one socket that is bound to a port, in whose
//! place each instance gets its own. Everything else would be one thing in several hands: the position in a file, the
//! state of a connection.

use std::fs;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;

use rustix::net::{AddressFamily, SocketType, sockopt};
use rustix::process::PidfdGetfdFlags;

use super::rule::{Findings, Subject, shown};
use crate::broker::ember::Port;
use crate::peer::{self, TcpState};

/// Input, output, frames and control socket.
const OURS: i32 = 4;

/// Kinds of descriptors without a file that may be shared. The rule set is that of the shim's newborns.
const HARMLESS: [&str; 4] = ["[eventpoll]", "[eventfd]", "[signalfd]", "[landlock-ruleset]"];

/// Major number of the devices that are the same for everybody: null, zero, full, random.
const MEMORY_DEVICES: u32 = 1;

/// Looks at every descriptor.
pub(super) fn look(subject: &Subject, findings: &mut Findings) {
    let directory = format!("/proc/{}/fd", subject.pid.as_raw_nonzero());
    let Ok(entries) = fs::read_dir(&directory) else {
        return findings.veto("its descriptors cannot be read".to_owned());
    };
    let mut numbers: Vec<i32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    for number in numbers.into_iter().filter(|&number| number > OURS) {
        let path = PathBuf::from(format!("{directory}/{number}"));
        // What is closed meanwhile is not shared.
        let Ok(target) = fs::read_link(&path) else { continue };
        let target = target.to_string_lossy();
        if target.starts_with("socket:") {
            socket(subject, number, findings);
        } else if let Some(kind) = target.strip_prefix("anon_inode:") {
            if !HARMLESS.contains(&kind) {
                findings.veto(format!("it has {} open", shown(kind)));
            }
        } else if target.starts_with("pipe:") {
            findings.veto("it has a pipe open: what one instance writes another may read".to_owned());
        } else {
            file(&path, &target, findings);
        }
    }
}

fn file(path: &PathBuf, target: &str, findings: &mut Findings) {
    let Ok(metadata) = fs::metadata(path) else { return };
    let (kind, name) = (metadata.file_type(), shown(target));
    if kind.is_dir() {
        findings.veto(format!("it has the directory {name} open"));
    } else if kind.is_char_device() && rustix::fs::major(metadata.rdev()) == MEMORY_DEVICES {
    } else if kind.is_file() && is_writable(path) {
        findings.veto(format!("it has the file {name} open for writing"));
    } else {
        findings.veto(format!("it has the file {name} open: its position would be shared"));
    }
}

fn is_writable(path: &std::path::Path) -> bool {
    let information = path.to_string_lossy().replace("/fd/", "/fdinfo/");
    let text = fs::read_to_string(information).unwrap_or_default();
    let flags =
        text.lines().find_map(|line| u32::from_str_radix(line.strip_prefix("flags:")?.trim(), 8).ok());
    // Read-only is 0.
    flags.is_none_or(|flags| flags & libc::O_ACCMODE.unsigned_abs() != 0)
}

fn socket(subject: &Subject, number: i32, findings: &mut Findings) {
    let copy = rustix::process::pidfd_getfd(&subject.process, number, PidfdGetfdFlags::empty());
    let Ok(socket) = copy else { return findings.veto(format!("its socket {number} cannot be looked at")) };
    let (Ok(family), Ok(kind)) = (sockopt::socket_domain(&socket), sockopt::socket_type(&socket)) else {
        return findings.veto(format!("its socket {number} cannot be looked at"));
    };
    match family {
        AddressFamily::UNIX => unix(subject, &socket, findings),
        AddressFamily::INET | AddressFamily::INET6 if kind == SocketType::STREAM => {
            stream(&socket, family == AddressFamily::INET6, findings);
        }
        AddressFamily::INET | AddressFamily::INET6 => findings.veto(match peer(&socket) {
            Some(peer) => format!("it has a socket to {peer} open"),
            None => "it has a datagram socket open: answers for one instance may reach another".to_owned(),
        }),
        _ => findings.veto("it has a netlink socket open".to_owned()),
    }
}

/// Both ends of a pair that it has made itself are its own: nobody else runs here.
fn unix(subject: &Subject, socket: &OwnedFd, findings: &mut Findings) {
    if sockopt::socket_acceptconn(socket).unwrap_or(true) {
        return findings.veto("it listens on a unix socket".to_owned());
    }
    if peer::maker_of_peer(socket) != Some(subject.pid) {
        findings.veto("it has a unix socket open that is not connected to itself".to_owned());
    }
}

fn stream(socket: &OwnedFd, v6: bool, findings: &mut Findings) {
    match (peer::tcp_state(socket), peer(socket)) {
        (Some(TcpState::Unconnected), _) => {}
        (Some(TcpState::Over), _) => {
            return findings.veto("it has a connection open that the other end has closed".to_owned());
        }
        (_, Some(peer)) => return findings.veto(format!("it has a connection to {peer} open")),
        (_, None) => return findings.veto("it has a connection open".to_owned()),
    }
    let bound = rustix::net::getsockname(socket).ok().and_then(|any| SocketAddr::try_from(any).ok());
    match (bound.map(|address| address.port()), findings.port) {
        (Some(number @ 1..), None) => findings.port = Some(Port { number, v6 }),
        (Some(number @ 1..), Some(other)) => {
            findings.veto(format!("it has two sockets for callers (ports {} and {number})", other.number));
        }
        _ => findings.veto("it has a socket open that is not connected".to_owned()),
    }
}

fn peer(socket: impl AsFd) -> Option<SocketAddr> {
    rustix::net::getpeername(socket).ok()??.try_into().ok()
}
