//! What stays and what comes back: windows, templates, freezing, provisioned places, the rule of the queue, several
//! places per instance, and that explanations follow what happens.

use super::*;
use crate::Conditions;
use crate::explain::Explanation;
use crate::keep_alive::Priors;
use crate::keep_alive::Trigger;
use crate::keep_alive::price::Price;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// A function without a cap that matters, driven by hand.
struct Desk {
    state: State,
    now: Duration,
    next: u64,
    did: Vec<Action>,
}

impl Desk {
    fn new(policy: Policy) -> Self {
        let prior = Arc::new(Priors::shipped().of(Trigger::Http).clone());
        let state = State::new(policy, prior, Memory::default());
        Self { state, now: Duration::from_secs(100), next: 0, did: Vec::new() }
    }

    fn learned() -> Self {
        Self::new(Policy { keep: Keep::Learned, ..policy(50) })
    }

    /// Memory is too dear for spares.
    fn without_spares(mut self) -> Self {
        let conditions = Conditions { price: Price(2_500.0), memory: Some(0.1), own_share: Some(0.1) };
        self.send(Event::Conditions(conditions));
        self
    }

    fn send(&mut self, event: Event) -> Vec<Action> {
        let actions = decide(&mut self.state, event, self.now);
        self.did.extend(actions.clone());
        actions
    }

    fn arrive(&mut self) -> Vec<Action> {
        let request = Request(self.next);
        self.next += 1;
        self.send(Event::Arrive { request, revision: revision(0) })
    }

    fn started(&mut self, instance: Instance, tier: Tier, took: Duration, places: u32) -> Vec<Action> {
        self.send(Event::Admitted { instance });
        self.now += took;
        self.send(Event::Started { instance, ready: Ready { places, freeze: None, tier, took } })
    }

    fn release(&mut self, instance: Instance, served: Duration) -> Vec<Action> {
        self.now += served;
        self.send(Event::Released { instance, healthy: true, served })
    }

    /// One call, answered by whatever is there.
    fn call(&mut self, tier: Tier, took: Duration) -> Instance {
        let mut actions = self.arrive();
        if let Some(instance) = wanted(&actions) {
            actions = self.started(instance, tier, took, 1);
        }
        let instance = assigned(&actions).expect("it is run");
        self.release(instance, 50 * MILLISECOND);
        instance
    }

    /// Lets time pass, with every tick in its time.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(deadline) = self.state.next_deadline().filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            for action in self.send(Event::Tick) {
                if let Action::Retire { instance, .. } = action {
                    self.send(Event::Gone { instance });
                }
            }
        }
        self.now = end;
    }

    fn explain(&self) -> Explanation {
        self.state.explain(self.now)
    }

    fn instances(&self) -> usize {
        let counts = self.state.counts();
        counts.idle + counts.spare + counts.busy + counts.starting
    }
}

fn wanted(actions: &[Action]) -> Option<Instance> {
    actions.iter().find_map(|action| match action {
        Action::Want { instance, .. } => Some(*instance),
        _ => None,
    })
}

fn assigned(actions: &[Action]) -> Option<Instance> {
    actions.iter().find_map(|action| match action {
        Action::Assign { instance, .. } => Some(*instance),
        _ => None,
    })
}

#[test]
fn a_request_waits_for_a_place_that_comes_sooner_than_a_start_and_no_longer() {
    let mut desk = Desk::new(policy(50));
    for _ in 0..20 {
        desk.call(Tier::Fresh, 200 * MILLISECOND);
    }
    // A request takes 50 ms, a start 200 ms: four places come in that time.
    let first = assigned(&desk.arrive()).unwrap();
    for _ in 0..4 {
        assert_eq!(wanted(&desk.arrive()), None, "a place comes sooner");
    }
    let queue = desk.explain().queue.unwrap();
    assert!(!queue.starts && queue.sentence.contains("200 ms"), "{queue:?}");
    assert!(wanted(&desk.arrive()).is_some(), "the fifth would wait for longer");
    let queue = desk.explain().queue.unwrap();
    assert!(queue.starts && queue.place == 5, "{queue:?}");
    // The place does not come: each gets its start once it has waited for as long as one takes.
    let before = desk.instances();
    desk.pass(201 * MILLISECOND);
    assert_eq!(desk.instances(), before + 3, "one start was under way already");
    assert!(desk.release(first, SECOND).iter().any(|action| matches!(action, Action::Assign { .. })));
}

#[test]
fn a_fork_is_made_although_a_start_with_an_init_is_under_way() {
    let mut desk = Desk::new(policy(50));
    desk.call(Tier::Fresh, SECOND);
    desk.send(Event::Template { revision: revision(0), there: true });
    let busy = assigned(&desk.arrive()).unwrap();
    let fork = wanted(&desk.arrive()).expect("how long a fork takes is not known yet");
    desk.started(fork, Tier::Fork, 5 * MILLISECOND, 1);
    // A request takes 50 ms, a fork 5: two that are busy are no hope, and neither is a slow start.
    assert!(wanted(&desk.arrive()).is_some());
    assert_eq!(desk.explain().load.start_tier, Tier::Fork);
    assert_eq!(desk.explain().load.start_micros, Some(5_000));
    desk.release(busy, 50 * MILLISECOND);
}

#[test]
fn an_instance_that_turns_out_to_have_many_places_makes_other_starts_needless() {
    let mut desk = Desk::new(policy(50));
    let first = wanted(&desk.arrive()).unwrap();
    for _ in 0..7 {
        assert!(wanted(&desk.arrive()).is_some(), "nobody knows yet");
    }
    let actions = desk.started(first, Tier::Fresh, SECOND, 16);
    let runs = actions.iter().filter(|action| matches!(action, Action::Assign { .. })).count();
    let withdrawn = actions.iter().filter(|action| matches!(action, Action::Withdraw { .. })).count();
    assert_eq!((runs, withdrawn), (8, 7));
    for _ in 0..8 {
        assert_eq!(assigned(&desk.arrive()), Some(first));
    }
    // The seventeenth gets an instance that is expected to have as many.
    assert!(wanted(&desk.arrive()).is_some());
    for _ in 0..15 {
        assert_eq!(wanted(&desk.arrive()), None);
    }
}

#[test]
fn a_timer_is_let_go_and_back_in_time() {
    let mut desk = Desk::learned();
    // A start of a second at a price of 60 in a GiB: half an hour costs 1.8 times as much as it saves.
    let conditions = Conditions { price: Price(60.0), memory: Some(1.0), own_share: None };
    desk.send(Event::Conditions(conditions));
    let mut came_back = 0;
    for round in 0..12 {
        let actions = desk.arrive();
        let instance = match wanted(&actions) {
            Some(instance) => {
                desk.started(instance, Tier::Fresh, SECOND, 1);
                instance
            }
            None => assigned(&actions).unwrap(),
        };
        desk.release(instance, 50 * MILLISECOND);
        let end = desk.now + Duration::from_secs(1_800);
        desk.pass(Duration::from_secs(60));
        if round > 5 {
            assert_eq!(desk.instances(), 0, "not kept for half an hour: {:?}", desk.explain());
        }
        while desk.now < end {
            let actions = desk.state.next_deadline().filter(|at| *at < end);
            let Some(at) = actions else { break };
            desk.now = at;
            let actions = desk.send(Event::Tick);
            if let Some(instance) = wanted(&actions) {
                came_back += 1;
                desk.started(instance, Tier::Fresh, SECOND, 1);
                assert!(desk.explain().summary.contains("expected"), "{:?}", desk.explain());
            }
        }
        desk.now = end;
    }
    assert!(came_back >= 5, "{came_back}");
    let windows = desk.explain().windows;
    assert!(windows.instance.from_ms > 1_000_000 && windows.source.contains("learned"), "{windows:?}");
}

#[test]
fn the_template_goes_after_the_instances_and_only_when_nothing_runs() {
    let mut desk = Desk::learned().without_spares();
    desk.call(Tier::Fresh, SECOND);
    desk.send(Event::Template { revision: revision(0), there: true });
    desk.call(Tier::Fork, 5 * MILLISECOND);
    let windows = desk.explain().windows;
    assert!(windows.template.unwrap().until_ms > windows.instance.until_ms, "{windows:?}");
    let busy = assigned(&desk.arrive()).expect("one is idle");
    desk.pass(Duration::from_secs(100_000));
    let retired = |desk: &Desk| desk.did.iter().any(|action| matches!(action, Action::RetireTemplate { .. }));
    assert!(!retired(&desk), "while something runs it stays");
    desk.release(busy, 50 * MILLISECOND);
    desk.pass(Duration::from_secs(100_000));
    assert!(retired(&desk));
    assert!(!desk.state.has_template("r0"));
    assert_eq!(desk.instances(), 0);
    assert_eq!(desk.state.next_deadline(), None, "nothing is left to look after");
}

#[test]
fn what_is_provisioned_is_there_without_a_request_and_stays() {
    let mut desk = Desk::learned();
    let provisioned = BTreeMap::from([(revision(0), 3)]);
    let policy = Policy { provisioned, ..desk.state.policy().clone() };
    let actions = desk.send(Event::Configure(policy.clone()));
    let wanted: Vec<Instance> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Want { instance, .. } => Some(*instance),
            _ => None,
        })
        .collect();
    assert_eq!(wanted.len(), 3);
    for instance in wanted {
        desk.started(instance, Tier::Fresh, SECOND, 1);
    }
    desk.pass(Duration::from_secs(100_000));
    assert_eq!((desk.instances(), desk.state.ready("r0")), (3, 3));
    assert!(desk.explain().summary.contains("3 kept for provisioned concurrency"), "{:?}", desk.explain());
    let first = assigned(&desk.arrive()).unwrap();
    let actions = desk.send(Event::Gone { instance: first });
    assert!(
        actions.iter().any(|action| matches!(action, Action::Want { .. })),
        "one that dies is made again"
    );
    desk.send(Event::Configure(Policy { provisioned: BTreeMap::new(), ..policy }));
    desk.pass(Duration::from_secs(100_000));
    assert_eq!(desk.state.ready("r0"), 0);
}

#[test]
fn an_init_that_fails_is_not_provisioned_in_a_loop() {
    let mut desk = Desk::learned();
    let provisioned = BTreeMap::from([(revision(0), 2)]);
    let policy = Policy { provisioned, ..desk.state.policy().clone() };
    let mut actions = desk.send(Event::Configure(policy));
    let mut attempts = 0;
    let end = desk.now + Duration::from_secs(120);
    while desk.now < end {
        let starts: Vec<Instance> =
            actions.iter().filter_map(|action| wanted(std::slice::from_ref(action))).collect();
        actions.clear();
        for instance in starts {
            attempts += 1;
            desk.send(Event::Admitted { instance });
            desk.now += MILLISECOND;
            actions.extend(desk.send(Event::StartFailed { instance, fault: StartFault::Init }));
        }
        if actions.is_empty() {
            let Some(next) = desk.state.next_deadline() else { panic!("it gave up") };
            desk.now = next;
            actions = desk.send(Event::Tick);
        }
    }
    assert!((5..30).contains(&attempts), "{attempts} attempts in two minutes");
}

#[test]
fn a_spare_is_forked_where_new_instances_are_needed_often_and_goes_when_they_are_not() {
    let mut desk = Desk::new(Policy { keep: Keep::Fixed(SECOND), ..policy(50) });
    desk.send(Event::Conditions(Conditions { price: Price(25.0), memory: Some(0.03), own_share: Some(0.5) }));
    desk.call(Tier::Fresh, SECOND);
    desk.send(Event::Template { revision: revision(0), there: true });
    desk.did.clear();
    desk.pass(3 * SECOND);
    let spare = wanted(&desk.did).expect("what was called is called again");
    let ahead = desk.send(Event::Admitted { instance: spare });
    assert!(matches!(ahead[..], [Action::Start { ahead: true, .. }]));
    desk.now += 5 * MILLISECOND;
    let ready = Ready { places: 1, freeze: Some(SECOND), tier: Tier::Fork, took: 5 * MILLISECOND };
    let actions = desk.send(Event::Started { instance: spare, ready });
    assert_eq!(actions, [Action::Freeze { instance: spare }], "nothing to do until it is needed");
    assert!(desk.explain().summary.contains("kept as a spare"), "{:?}", desk.explain());
    desk.pass(20 * SECOND);
    assert_eq!(desk.instances(), 1, "the idle time is not a spare's");
    let actions = desk.arrive();
    assert_eq!(actions[0], Action::Thaw { instance: spare });
    assert_eq!(assigned(&actions), Some(spare));
    assert_eq!(wanted(&desk.release(spare, 50 * MILLISECOND)), None, "one that is idle is as good");
    desk.send(Event::Replaced { revision: revision(0) });
    desk.send(Event::Gone { instance: spare });
    desk.did.clear();
    desk.pass(5 * SECOND);
    assert_eq!(wanted(&desk.did), None, "none for a version that was replaced");
    desk.pass(20 * SECOND);
    desk.call(Tier::Fresh, SECOND);
    desk.send(Event::Template { revision: revision(0), there: true });
    // It is not called any more: no spare is worth its memory for ever.
    let mut spares = 0;
    for _ in 0..1_000 {
        desk.did.clear();
        desk.pass(10 * SECOND);
        if let Some(instance) = wanted(&desk.did) {
            spares += 1;
            desk.started(instance, Tier::Fork, 5 * MILLISECOND, 1);
        }
    }
    assert_eq!((spares, desk.instances()), (1, 0), "{:?}", desk.explain());
}

#[test]
fn what_is_worth_the_least_goes_under_pressure() {
    let mut desk = Desk::learned();
    let first = desk.call(Tier::Fresh, SECOND);
    let (cheapest, worth) = desk.state.cheapest(desk.now).unwrap();
    assert!(cheapest == first && worth > 0.0);
    let actions = desk.send(Event::Evict { instance: first });
    assert_eq!(actions, [Action::Retire { instance: first, reason: Reason::Pressure }]);
    assert_eq!(desk.state.cheapest(desk.now), None);
}

#[test]
fn what_was_learned_survives_a_restart() {
    let mut desk = Desk::learned();
    for _ in 0..10 {
        desk.call(Tier::Fresh, SECOND);
        desk.pass(Duration::from_secs(20));
    }
    let text = serde_json::to_string(&desk.state.memory()).unwrap();
    let memory: Memory = serde_json::from_str(&text).unwrap();
    let again = State::new(desk.state.policy().clone(), Arc::new(Prior::default()), memory);
    let (before, after) = (desk.explain(), again.explain(desk.now));
    assert_eq!(after.load.service_micros, before.load.service_micros);
    assert_eq!(after.load.start_micros, before.load.start_micros);
    assert_eq!(after.windows.observations, before.windows.observations);
    assert!(before.windows.observations > Some(5));
}

#[test]
fn change_the_load_and_the_reason_changes() {
    let mut desk = Desk::new(policy(50));
    assert_eq!(desk.explain().summary, "no instances: nothing has called it");
    desk.call(Tier::Fresh, 200 * MILLISECOND);
    assert!(
        desk.explain().summary.starts_with("1 instance: 1 kept idle for up to 10 s"),
        "{:?}",
        desk.explain()
    );
    let busy = assigned(&desk.arrive()).unwrap();
    assert!(desk.explain().summary.starts_with("1 instance: 1 busy"));
    desk.release(busy, 50 * MILLISECOND);
    desk.pass(IDLE + SECOND);
    assert!(
        desk.explain().summary.contains("it was idle for as long as it is worth"),
        "{:?}",
        desk.explain()
    );
    // Twenty requests per second of half a second are ten places, and three for their fluctuations.
    let mut busy = Vec::new();
    for _ in 0..1_200 {
        desk.now += 50 * MILLISECOND;
        let mut actions = desk.arrive();
        let (over, running): (Vec<_>, Vec<_>) =
            busy.iter().copied().partition(|(_, until)| *until <= desk.now);
        busy = running;
        for (instance, _) in over {
            let served = 500 * MILLISECOND;
            actions.extend(desk.send(Event::Released { instance, healthy: true, served }));
        }
        if let Some(instance) = wanted(&actions) {
            desk.send(Event::Admitted { instance });
            let ready = Ready { places: 1, freeze: None, tier: Tier::Fresh, took: 200 * MILLISECOND };
            actions.extend(desk.send(Event::Started { instance, ready }));
        }
        for instance in actions.iter().filter_map(|action| assigned(std::slice::from_ref(action))) {
            busy.push((instance, desk.now + 500 * MILLISECOND));
        }
    }
    let explanation = desk.explain();
    assert!((8_000..13_000).contains(&explanation.load.load_milli), "{:?}", explanation.load);
    assert!(explanation.load.places >= 11, "{:?}", explanation.load);
    for (instance, _) in busy {
        desk.send(Event::Released { instance, healthy: true, served: 500 * MILLISECOND });
    }
    desk.pass(IDLE);
    let explanation = desk.explain();
    assert!(explanation.summary.contains("kept for the load of"), "{explanation:?}");
    desk.pass(Duration::from_secs(3_600));
    assert_eq!(desk.instances(), 0, "and not for ever: {:?}", desk.explain());
    let history = desk.explain().history;
    let last = history.last().unwrap();
    assert!(history.len() == 20 && !last.started && last.why.contains("idle"), "{history:?}");
}
