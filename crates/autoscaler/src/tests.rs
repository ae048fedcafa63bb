//! Properties of the policy, over random histories, and a few histories told in full.
//!
//! [`World`] is a caller that does what it is told and checks every action against what it knows. It
//! keeps its own books: it never looks into the state it tests.

mod keeping;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use crate::admission::Admission;
use crate::keep_alive::Prior;
use crate::{
    Action, Event, Instance, Keep, Memory, Policy, Ready, Reason, Refusal, Request, Revision, StartFault,
    State, Tier, decide,
};

/// How long an instance may stay idle, after how long it is frozen, and what a start takes, as it is told.
const IDLE: Duration = Duration::from_secs(10);
const FREEZE: Duration = Duration::from_secs(2);
const START: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Life {
    Wanted,
    Starting,
    Ready { idle_since: Duration },
    Retiring,
}

struct World {
    state: State,
    policy: Policy,
    now: Duration,
    instances: BTreeMap<Instance, (Revision, Life)>,
    leases: BTreeSet<(Request, Instance)>,
    assigned: BTreeMap<Request, Duration>,
    frozen: BTreeSet<Instance>,
    last_start: Option<Duration>,
    replaced: BTreeSet<Revision>,
    queued: BTreeMap<Request, (Revision, Duration)>,
    arrivals: BTreeMap<Request, Duration>,
    ended: BTreeSet<Request>,
    refusals: Vec<Refusal>,
    retired: Vec<(Instance, Reason)>,
    next_request: u64,
    arriving: Option<Revision>,
}

fn policy(max_instances: u32) -> Policy {
    let second = Duration::from_secs(1);
    Policy {
        max_instances,
        concurrency: 1,
        keep: Keep::Fixed(IDLE),
        queue: second * 30,
        reserved: None,
        provisioned: BTreeMap::new(),
    }
}

fn revision(number: u8) -> Revision {
    Arc::from(format!("r{number}"))
}

impl World {
    fn new(policy: Policy) -> Self {
        Self {
            state: State::new(policy.clone(), Arc::new(Prior::default()), Memory::default()),
            policy,
            now: Duration::from_secs(1),
            instances: BTreeMap::new(),
            leases: BTreeSet::new(),
            assigned: BTreeMap::new(),
            frozen: BTreeSet::new(),
            last_start: None,
            replaced: BTreeSet::new(),
            queued: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            ended: BTreeSet::new(),
            refusals: Vec::new(),
            retired: Vec::new(),
            next_request: 0,
            arriving: None,
        }
    }

    fn send(&mut self, event: Event) {
        let revision = match &event {
            Event::Admitted { instance } => {
                self.instances.get(instance).map(|(revision, _)| revision.clone())
            }
            _ => None,
        };
        for action in decide(&mut self.state, event, self.now) {
            self.carry_out(action, revision.as_ref());
        }
        self.check();
    }

    fn carry_out(&mut self, action: Action, admitted: Option<&Revision>) {
        match action {
            Action::Want { instance, .. } => {
                assert!(self.instances.len() < self.policy.max_instances as usize, "over the cap");
                // The revision is told with Start; until then any will do.
                let revision = self.arriving.clone().unwrap_or_else(|| revision(0));
                assert!(self.instances.insert(instance, (revision, Life::Wanted)).is_none());
            }
            Action::Start { instance, revision, .. } => {
                assert!(admitted.is_some());
                assert_eq!(self.instances[&instance].1, Life::Wanted);
                self.instances.insert(instance, (revision, Life::Starting));
                self.last_start = Some(self.now);
            }
            Action::Withdraw { instance } => {
                let (_, life) = self.instances.remove(&instance).unwrap();
                assert_eq!(life, Life::Wanted);
            }
            Action::Assign { request, instance } => self.assign(request, instance),
            Action::Retire { instance, reason } => self.retire(instance, reason),
            Action::Refuse { request, refusal } => {
                self.end(request);
                self.refusals.push(refusal);
            }
            Action::Fail { request, .. } => self.end(request),
            Action::Freeze { instance } => {
                assert!(matches!(self.instances[&instance].1, Life::Ready { .. }));
                assert!(!self.leases.iter().any(|(_, other)| *other == instance), "frozen while in use");
                assert!(self.frozen.insert(instance), "frozen twice");
            }
            Action::Thaw { instance } => assert!(self.frozen.remove(&instance), "thawed without need"),
            Action::RetireTemplate { .. } | Action::MakeTemplate { .. } => {}
        }
    }

    fn assign(&mut self, request: Request, instance: Instance) {
        let (wanted, arrived) = self.queued.remove(&request).expect("assigned once, and only while queued");
        let (revision, life) = &self.instances[&instance];
        assert_eq!(*revision, wanted);
        assert!(matches!(life, Life::Ready { .. }), "assigned to one that is {life:?}");
        let leases = self.leases.iter().filter(|(_, other)| *other == instance).count();
        assert!(leases < self.policy.concurrency as usize);
        for (other, (other_revision, other_arrived)) in &self.queued {
            let earlier = (*other_arrived, *other) < (arrived, request);
            assert!(!(earlier && *other_revision == wanted), "{request:?} overtook {other:?}");
        }
        assert!(!self.frozen.contains(&instance), "assigned to one that is frozen");
        self.leases.insert((request, instance));
        self.assigned.insert(request, self.now);
    }

    fn retire(&mut self, instance: Instance, reason: Reason) {
        let (_, life) = self.instances.get_mut(&instance).unwrap();
        if let (Reason::Idle, Life::Ready { idle_since }) = (reason, *life) {
            assert!(idle_since + IDLE <= self.now, "retired before its time");
            assert!(self.last_start.is_none_or(|start| start + IDLE <= self.now), "stopped after a start");
        }
        if reason != Reason::Failed {
            assert!(!self.leases.iter().any(|(_, other)| *other == instance), "retired while in use");
        }
        *life = Life::Retiring;
        self.retired.push((instance, reason));
    }

    fn end(&mut self, request: Request) {
        self.queued.remove(&request).expect("ended once, and only while queued");
        assert!(self.ended.insert(request));
    }

    fn check(&self) {
        let counts = self.state.counts();
        assert!(self.state.next_deadline().is_none_or(|next| next > self.now), "a timer that spins");
        assert_eq!(counts.queued, self.queued.len(), "a request was lost");
        let known = counts.starting + counts.idle + counts.busy + counts.retiring;
        assert_eq!(known, self.instances.len(), "an instance was lost");
        for (instance, (_, life)) in &self.instances {
            if let Life::Ready { idle_since } = life
                && !self.leases.iter().any(|(_, other)| other == instance)
            {
                self.check_idle(*instance, *idle_since);
            }
        }
    }

    fn check_idle(&self, instance: Instance, idle_since: Duration) {
        let next = self.state.next_deadline();
        if !self.frozen.contains(&instance) {
            assert!(idle_since + FREEZE > self.now, "runs on beyond its time");
            assert!(next.is_some_and(|next| next <= idle_since + FREEZE));
        }
        let deadline = (idle_since + IDLE).max(self.last_start.unwrap_or_default() + IDLE);
        if deadline > self.now {
            assert!(next.is_some_and(|next| next <= deadline));
        } else {
            // Only for the load. Of those that are wanted it is not known here for whom.
            let others = self.instances.iter().filter(|(other, (revision, life))| {
                let stays = matches!(life, Life::Starting | Life::Ready { .. });
                **other != instance && stays && !self.replaced.contains(revision)
            });
            let others = others.count() * self.policy.concurrency as usize;
            let places = self.state.explain(self.now).load.places;
            assert!(others < places as usize, "kept beyond its idle time");
        }
    }

    fn arrive(&mut self, number: u8) -> Request {
        let request = Request(self.next_request);
        self.next_request += 1;
        let revision = revision(number);
        self.queued.insert(request, (revision.clone(), self.now));
        self.arrivals.insert(request, self.now);
        self.arriving = Some(revision.clone());
        self.send(Event::Arrive { request, revision });
        request
    }

    fn pick(&self, index: usize, wanted: fn(Life) -> bool) -> Option<Instance> {
        let matching: Vec<Instance> =
            self.instances.iter().filter(|(_, (_, life))| wanted(*life)).map(|(key, _)| *key).collect();
        (!matching.is_empty()).then(|| matching[index % matching.len()])
    }

    fn admit(&mut self, index: usize) -> bool {
        let Some(instance) = self.pick(index, |life| life == Life::Wanted) else { return false };
        self.send(Event::Admitted { instance });
        true
    }

    fn start(&mut self, index: usize, fault: Option<StartFault>) -> bool {
        let Some(instance) = self.pick(index, |life| life == Life::Starting) else { return false };
        if let Some(fault) = fault {
            self.instances.remove(&instance);
            self.send(Event::StartFailed { instance, fault });
        } else {
            self.instances.get_mut(&instance).unwrap().1 = Life::Ready { idle_since: self.now };
            let places = self.policy.concurrency;
            let ready = Ready { places, freeze: Some(FREEZE), tier: Tier::Fresh, took: START };
            self.send(Event::Started { instance, ready });
        }
        true
    }

    fn release(&mut self, index: usize, healthy: bool) -> bool {
        if self.leases.is_empty() {
            return false;
        }
        let (request, instance) = *self.leases.iter().nth(index % self.leases.len()).unwrap();
        self.leases.remove(&(request, instance));
        assert!(self.ended.insert(request));
        if let Some((_, Life::Ready { idle_since })) = self.instances.get_mut(&instance) {
            *idle_since = self.now;
        }
        let served = self.now - self.assigned[&request];
        self.send(Event::Released { instance, healthy, served });
        true
    }

    fn give_back(&mut self, index: usize) {
        if self.leases.is_empty() {
            return;
        }
        let (request, instance) = *self.leases.iter().nth(index % self.leases.len()).unwrap();
        let Some((revision, _)) = self.instances.get(&instance).cloned() else { return };
        self.leases.remove(&(request, instance));
        let arrived = self.arrivals[&request];
        self.queued.insert(request, (revision.clone(), arrived));
        self.send(Event::Returned { request, revision, arrived, instance });
    }

    fn gone(&mut self, index: usize, wanted: fn(Life) -> bool) -> bool {
        let Some(instance) = self.pick(index, wanted) else { return false };
        self.instances.remove(&instance);
        self.send(Event::Gone { instance });
        true
    }

    fn tick(&mut self) -> bool {
        let Some(deadline) = self.state.next_deadline() else { return false };
        self.now = self.now.max(deadline);
        self.send(Event::Tick);
        true
    }

    /// Everything goes well from here on; time stands still.
    fn let_finish(&mut self) {
        let retiring = |life| life == Life::Retiring;
        for _ in 0..100_000 {
            let moved =
                self.admit(0) || self.start(0, None) || self.gone(0, retiring) || self.release(0, true);
            if !moved {
                return;
            }
        }
        panic!("it never comes to rest");
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Arrive(u8),
    Leave(usize),
    Admit(usize),
    Start(usize),
    StartFails(usize, bool),
    Release(usize, bool),
    GiveBack(usize),
    Dies(usize),
    Gone(usize),
    Replace(u8),
    Wait(u64),
    Tick,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..3_u8).prop_map(Step::Arrive),
        1 => any::<usize>().prop_map(Step::Leave),
        6 => any::<usize>().prop_map(Step::Admit),
        6 => any::<usize>().prop_map(Step::Start),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(index, init)| Step::StartFails(index, init)),
        6 => (any::<usize>(), proptest::bool::weighted(0.8)).prop_map(|(index, well)| Step::Release(index, well)),
        1 => any::<usize>().prop_map(Step::GiveBack),
        1 => any::<usize>().prop_map(Step::Dies),
        4 => any::<usize>().prop_map(Step::Gone),
        1 => (0..3_u8).prop_map(Step::Replace),
        2 => (0..20_000_u64).prop_map(Step::Wait),
        2 => Just(Step::Tick),
    ];
    proptest::collection::vec(step, 0..200)
}

fn play(world: &mut World, step: Step) {
    match step {
        Step::Arrive(number) => drop(world.arrive(number)),
        Step::Leave(index) => {
            if let Some(request) = world.queued.keys().nth(index % world.queued.len().max(1)).copied() {
                world.end(request);
                world.send(Event::Leave { request });
            }
        }
        Step::Admit(index) => drop(world.admit(index)),
        Step::Start(index) => drop(world.start(index, None)),
        Step::StartFails(index, init) => {
            let fault = if init { StartFault::Init } else { StartFault::Platform };
            world.start(index, Some(fault));
        }
        Step::Release(index, healthy) => drop(world.release(index, healthy)),
        Step::GiveBack(index) => world.give_back(index),
        Step::Dies(index) => drop(world.gone(index, |life| matches!(life, Life::Ready { .. }))),
        Step::Gone(index) => drop(world.gone(index, |life| life == Life::Retiring)),
        Step::Replace(number) => {
            world.replaced.insert(revision(number));
            world.send(Event::Replaced { revision: revision(number) });
        }
        Step::Wait(millis) => {
            // No further than the next deadline: the caller's timer would have fired.
            let target = world.now + Duration::from_millis(millis);
            world.now = world.state.next_deadline().map_or(target, |next| target.min(next)).max(world.now);
            world.send(Event::Tick);
        }
        Step::Tick => drop(world.tick()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn keeps_its_invariants_and_serves_everyone(
        cap in 1..6_u32,
        concurrency in 1..3_u32,
        steps in steps(),
    ) {
        let mut world = World::new(Policy { concurrency, ..policy(cap) });
        for step in steps {
            play(&mut world, step);
        }
        // A pause after failed inits has to pass first: time may move for that.
        for _ in 0..50 {
            world.let_finish();
            if world.queued.is_empty() || !world.tick() {
                break;
            }
        }
        prop_assert!(world.queued.is_empty(), "starved: {:?}", world.queued);
    }

    #[test]
    fn a_drain_leaves_nothing(cap in 1..6_u32, steps in steps()) {
        let mut world = World::new(policy(cap));
        for step in steps {
            play(&mut world, step);
        }
        world.send(Event::Drain);
        for life in world.instances.values_mut().filter(|(_, life)| *life == Life::Starting) {
            life.1 = Life::Retiring;
        }
        prop_assert!(world.queued.is_empty());
        world.let_finish();
        prop_assert!(world.state.is_empty(), "left: {:?}", world.instances);
        world.arrive(0);
        prop_assert_eq!(world.refusals.last(), Some(&Refusal::Draining));
    }

    #[test]
    fn one_functions_starts_hold_up_anothers_by_one_round(
        limit in 1..9_u32,
        crowd in 1..200_u32,
        functions in 2..6_u8,
    ) {
        let mut admission = Admission::new(limit, limit);
        for start in 0..crowd {
            admission.want(&0_u8, start, Tier::Fork);
        }
        for function in 1..functions {
            admission.want(&function, 0, Tier::Fork);
        }
        let mut grants = Vec::new();
        while let Some(grant) = admission.grant() {
            prop_assert!(admission.running() <= limit);
            grants.push(grant.function);
            if admission.running() == limit {
                admission.done(&0, Tier::Fork, None);
            }
        }
        prop_assert_eq!(grants.len(), crowd as usize + usize::from(functions) - 1);
        for function in 1..functions {
            let position = grants.iter().position(|granted| *granted == function).unwrap();
            prop_assert!(position <= usize::from(function), "{function} was granted at {position}");
        }
    }
}

#[test]
fn starts_only_what_is_not_covered() {
    let mut world = World::new(policy(10));
    world.arrive(0);
    world.arrive(0);
    assert_eq!(world.state.counts().starting, 2);
    world.admit(0);
    world.start(0, None);
    assert_eq!(world.leases.len(), 1);
    // The second request is served by the first instance, so its own start is taken back.
    world.release(0, true);
    assert_eq!(world.leases.len(), 1);
    assert_eq!(world.state.counts().starting, 0);
}

#[test]
fn the_most_recently_used_instance_goes_first() {
    let mut world = World::new(policy(10));
    world.arrive(0);
    world.arrive(0);
    while world.admit(0) || world.start(0, None) {}
    world.release(0, true);
    world.now += Duration::from_secs(1);
    let (_, last) = *world.leases.iter().next().unwrap();
    world.release(0, true);
    world.arrive(0);
    assert_eq!(world.leases.iter().next().unwrap().1, last);
}

#[test]
fn a_replaced_revision_goes_at_once_when_idle_and_when_free_if_busy() {
    let mut world = World::new(policy(10));
    world.arrive(0);
    world.arrive(0);
    while world.admit(0) || world.start(0, None) {}
    world.release(0, true);
    world.send(Event::Replaced { revision: revision(0) });
    assert_eq!(world.retired.len(), 1);
    world.release(0, true);
    assert_eq!(world.retired.iter().map(|(_, reason)| *reason).collect::<Vec<_>>(), [Reason::Replaced; 2]);
}

#[test]
fn a_straggler_of_a_replaced_revision_leaves_no_instance_behind() {
    let mut world = World::new(policy(10));
    world.send(Event::Replaced { revision: revision(0) });
    world.arrive(0);
    world.let_finish();
    assert_eq!(world.retired.last().map(|(_, reason)| *reason), Some(Reason::Replaced));
    assert_eq!(world.ended.len(), 1);
}

#[test]
fn at_the_cap_another_revision_gets_the_place_of_an_idle_one() {
    let mut world = World::new(policy(1));
    world.arrive(0);
    while world.admit(0) || world.start(0, None) {}
    world.release(0, true);
    world.arrive(1);
    assert_eq!(world.retired.last().map(|(_, reason)| *reason), Some(Reason::Evicted));
    world.let_finish();
    assert!(world.queued.is_empty());
}

#[test]
fn waits_in_order_and_no_longer_than_it_may() {
    let mut world = World::new(policy(1));
    world.arrive(0);
    while world.admit(0) || world.start(0, None) {}
    world.arrive(0);
    let deadline = world.now + world.policy.queue;
    assert_eq!(world.state.next_deadline(), Some(deadline));
    world.tick();
    assert_eq!(world.refusals, [Refusal::QueueTimeout { waited: world.policy.queue }]);
}

#[test]
fn without_queueing_a_cold_start_is_still_waited_for() {
    let mut world = World::new(Policy { queue: Duration::ZERO, ..policy(1) });
    world.arrive(0);
    world.arrive(0);
    assert_eq!(world.refusals, [Refusal::QueueTimeout { waited: Duration::ZERO }]);
    world.let_finish();
    assert_eq!(world.ended.len(), 2);
}

#[test]
fn reserved_concurrency_refuses_at_once() {
    let mut world = World::new(Policy { reserved: Some(1), ..policy(10) });
    world.arrive(0);
    world.arrive(0);
    assert_eq!(world.refusals, [Refusal::Reserved { limit: 1 }]);
}

#[test]
fn an_init_that_keeps_failing_is_left_alone_until_a_new_revision() {
    let mut world = World::new(policy(10));
    for _ in 0..3 {
        world.now += Duration::from_secs(1);
        world.arrive(0);
        world.admit(0);
        world.start(0, Some(StartFault::Init));
    }
    assert_eq!(world.ended.len(), 3);
    assert!(world.refusals.is_empty());
    world.arrive(0);
    assert!(matches!(world.refusals[..], [Refusal::BackingOff { .. }]));
    world.arrive(1);
    assert_eq!(world.state.counts().starting, 1);
}
