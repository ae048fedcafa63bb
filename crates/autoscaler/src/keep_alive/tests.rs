//! Properties of the keep-alive policy: optimal, monotone in the price, fading, never negative, the same
//! after a restart.

use proptest::prelude::*;

use super::price::{Controller, Price};
use super::prior::Learning;
use super::window::{Costs, Point, cheapest, cost, early, late};
use super::*;

fn points() -> impl Strategy<Value = Vec<Point>> {
    proptest::collection::vec((1.0..5_000.0_f64, 0.01..10.0_f64), 1..40).prop_map(|pairs| {
        let mut points: Vec<Point> = pairs.into_iter().map(|(gap, weight)| Point { gap, weight }).collect();
        points.sort_by(|one, other| one.gap.total_cmp(&other.gap));
        points
    })
}

fn starts(points: &[Point]) -> Vec<f64> {
    points.iter().step_by(3).filter_map(|point| early(point.gap)).collect()
}

fn priors() -> Priors {
    let mut learning = Learning::default();
    for period in [60.0, 300.0, 900.0, 3_600.0] {
        for _ in 0..5 {
            learning.add(Trigger::Timer, &[period; 20]);
        }
        learning.add(Trigger::Http, &[3.0, 20.0, period, 40.0, 7.0]);
    }
    learning.finish()
}

fn terms(price: f64) -> Terms {
    Terms {
        cold_start: 0.25,
        fork: Some(Fork { delay: 0.005, share: 1.0, own: 0.1 }),
        memory: 0.125,
        price: Price(price),
    }
}

fn idle(points: &[Point], window: Window) -> f64 {
    points.iter().map(|point| point.weight * window.presence(point.gap)).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn no_candidate_is_cheaper(
        points in points(), miss in 0.001..2.0_f64, rate in 1e-6..1e-2_f64, prewarm in 0.0..0.1_f64,
    ) {
        let costs = Costs { miss, rate, prewarm };
        let starts = starts(&points);
        let found = cheapest(&points, &starts, costs);
        let found_cost = cost(&points, found, costs);
        let mut least = cost(&points, Window::NONE, costs);
        for from in starts.iter().copied().chain([0.0]) {
            for until in points.iter().filter(|point| point.gap >= from).map(|point| late(point.gap)) {
                least = least.min(cost(&points, Window { from, until }, costs));
            }
        }
        prop_assert!((found_cost - least).abs() <= 1e-9 * least.max(1.0), "{found:?}: {found_cost} > {least}");
    }

    #[test]
    fn dearer_memory_is_never_held_longer(points in points(), rate in 1e-6..1e-3_f64, factor in 1.01..50.0_f64) {
        let costs = Costs { miss: 0.25, rate, prewarm: 0.005 };
        let starts = starts(&points);
        let cheap = cheapest(&points, &starts, costs);
        let dear = cheapest(&points, &starts, Costs { rate: rate * factor, ..costs });
        prop_assert!(idle(&points, dear) <= idle(&points, cheap) * (1.0 + 1e-9));
        // Without pre-warming the window itself shrinks.
        let cheap = cheapest(&points, &[], costs);
        let dear = cheapest(&points, &[], Costs { rate: rate * factor, ..costs });
        prop_assert!(dear.until <= cheap.until);
    }

    #[test]
    fn old_gaps_fade_and_nothing_is_ever_negative(
        gaps in proptest::collection::vec(prop_oneof![Just(f64::NAN), -5.0..1e6_f64, 1.0..60.0_f64], 0..400),
        price in 0.0..1e4_f64,
    ) {
        let priors = priors();
        let mut policy = KeepAlive::default();
        for gap in gaps {
            policy.observe(gap, true);
            let plan = policy.plan(terms(price), priors.of(Trigger::Http));
            for window in [Some(plan.instance), plan.template].into_iter().flatten() {
                prop_assert!(window.from >= 0.0 && window.until >= window.from && window.until.is_finite());
            }
            let density = policy.density(30.0, terms(price), priors.of(Trigger::Http));
            prop_assert!(density >= 0.0 && density.is_finite());
        }
        let mut histogram = Histogram::default();
        for _ in 0..3_000 {
            histogram.observe(7.0);
        }
        prop_assert!(histogram.weight() <= histogram::HALF_LIFE / std::f64::consts::LN_2 + 1.0);
        for _ in 0..3_000 {
            histogram.observe(700.0);
        }
        let old: f64 = histogram.points().filter(|point| point.gap < 100.0).map(|point| point.weight).sum();
        prop_assert!(old >= 0.0 && old < histogram.weight() * 0.01);
    }

    #[test]
    fn a_restart_changes_no_plan(gaps in proptest::collection::vec((1.0..5_000.0_f64, any::<bool>()), 0..100)) {
        let priors = priors();
        let mut policy = KeepAlive::default();
        for (gap, quiet) in &gaps {
            policy.observe(*gap, *quiet);
        }
        policy.plan(terms(25.0), priors.of(Trigger::Timer));
        let text = serde_json::to_string(&(&policy, &priors)).unwrap();
        let (mut restored, restored_priors): (KeepAlive, Priors) = serde_json::from_str(&text).unwrap();
        for (gap, quiet) in gaps {
            policy.observe(gap, quiet);
            restored.observe(gap, quiet);
            let plan = policy.plan(terms(25.0), priors.of(Trigger::Timer));
            let again = restored.plan(terms(25.0), restored_priors.of(Trigger::Timer));
            // JSON may lose the last bit of a number.
            prop_assert!((plan.instance.until - again.instance.until).abs() < 1e-6);
        }
    }

    #[test]
    fn the_price_finds_the_budget_and_stays_bounded(budget in 0.5..20.0_f64, start in 0.0..50.0_f64) {
        let mut controller = Controller::default();
        let mut idle = start;
        for _ in 0..2_000 {
            controller.measure(idle, budget, 30.0);
            let price = controller.price().0;
            prop_assert!(price > 0.0 && price < 1e6);
            // A node whose idle memory falls with the price, slowly.
            idle += 0.2 * (20.0 / (price / price::DEFAULT).sqrt() - idle);
        }
        prop_assert!((idle / budget - 1.0).abs() < 0.1, "idle {idle}, budget {budget}");
    }
}

#[test]
fn the_shipped_priors_are_read_and_keep_something_of_every_trigger() {
    let priors = Priors::shipped();
    for trigger in [Trigger::Http, Trigger::Queue, Trigger::Timer, Trigger::Unknown] {
        let prior = priors.of(trigger);
        let all: f64 = prior.points().iter().map(|point| point.weight).sum();
        assert!((all - 1.0).abs() < 1e-6, "{trigger:?}: {all}");
        let plan = KeepAlive::default().plan(Terms { fork: None, ..terms(25.0) }, prior);
        assert!(plan.instance.until > 10.0, "{trigger:?}: {plan:?}");
    }
}

#[test]
fn a_timer_is_unloaded_and_back_in_time() {
    let priors = priors();
    let mut policy = KeepAlive::default();
    for _ in 0..20 {
        policy.observe(1_795.0, true);
    }
    let plan = policy.plan(Terms { fork: None, ..terms(50.0) }, priors.of(Trigger::Timer));
    assert!(plan.instance.prewarms() && plan.instance.covers(1_795.0), "{plan:?}");
    assert!(plan.instance.presence(1_795.0) < 120.0, "{plan:?}");
}

#[test]
fn a_new_function_acts_by_its_triggers_prior() {
    let mut learning = Learning::default();
    for _ in 0..20 {
        learning.add(Trigger::Queue, &[2.0; 50]);
        learning.add(Trigger::Timer, &[290.0; 50]);
    }
    let priors = learning.finish();
    let plan = |trigger| KeepAlive::default().plan(Terms { fork: None, ..terms(25.0) }, priors.of(trigger));
    assert!(plan(Trigger::Queue).instance.until < 10.0);
    assert!(plan(Trigger::Timer).instance.covers(290.0));
}

#[test]
fn the_template_outlives_the_instance_and_a_likely_return_is_worth_more() {
    let priors = priors();
    let mut policy = KeepAlive::default();
    for gap in [20.0, 300.0, 40.0, 700.0, 90.0, 1_500.0, 30.0, 60.0] {
        policy.observe(gap, true);
    }
    let plan = policy.plan(terms(25.0), priors.of(Trigger::Http));
    let template = plan.template.unwrap();
    assert!(plan.instance.until < template.until, "{plan:?}");
    let density = |age| policy.density(age, terms(25.0), priors.of(Trigger::Http));
    assert!(density(10.0) > density(5_000.0));
}
