//! The sharing rule as a whole: looks at one program, tells the server, and remembers the verdict.

use std::os::fd::{AsFd, OwnedFd};

use rustix::process::Pid;

use super::{descriptors, process};
use crate::broker::ember::{Port, TRIAL_ADDRESS, Verdict};
use crate::broker::fork::listens_at;
use crate::broker::serve::Broker;
use crate::broker::sockets;
use crate::handle::Sharing;
use crate::process::anonymous_bytes;
use crate::protocol::{Event, Number};

/// Most reasons that are told: a program may have a thousand descriptors.
const MOST: usize = 8;

/// Longest part of a sentence that comes from the program.
const LONGEST: usize = 120;

/// Where the root is in which a program runs its init, seen from the base of the roots.
const FIRST_ROOT: &str = "/0";

/// What is looked at.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) pid: Pid,
    pub(super) process: OwnedFd,
}

/// What has been found so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    vetoes: Vec<String>,
    notes: Vec<String>,
    pub(super) port: Option<Port>,
    left_out: usize,
}

// === impl Findings ===

impl Findings {
    pub(super) fn veto(&mut self, reason: String) {
        if self.vetoes.len() < MOST {
            self.vetoes.push(reason);
        } else {
            self.left_out += 1;
        }
    }

    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    #[cfg(test)]
    pub(super) fn vetoes(&self) -> &[String] {
        &self.vetoes
    }

    #[cfg(test)]
    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }

    fn told(mut self) -> Sharing {
        if self.left_out > 0 {
            self.vetoes.push(format!("and {} more reasons", self.left_out));
        }
        Sharing { vetoes: self.vetoes, notes: self.notes, port: self.port.map(|port| port.number) }
    }
}

// === impl Broker ===

impl Broker {
    /// Applies the rule to a program that waits for its first order, and tells what it says. With no reason against it,
    /// the program may be forked from here on.
    pub(in crate::broker) fn tell_sharing(&mut self, number: Number, ticket: u64) {
        let sharing = self.look_at(number);
        self.tell(&Event::Sharing { ticket, sharing }, Vec::new());
        self.prepare_roots(number);
    }

    fn look_at(&mut self, number: Number) -> Sharing {
        let strangers = self.strangers(number);
        let Some(ember) = self.ember(number) else {
            return refused("it was not started as an ember, or has ended".to_owned());
        };
        if let Verdict::Refused(reason) = &ember.verdict {
            return refused(reason.clone());
        }
        let subject = ember.process.as_ref().and_then(|process| {
            Some(Subject { pid: process.pid, process: process.process.try_clone().ok()? })
        });
        let Some(subject) = subject else { return refused("it has ended".to_owned()) };
        let mut findings = Findings::default();
        process::look(&subject, &strangers, &mut findings);
        descriptors::look(&subject, &mut findings);
        if let Some(port) = findings.port {
            self.try_port(number, port, &mut findings);
        }
        let Some(ember) = self.ember(number) else { return refused("it has ended".to_owned()) };
        ember.port = findings.port;
        ember.anonymous_bytes = anonymous_bytes(subject.pid);
        let sharing = findings.told();
        ember.verdict = match sharing.vetoes.first() {
            None => Verdict::Shared,
            Some(reason) => Verdict::Refused(reason.clone()),
        };
        sharing
    }
}

impl Broker {
    /// Whether an instance can have a listener at the port of the program's own socket.
    fn try_port(&self, number: Number, port: Port, findings: &mut Findings) {
        let Some(instance) = self.instances.get(&number) else { return };
        let make = || sockets::listener(listens_at(port, TRIAL_ADDRESS));
        if let Err(failure) = sockets::inside(instance.network.as_ref(), self.home.as_fd(), make) {
            let fix = "bind it to 127.0.0.1, or set SO_REUSEADDR and do not listen during init";
            findings.veto(format!("its port {} is taken for all addresses ({failure}): {fix}", port.number));
        }
    }
}

fn refused(reason: String) -> Sharing {
    Sharing { vetoes: vec![reason], ..Sharing::default() }
}

/// Text of the program, for a sentence: printable and not long. A path in its root is as it sees it.
pub(super) fn shown(text: &str) -> String {
    let text = text.strip_prefix(FIRST_ROOT).filter(|rest| rest.starts_with('/')).unwrap_or(text);
    let text = if text == FIRST_ROOT { "/" } else { text };
    let printable = |letter: char| if letter.is_control() { '?' } else { letter };
    let mut shown: String = text.chars().map(printable).take(LONGEST).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_stays_one_whatever_the_program_calls_its_files() {
        assert_eq!([shown("/0/tmp/a"), shown("/0"), shown("/01")], ["/tmp/a", "/", "/01"]);
        assert_eq!(shown("a\nb\u{1b}[31m"), "a?b?[31m");
        assert_eq!(shown(&"x".repeat(500)).chars().count(), LONGEST + 1);
        let mut findings = Findings::default();
        (0..100).for_each(|number| findings.veto(number.to_string()));
        let told = findings.told();
        assert_eq!(
            (told.vetoes.len(), told.vetoes.last().unwrap().as_str()),
            (MOST + 1, "and 92 more reasons")
        );
    }
}
