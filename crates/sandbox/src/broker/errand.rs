//! What the broker has done beside its loop by a short-lived copy of itself, and is told the end of in one packet.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, RawFd};

use super::serve::Broker;
use super::watch::{Kind, Watched};
use crate::failure::{At, Failure};
use crate::packet;
use crate::protocol::{Number, say};
use crate::root::scratch::Template;
use crate::shell;
use crate::spec::Limits;
use crate::system::{self, CloneOptions, Forked};

/// Longest report.
const REPORT: usize = 4096;

/// Those that are under way.
#[derive(Debug, Default)]
pub(super) struct Errands {
    last: Number,
    running: BTreeMap<Number, Errand>,
}

#[derive(Debug)]
struct Errand {
    socket: Watched,
    then: Then,
}

/// What comes after it.
#[derive(Debug)]
pub(super) enum Then {
    /// The image is formatted: it is kept, and starts that wait for it go on.
    Image(Template),
    /// The sandbox has what it was assigned.
    Assigned { sandbox: Number, ticket: u64, limits: Limits },
}

// === impl Errands ===

impl Errands {
    /// Whether one ends in what is looked for.
    pub(super) fn any(&self, looked_for: impl Fn(&Then) -> bool) -> bool {
        self.running.values().any(|errand| looked_for(&errand.then))
    }
}

// === impl Broker ===

impl Broker {
    /// Sends a copy off, which keeps only these descriptors.
    pub(super) fn send_off(
        &mut self,
        name: &CStr,
        kept: &[RawFd],
        then: Then,
        act: impl FnOnce(&Self) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let (socket, theirs) = packet::pair().at(|| "make a socket pair")?;
        match system::clone_process(CloneOptions::default()).at(|| "fork for an errand")? {
            Forked::Child => {
                let code = shell::aside(|| {
                    let kept = kept.iter().copied().chain([theirs.as_raw_fd()]);
                    let done = shell::begin_aside(name, kept).and_then(|()| act(self));
                    i32::from(say(&theirs, &done, &[]).is_err() || done.is_err())
                });
                system::exit_now(code)
            }
            Forked::Parent { .. } => {
                self.errands.last = self.errands.last.wrapping_add(1);
                let number = self.errands.last;
                let socket = self.watch.add(socket, number, Kind::Errand).at(|| "watch an errand")?;
                self.errands.running.insert(number, Errand { socket, then });
                Ok(())
            }
        }
    }

    /// One has reported, or has ended without a word.
    pub(super) fn reported(&mut self, number: Number) {
        let Some(errand) = self.errands.running.get(&number) else { return };
        let mut buffer = [0; REPORT];
        let report = match packet::receive(&errand.socket, &mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Ok(received) => {
                buffer.get(..received.length).and_then(|bytes| serde_json::from_slice(bytes).ok())
            }
            Err(_) => None,
        };
        let done = report.unwrap_or_else(|| Err(Failure::new("run an errand", "its process was killed")));
        let Some(Errand { then, .. }) = self.errands.running.remove(&number) else { return };
        match then {
            Then::Image(template) => self.image_made(template, &done),
            Then::Assigned { sandbox, ticket, limits } => self.assigned(sandbox, ticket, limits, done),
        }
    }
}
