//! The roots of an ember, one for each instance: made in advance by a short-lived child of the broker, taken by the init
//! when it is told, removed when their instance has ended. Nothing of it is on the path of a start that finds one ready.
//!
//! The child is a copy of the broker with its rights. It makes the file systems in the broker's mount namespace, where
//! the images are, enters that of the sandbox, mounts them, sends the root back and ends.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::thread::ThreadNameSpaceType;
use serde::{Deserialize, Serialize};

use super::ember::{Ember, Verdict};
use super::serve::Broker;
use super::watch::{Kind, Watched};
use crate::failure::{At, Failure};
use crate::packet;
use crate::process::Place;
use crate::protocol::{Number, Order, say};
use crate::root::roots::{self, Own};
use crate::root::scratch;
use crate::shell;
use crate::system::{self, CloneOptions, Forked};

/// Roots that are kept ready.
const AHEAD: usize = 2;

/// Most that one child makes.
const AT_ONCE: usize = 16;

/// After so many children failed in a row the ember is retired.
const MOST_FAILURES: u32 = 3;

/// Longest packet of a child.
const REPORT: usize = 4096;

/// One root that nobody has had yet.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) number: u32,
    pub(super) place: Place,
    directory: OwnedFd,
}

/// Those of one ember. Number 0 is the one in which it ran its init.
#[derive(Debug, Default)]
pub(super) struct Roots {
    /// The one in which the next newborn is born.
    pub(super) current: Option<Root>,
    /// The init has been told to take it.
    taking: Option<Root>,
    ready: VecDeque<Root>,
    last: u32,
    child: Option<Watched>,
    /// Of instances that have ended.
    spent: Vec<u32>,
    failures: u32,
}

/// From the child.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum Report {
    /// Descriptor: the root.
    Made {
        number: u32,
    },
    Failed {
        step: String,
        reason: String,
    },
}

/// What a child does.
#[derive(Debug)]
struct Work {
    make: Vec<u32>,
    remove: Vec<u32>,
    scratch_bytes: u64,
}

// === impl Roots ===

impl Roots {
    /// One is not needed any more.
    pub(super) fn spend(&mut self, number: u32) {
        self.spent.push(number);
    }

    /// What a child should make and remove now. Of an ember that is forked no more, nothing is made and all removed.
    fn work(&mut self, waiting: Option<usize>) -> Option<(Vec<u32>, Vec<u32>)> {
        let Some(waiting) = waiting else {
            self.spent.extend(self.ready.drain(..).map(|root| root.number));
            let idle = self.child.is_none() && !self.spent.is_empty();
            return idle.then(|| (Vec::new(), std::mem::take(&mut self.spent)));
        };
        let ahead =
            self.ready.len() + usize::from(self.taking.is_some()) + usize::from(self.current.is_some());
        // Forks that wait and have their roots come first: more are made after the last hello.
        if waiting > 0 && ahead >= waiting {
            return None;
        }
        let missing = (AHEAD + waiting).saturating_sub(ahead).min(AT_ONCE);
        if self.child.is_some() || (missing == 0 && self.spent.len() < AHEAD) {
            return None;
        }
        let make = std::iter::repeat_with(|| {
            self.last += 1;
            self.last
        });
        Some((make.take(missing).collect(), std::mem::take(&mut self.spent)))
    }
}

// === impl Broker ===

impl Broker {
    /// Has the next root taken, roots made if too few are left, and those of ended instances removed.
    pub(super) fn prepare_roots(&mut self, number: Number) {
        let Some(instance) = self.instances.get_mut(&number) else { return };
        let Some(ember) = &mut instance.ember else { return };
        let may_fork = ember.refusal().is_ok();
        // While its init runs the first roots are made beside it: they are there when it is done.
        let may_come = may_fork || ember.verdict == Verdict::Open && ember.process.is_some();
        let roots = &mut ember.roots;
        // Never under a fork that is under way: its newborn would be born in the next one's root.
        if may_fork
            && ember.open.is_none()
            && roots.current.is_none()
            && roots.taking.is_none()
            && let Some(root) = roots.ready.pop_front()
            && let Some(control) = &instance.control
        {
            // An init that cannot be told has ended, which is told in another way.
            let _ = say(control, &Order::Root, &[root.directory.as_fd()]);
            roots.taking = Some(root);
        }
        let Some((make, remove)) = roots.work(may_come.then_some(ember.queue.len())) else { return };
        let work = Work { make, remove, scratch_bytes: ember.outline.tmp_bytes };
        match self.send_child(number, &work) {
            Ok(child) => {
                if let Some(ember) = self.ember(number) {
                    ember.roots.child = Some(child);
                }
            }
            Err(failure) => self.roots_failed(number, &failure),
        }
    }

    /// The init has answered.
    pub(super) fn rooted(&mut self, number: Number, taken: bool) {
        let Some(ember) = self.ember(number) else { return };
        ember.roots.current = ember.roots.taking.take().filter(|_| taken);
        if !taken {
            return self.retire(number, "its next root could not be taken");
        }
        self.advance(number);
    }

    /// Something has come from the child.
    pub(super) fn roots_reported(&mut self, number: Number) {
        let mut buffer = [0; REPORT];
        loop {
            let Some(child) = self.ember(number).and_then(|ember| ember.roots.child.as_ref()) else { return };
            let received = match packet::receive(child, &mut buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Ok(received) if received.length > 0 => received,
                Ok(_) | Err(_) => break,
            };
            let report = buffer.get(..received.length).map(serde_json::from_slice);
            match (report, received.descriptors.into_iter().next()) {
                (Some(Ok(Report::Made { number: root })), Some(directory)) => {
                    self.root_made(number, root, directory);
                }
                (Some(Ok(Report::Failed { step, reason })), _) => {
                    self.roots_failed(number, &Failure { step, reason });
                }
                _ => break,
            }
        }
        if let Some(ember) = self.ember(number) {
            ember.roots.child = None;
        }
        self.prepare_roots(number);
    }

    fn root_made(&mut self, number: Number, root: u32, directory: OwnedFd) {
        let place = Place::of(&directory).at(|| "look at a root");
        let Some(ember) = self.ember(number) else { return };
        match place {
            Ok(place) => {
                ember.roots.failures = 0;
                ember.roots.ready.push_back(Root { number: root, place, directory });
                self.prepare_roots(number);
            }
            Err(failure) => self.roots_failed(number, &failure),
        }
    }

    fn roots_failed(&mut self, number: Number, failure: &Failure) {
        let Some(ember) = self.ember(number) else { return };
        ember.roots.failures += 1;
        if ember.roots.failures < MOST_FAILURES {
            return;
        }
        let reason = format!("its roots cannot be made: {failure}");
        if ember.verdict == Verdict::Open {
            // Its init runs: it serves as the only one.
            ember.verdict = Verdict::Refused(reason);
        } else {
            self.retire(number, &reason);
        }
    }

    fn send_child(&self, number: Number, work: &Work) -> Result<Watched, Failure> {
        let (socket, theirs) = packet::pair().at(|| "make a socket pair")?;
        match system::clone_process(CloneOptions::default()).at(|| "fork for the roots")? {
            Forked::Child => {
                let code = shell::aside(|| match self.make_roots(number, work, &theirs) {
                    Ok(()) => 0,
                    Err(Failure { step, reason }) => {
                        let _ = say(&theirs, &Report::Failed { step, reason }, &[]);
                        1
                    }
                });
                system::exit_now(code)
            }
            Forked::Parent { .. } => self.watch.add(socket, number, Kind::Roots).at(|| "watch a child"),
        }
    }

    /// The child.
    fn make_roots(&self, number: Number, work: &Work, socket: &OwnedFd) -> Result<(), Failure> {
        let instance = self
            .instances
            .get(&number)
            .ok_or_else(|| Failure::new("make roots", "there is no such sandbox"))?;
        let init = instance.process.as_fd();
        let template = self.template_for(work.scratch_bytes);
        let kept = [socket.as_raw_fd(), init.as_raw_fd()];
        let images = template.map(|template| template.descriptor().as_raw_fd());
        shell::begin_aside(c"lambent-roots", kept.into_iter().chain(images))?;
        let own = |_: &u32| {
            Own::with(match template {
                Some(template) => {
                    scratch::image(&self.configuration.directory, work.scratch_bytes, template)?
                }
                None => scratch::memory(work.scratch_bytes)?,
            })
        };
        let owns: Vec<Own> = work.make.iter().map(own).collect::<Result<_, _>>()?;
        rustix::thread::move_into_thread_name_spaces(init, ThreadNameSpaceType::MOUNT)
            .at(|| "enter the mount namespace")?;
        let base = roots::base()?;
        for (&root, own) in work.make.iter().zip(&owns) {
            let made = roots::add(base.as_fd(), root, own)?;
            say(socket, &Report::Made { number: root }, &[made.as_fd()]).at(|| "hand a root over")?;
        }
        work.remove.iter().try_for_each(|&root| roots::remove(base.as_fd(), root))
    }

    pub(super) fn ember(&mut self, number: Number) -> Option<&mut Ember> {
        self.instances.get_mut(&number)?.ember.as_deref_mut()
    }
}
