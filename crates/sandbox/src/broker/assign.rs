//! A sandbox that stands by is told what it is for: its code is mounted, its host name, limits and `/tmp` are set. Once,
//! and only for a sandbox whose spec says that it stands by: nothing of any function has run in it until then.
//!
//! A short-lived copy of the broker opens what is mounted where the host's files are, enters the mount namespace of the
//! sandbox and puts it there. The rest is the broker's own.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::mount::UnmountFlags;
use rustix::thread::ThreadNameSpaceType;
use serde_json::value::RawValue;

use super::errand::Then;
use super::instance::State;
use super::serve::Broker;
use crate::check;
use crate::failure::{At, Failure};
use crate::protocol::{Event, Number};
use crate::root::scratch;
use crate::root::tree::{self, attach};
use crate::spec::{Assignment, Layers, Limits, Mount};

// === impl Broker ===

impl Broker {
    pub(super) fn begin_assignment(&mut self, sandbox: Number, ticket: u64, assignment: &RawValue) {
        let (assignment, prepared) = match self.accept(sandbox, assignment) {
            Ok(accepted) => accepted,
            // What was asked wrongly harms nobody.
            Err(failure) => return self.refuse(ticket, failure),
        };
        if let Err(failure) = self.send_equipment(sandbox, ticket, &assignment, prepared) {
            self.assignment_failed(sandbox, ticket, failure);
        }
    }

    /// The assignment, and the bytes of the `/tmp` that the sandbox has. From here on it stands by no more.
    fn accept(&mut self, sandbox: Number, text: &RawValue) -> Result<(Assignment, u64), Failure> {
        let assignment: Assignment = serde_json::from_str(text.get()).at(|| "read the assignment")?;
        check::assignment(&assignment).map_err(|reason| Failure::new("check the assignment", reason))?;
        let refuse = |reason: &str| Failure::new("assign the sandbox", reason);
        let instance = self.instances.get_mut(&sandbox).ok_or_else(|| refuse("it has ended"))?;
        if !matches!(instance.state, State::Running) {
            return Err(refuse("it is not running"));
        }
        let prepared = instance.stands_by.take();
        Ok((assignment, prepared.ok_or_else(|| refuse("it does not stand by, or was assigned before"))?))
    }

    fn send_equipment(
        &mut self,
        sandbox: Number,
        ticket: u64,
        assignment: &Assignment,
        prepared: u64,
    ) -> Result<(), Failure> {
        let image = self.image_for_assignment(prepared, assignment.tmp_bytes)?;
        let ended = || Failure::new("assign the sandbox", "it has ended");
        let instance = self.instances.get_mut(&sandbox).ok_or_else(ended)?;
        instance.freeze(false);
        let kept: Vec<_> = std::iter::once(instance.process.as_fd().as_raw_fd()).chain(image).collect();
        let then = Then::Assigned { sandbox, ticket, limits: assignment.limits };
        let scratch = (prepared != assignment.tmp_bytes).then_some(assignment.tmp_bytes);
        self.send_off(c"lambent-assign", &kept, then, |broker| broker.equip(sandbox, assignment, scratch))
    }

    /// The descriptor that the copy needs for a `/tmp` of another size.
    fn image_for_assignment(&mut self, prepared: u64, bytes: u64) -> Result<Option<i32>, Failure> {
        if prepared == bytes || self.template.is_none() {
            return Ok(None);
        }
        // Of a size that is new the copy formats one itself; the next finds one.
        self.prepare_image(bytes)?;
        Ok(self.template_for(bytes).map(|template| template.descriptor().as_raw_fd()))
    }

    /// The copy.
    fn equip(
        &self,
        sandbox: Number,
        assignment: &Assignment,
        scratch_bytes: Option<u64>,
    ) -> Result<(), Failure> {
        let instance = self
            .instances
            .get(&sandbox)
            .ok_or_else(|| Failure::new("assign the sandbox", "there is no such sandbox"))?;
        let Layers { root, uts, .. } = instance.layers;
        let mounts: Vec<_> =
            assignment.mounts.iter().filter(|_| root).map(opened).collect::<Result<_, _>>()?;
        let scratch = scratch_bytes.filter(|_| root).map(|bytes| self.scratch(bytes)).transpose()?;
        let mut namespaces = ThreadNameSpaceType::empty();
        namespaces.set(ThreadNameSpaceType::MOUNT, root);
        namespaces.set(ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME, uts);
        if !namespaces.is_empty() {
            rustix::thread::move_into_thread_name_spaces(instance.process.as_fd(), namespaces)
                .at(|| "enter the sandbox")?;
        }
        if uts {
            rustix::system::sethostname(assignment.hostname.as_bytes()).at(|| "set the host name")?;
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let inside = rustix::fs::open("/", flags, Mode::empty()).at(|| "open the root")?;
        for (target, mount) in &mounts {
            put(&inside, mount, target).at(|| format!("mount {}", target.display()))?;
        }
        if let Some(scratch) = &scratch {
            rustix::mount::unmount("/tmp", UnmountFlags::DETACH).at(|| "replace the prepared /tmp")?;
            put(&inside, scratch, Path::new("/tmp")).at(|| "mount /tmp")?;
        }
        Ok(())
    }

    fn scratch(&self, bytes: u64) -> Result<OwnedFd, Failure> {
        match self.template_for(bytes) {
            Some(template) => scratch::image(&self.configuration.directory, bytes, template),
            None => scratch::memory(bytes),
        }
    }

    /// The copy has ended.
    pub(super) fn assigned(
        &mut self,
        sandbox: Number,
        ticket: u64,
        limits: Limits,
        done: Result<(), Failure>,
    ) {
        if let Err(failure) = done.and_then(|()| self.settle(sandbox, limits)) {
            return self.assignment_failed(sandbox, ticket, failure);
        }
        self.share_out(limits.cpu_owner);
        let meter = self.instances.get(&sandbox).map(super::instance::Instance::meter);
        let (meter, files) = meter.unwrap_or_default();
        self.tell(&Event::Assigned { ticket, sandbox, meter }, files);
    }

    /// Limits, and accounts that begin here.
    fn settle(&mut self, sandbox: Number, limits: Limits) -> Result<(), Failure> {
        let ended = || Failure::new("assign the sandbox", "it has ended");
        let instance = self.instances.get_mut(&sandbox).ok_or_else(ended)?;
        if let Some(group) = &instance.group {
            if instance.limits.is_some() {
                group.limit(&limits)?;
                instance.limits = Some(limits);
                instance.parts = 1;
            }
            group.forget_peak();
            instance.before = group.usage();
        }
        Ok(())
    }

    /// Half assigned it is of no use.
    fn assignment_failed(&mut self, sandbox: Number, ticket: u64, failure: Failure) {
        self.kill(sandbox);
        self.refuse(ticket, failure);
    }
}

/// A part of the host, read-only, mounted nowhere yet.
fn opened(mount: &Mount) -> Result<(&Path, OwnedFd), Failure> {
    match mount {
        Mount::ReadOnly { source, target } => Ok((target, tree::read_only(source)?)),
        other => Err(Failure::new("assign the sandbox", format!("{other:?} cannot be added later"))),
    }
}

/// Mounts over a directory that is there, found within the sandbox's root.
fn put(root: &OwnedFd, mount: &OwnedFd, target: &Path) -> std::io::Result<()> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let covered = rustix::fs::openat2(root, target, flags, Mode::empty(), resolve)?;
    attach(mount.as_fd(), covered, OsStr::new(""))
}
