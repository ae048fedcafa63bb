//! Starts that are given up and embers that die at any step: whoever still waits is served, nothing is left.

use proptest::prelude::*;

use super::super::Retirement;
use super::*;

/// Something that happens.
#[derive(Debug, Clone, Copy)]
enum Step {
    Start,
    GiveUp(usize),
    EndInstance(usize),
    InitEnds,
    ForkEnds,
    FailInit,
    FailFork,
    Veto(bool),
    KillEmbers,
    Retire(Retirement),
    Yield,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Start),
        2 => (0..8_usize).prop_map(Step::GiveUp),
        2 => (0..8_usize).prop_map(Step::EndInstance),
        3 => Just(Step::InitEnds),
        3 => Just(Step::ForkEnds),
        1 => Just(Step::FailInit),
        1 => Just(Step::FailFork),
        1 => any::<bool>().prop_map(Step::Veto),
        2 => Just(Step::KillEmbers),
        1 => Just(Step::Retire(Retirement::Replaced)),
        1 => Just(Step::Retire(Retirement::Memory)),
        4 => Just(Step::Yield),
    ]
}

async fn play(steps: Vec<Step>) {
    let scene = Scene::new();
    shut(&scene.forks.init);
    shut(&scene.forks.fork);
    let mut starting: Vec<Starting> = Vec::new();
    let mut instances = Vec::new();
    for step in steps {
        match step {
            Step::Start => starting.push(scene.starting()),
            Step::GiveUp(which) if which < starting.len() => {
                let start = starting.swap_remove(which);
                start.abort();
                if let Ok(Ok(instance)) = start.await {
                    instances.push(instance);
                }
            }
            Step::EndInstance(which) if which < instances.len() => drop(instances.swap_remove(which)),
            Step::GiveUp(_) | Step::EndInstance(_) => {}
            Step::InitEnds => scene.forks.init.add_permits(1),
            Step::ForkEnds => scene.forks.fork.add_permits(1),
            Step::FailInit => scene.forks.init_failures.store(1, Ordering::Relaxed),
            Step::FailFork => scene.forks.fork_failures.store(1, Ordering::Relaxed),
            Step::Veto(there) => {
                let vetoes = if there { vec!["made to".to_owned()] } else { Vec::new() };
                *scene.forks.vetoes.lock() = vetoes;
            }
            Step::KillEmbers => scene.forks.kill_embers(),
            Step::Retire(retirement) => scene.node.templates.retire(&scene.key(), retirement),
            Step::Yield => tokio::task::yield_now().await,
        }
    }
    scene.forks.init.add_permits(100_000);
    scene.forks.fork.add_permits(100_000);
    for start in starting {
        let limit = Duration::from_secs(10);
        match tokio::time::timeout(limit, start).await.expect("a start never ended").unwrap() {
            Ok(instance) => instances.push(instance),
            Err(StartError::Function(_)) => {}
            Err(StartError::Platform(reason)) => panic!("{reason}"),
        }
    }
    // What lives is what somebody holds, and at most one ember.
    let (held, limit) = (instances.len(), Duration::from_secs(10));
    let settled = async {
        loop {
            let living = scene.forks.living.lock().len();
            if (held..=held + 1).contains(&living) && !making(&scene) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(limit, settled).await.expect("something is left over");
    drop(instances);
    scene.node.draining.cancel();
    scene.node.tracker.close();
    tokio::time::timeout(limit, scene.node.tracker.wait()).await.expect("a task is left over");
    assert!(scene.forks.living.lock().is_empty());
}

fn making(scene: &Scene) -> bool {
    scene.node.templates.status("hello").iter().any(|template| template.state == TemplateState::Making)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whoever_waits_is_served_and_nothing_is_left(steps in proptest::collection::vec(step(), 0..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(steps));
    }
}

#[tokio::test]
async fn a_start_that_is_given_up_harms_nobody_who_waits_with_it() {
    let scene = Scene::new();
    shut(&scene.forks.init);
    let (first, second) = (scene.starting(), scene.starting());
    wait_until("its init runs", || scene.inits() == 1).await;
    first.abort();
    assert!(first.await.is_err());
    scene.forks.init.add_permits(1);
    assert_eq!(second.await.unwrap().unwrap().start.tier, Tier::Bare);
    assert_eq!(scene.inits(), 1);
}

#[tokio::test]
async fn a_process_that_nobody_waits_for_any_more_ends() {
    let scene = Scene::new();
    scene.forks.vetoes.lock().push("it has a second thread".to_owned());
    shut(&scene.forks.init);
    let start = scene.starting();
    wait_until("its init runs", || scene.inits() == 1).await;
    start.abort();
    assert!(start.await.is_err());
    scene.forks.init.add_permits(1);
    wait_until("it is gone", || scene.forks.counts() == (0, 0)).await;
    assert_eq!(scene.template().state, TemplateState::Refused);
}

#[tokio::test]
async fn a_fork_that_is_given_up_leaves_the_ember_as_it_was() {
    let scene = Scene::new();
    drop(scene.start().await);
    shut(&scene.forks.fork);
    let start = scene.starting();
    wait_until("it forks", || scene.template().instances == 1).await;
    start.abort();
    assert!(start.await.is_err());
    assert_eq!(scene.template().instances, 0);
    scene.forks.fork.add_permits(1);
    assert_eq!(scene.start().await.start.tier, Tier::Ember);
}
