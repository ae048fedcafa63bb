//! Who runs in an ember's control groups: the ember, its init, instances that have not been moved yet with what they have
//! started, and nobody else. A stranger that the ember has made would get every later root with it; one that an ended
//! instance has left is only in the way.

use rustix::process::{Pid, Signal};

use super::serve::Broker;
use crate::process;
use crate::protocol::Number;

// === impl Broker ===

impl Broker {
    /// SIGKILL to whom the instances of an ember have left in its control group: orphans, which from then on run no more.
    /// What the ember itself has forked may be the newborn of the order that is under way.
    pub(super) fn kill_orphans(&self, number: Number) {
        let ember = self.instances.get(&number).and_then(|instance| instance.ember.as_ref());
        let process = ember.and_then(|ember| ember.process.as_ref());
        let mut orphans = self.strangers(number);
        if !orphans.is_empty() {
            without_descendants(&mut orphans, process.map(|process| process.pid).into_iter().collect());
        }
        for pid in orphans {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }

    /// Everybody in the ember's control group who is neither it, nor its init, nor an instance that has not been placed
    /// or a descendant of one, nor about to be gone. Nobody where there are no groups.
    pub(super) fn strangers(&self, number: Number) -> Vec<Pid> {
        let Some(instance) = self.instances.get(&number) else { return Vec::new() };
        let (Some(ember), Some(group)) = (&instance.ember, &instance.group) else { return Vec::new() };
        let ours = ember.process.as_ref().map(|process| process.pid);
        let newborns: Vec<Pid> = self.unplaced(number).collect();
        let is_known = |pid: Pid| pid == instance.pid || Some(pid) == ours || newborns.contains(&pid);
        let mut strangers: Vec<Pid> = group.members().into_iter().filter(|&pid| !is_known(pid)).collect();
        if !strangers.is_empty() {
            without_descendants(&mut strangers, newborns);
            strangers.retain(|&pid| !process::is_doomed(pid));
        }
        strangers
    }

    /// Instances of an ember that wait for the mover.
    pub(super) fn moving(&self, number: Number) -> usize {
        let newborns = self.instances.values().filter_map(|instance| instance.newborn.as_ref());
        newborns.filter(|born| born.ember == number && born.moving).count()
    }

    /// Instances of an ember that are still in its control groups.
    fn unplaced(&self, number: Number) -> impl Iterator<Item = Pid> + '_ {
        self.instances
            .values()
            .filter(move |instance| {
                instance.newborn.as_ref().is_some_and(|born| born.ember == number && born.unplaced)
            })
            .map(|instance| instance.pid)
    }
}

/// Takes everybody out who descends from one of these.
fn without_descendants(list: &mut Vec<Pid>, mut ancestors: Vec<Pid>) {
    while let Some(pid) = ancestors.pop() {
        let children = process::children_of(pid);
        list.retain(|pid| !children.contains(pid));
        ancestors.extend(children);
    }
}
