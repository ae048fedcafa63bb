//! The ledger against a slow model, over random lives of instances.

use proptest::prelude::*;

use super::*;

/// What happens next, and how long and how much later.
#[derive(Debug, Clone)]
enum Step {
    Begin,
    End(usize),
    Look,
}

#[derive(Debug, Clone)]
struct Then {
    step: Step,
    micros: u64,
    cpu: u64,
    memory: u64,
    looks: (bool, bool),
}

fn then() -> impl Strategy<Value = Then> {
    let step = prop_oneof![Just(Step::Begin), (0..8_usize).prop_map(Step::End), Just(Step::Look)];
    let looks = (any::<bool>(), any::<bool>());
    (step, 0..5_000_u64, 0..9_000_000_u64, 0..1_000_000_000_u64, looks)
        .prop_map(|(step, micros, cpu, memory, looks)| Then { step, micros, cpu, memory, looks })
}

fn look(cpu: u64, memory: u64) -> Look {
    Look { cpu: Some(cpu), memory: Some(memory) }
}

proptest! {
    #[test]
    fn everything_is_counted_once(steps in prop::collection::vec(then(), 1..60)) {
        let mut ledger = Ledger::new(1_000, look(5_000, 1 << 20));
        let mut running: Vec<(Entry, u64, bool)> = Vec::new();
        let (mut at, mut cpu) = (1_000, 5_000);
        let mut given = Amount::default();
        let mut last_seen = 5_000;
        for Then { step, micros, cpu: more, memory, looks } in steps {
            at += micros;
            cpu += more;
            let seen = Look { cpu: looks.0.then_some(cpu), memory: looks.1.then_some(memory) };
            match step {
                Step::Begin => {
                    for other in &mut running {
                        other.2 = true;
                    }
                    let beside = !running.is_empty();
                    running.push((ledger.begin(at, seen), last_seen, beside));
                }
                Step::End(which) if which < running.len() => {
                    let (entry, begun, crowded) = running.remove(which);
                    let share = ledger.end(&entry, at, seen);
                    prop_assert_eq!(share.estimated, crowded);
                    // Nobody gets more than was used while it ran, as far as that was looked at.
                    let seen_by_now = seen.cpu.unwrap_or(last_seen);
                    prop_assert!(share.used.cpu <= seen_by_now - begun + 64, "{share:?}");
                    given += share.used;
                }
                Step::End(_) | Step::Look => ledger.advance(at, seen),
            }
            last_seen = seen.cpu.unwrap_or(last_seen);
            prop_assert_eq!(ledger.buckets().total().cpu, last_seen);
        }
        at += 10;
        for (entry, ..) in running.drain(..) {
            given += ledger.end(&entry, at, look(cpu, 7)).used;
        }
        ledger.close(Some(cpu + 77));
        let buckets = ledger.buckets();
        prop_assert_eq!(buckets.requests, given);
        prop_assert_eq!(buckets.total().cpu, cpu + 77);
        prop_assert_eq!(buckets.unattributed.cpu, 0);
        let _cut_off = ledger.begin(at, look(cpu + 77, 7));
        ledger.close(Some(cpu + 99));
        prop_assert_eq!(ledger.buckets().unattributed.cpu, 22);
        prop_assert_eq!(ledger.buckets().total().cpu, cpu + 99);
    }

    #[test]
    fn memory_over_time_is_whole(changes in prop::collection::vec((1..10_000_u64, 0..1_u64 << 34), 1..30)) {
        let mut ledger = Ledger::new(0, look(0, 100));
        let entry = ledger.begin(0, Look::default());
        let (mut at, mut memory, mut expected) = (0, 100, 0_u128);
        for (micros, next) in changes {
            at += micros;
            expected += area(memory, next, micros);
            memory = next;
            ledger.advance(at, look(0, next));
        }
        let share = ledger.end(&entry, at, Look::default());
        prop_assert_eq!(share.used.memory, expected);
    }
}

#[test]
fn a_lone_request_gets_exactly_what_was_used_meanwhile() {
    let mut ledger = Ledger::new(10_000, look(3_000_000, 1 << 20));
    let entry = ledger.begin(50_000, look(3_100_000, 1 << 20));
    let share = ledger.end(&entry, 60_000, look(10_100_000, 1 << 20));
    let memory = u128::from(10_000_u64) << 20;
    assert_eq!(share, Share { used: Amount { cpu: 7_000_000, memory }, estimated: false });
    ledger.advance(70_000, look(10_200_000, 1 << 20));
    ledger.close(Some(10_500_000));
    let buckets = ledger.buckets();
    assert_eq!(buckets.init.cpu, 3_000_000);
    assert_eq!(buckets.requests.cpu, 7_000_000);
    assert_eq!(buckets.idle.cpu, 500_000, "its stopping included");
    assert_eq!(buckets.unattributed.cpu, 0);
}

#[test]
fn requests_at_once_share_the_time_they_overlap() {
    let mut ledger = Ledger::new(0, look(0, 0));
    let first = ledger.begin(0, look(0, 0));
    let second = ledger.begin(1_000, look(900_000, 0));
    let one = ledger.end(&first, 2_000, look(1_900_000, 0));
    let two = ledger.end(&second, 3_000, look(2_000_000, 0));
    assert_eq!((one.used.cpu, two.used.cpu), (1_400_000, 600_000));
    assert!(one.estimated && two.estimated);
    let third = ledger.begin(4_000, look(2_000_000, 0));
    assert!(!ledger.end(&third, 5_000, look(2_500_000, 0)).estimated, "it was alone again");
}

#[test]
fn a_meter_that_goes_back_takes_nothing_back() {
    let mut ledger = Ledger::new(0, look(1_000, 0));
    let entry = ledger.begin(1, look(500, 0));
    assert_eq!(ledger.end(&entry, 2, look(900, 0)).used.cpu, 0);
    assert_eq!(ledger.buckets().total().cpu, 1_000);
}
