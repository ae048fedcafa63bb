//! How embers end, and that nothing else ends with them.

use super::super::Retirement;
use super::*;

#[tokio::test]
async fn an_embers_end_ends_none_of_its_instances_and_the_next_start_makes_another() {
    let scene = Scene::new();
    let (first, second) = (scene.start().await, scene.start().await);
    scene.forks.kill_embers();
    wait_until("it is noticed", || scene.template().state == TemplateState::Gone).await;
    assert_eq!(scene.forks.counts(), (0, 2));
    let third = scene.start().await;
    assert_eq!((third.start.tier, scene.inits()), (Tier::Bare, 2));
    assert_eq!(third.start.why, "no ember: the last one was ended by signal 9");
    drop((first, second, third));
}

#[tokio::test]
async fn a_start_whose_ember_dies_under_it_goes_on_with_another() {
    let scene = Scene::new();
    let first = scene.start().await;
    shut(&scene.forks.fork);
    let starting = scene.starting();
    wait_until("it forks", || scene.forks.forks.load(Ordering::Relaxed) == 2).await;
    scene.forks.kill_embers();
    wait_until("another is made and forked", || scene.forks.forks.load(Ordering::Relaxed) == 3).await;
    scene.forks.fork.add_permits(1);
    let second = starting.await.unwrap().unwrap();
    assert_eq!((second.start.tier, scene.inits()), (Tier::Bare, 2));
    assert_eq!(second.start.phases.last().unwrap().name, "fork");
    drop((first, second));
}

#[tokio::test]
async fn an_ember_that_cannot_be_forked_is_done_without() {
    let scene = Scene::new();
    scene.forks.fork_failures.store(1, Ordering::Relaxed);
    let first = scene.start().await;
    assert_eq!(first.start.tier, Tier::Bare);
    let why = "init is not shared: its ember could not be forked: fork: made to fail; ";
    assert!(first.start.why.starts_with(why), "{}", first.start.why);
    let second = scene.start().await;
    assert_eq!((second.start.tier, scene.inits(), scene.forks.counts()), (Tier::Bare, 3, (0, 2)));
    assert_eq!(scene.template().state, TemplateState::Refused);
}

#[tokio::test]
async fn an_ember_that_was_of_use_is_replaced_when_it_breaks() {
    let scene = Scene::new();
    let _first = scene.start().await;
    scene.forks.fork_failures.store(1, Ordering::Relaxed);
    let second = scene.start().await;
    assert_eq!((second.start.tier, scene.inits()), (Tier::Bare, 2));
    let third = scene.start().await;
    assert_eq!(
        (third.start.tier, scene.inits(), scene.template().state),
        (Tier::Ember, 2, TemplateState::Alive)
    );
}

#[tokio::test]
async fn an_ember_goes_when_it_has_not_been_used_for_as_long_as_it_may() {
    let scene = Scene::new();
    let first = scene.start().await;
    scene.node.templates.keep(&scene.key(), Duration::from_millis(30));
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(scene.template().state, TemplateState::Alive, "an instance lives");
    drop(first);
    wait_until("it goes", || scene.forks.counts() == (0, 0)).await;
    let second = scene.start().await;
    assert_eq!(second.start.why, "no ember: the last one had not been used for 30ms");
}

#[tokio::test]
async fn an_ember_that_is_too_old_serves_until_the_next_is_there() {
    let scene = Scene::with(Limits { ember_seconds: 1, ..Limits::default() });
    let first = scene.start().await;
    shut(&scene.forks.init);
    wait_until("the next is made", || scene.inits() == 2).await;
    let second = scene.start().await;
    assert_eq!((second.start.tier, scene.forks.counts()), (Tier::Ember, (2, 2)));
    scene.forks.init.add_permits(1);
    wait_until("the old one goes", || scene.forks.counts() == (1, 2)).await;
    let third = scene.start().await;
    assert_eq!((third.start.tier, scene.template().instances), (Tier::Ember, 3));
    drop((first, second, third));
}

#[tokio::test]
async fn a_replaced_version_keeps_no_ember_and_one_being_made_still_serves() {
    let scene = Scene::new();
    let first = scene.start().await;
    scene.node.templates.retire(&scene.key(), Retirement::Replaced);
    wait_until("it is gone", || scene.forks.counts() == (0, 1)).await;
    assert!(scene.node.templates.status("hello").is_empty());
    shut(&scene.forks.init);
    let starting = scene.starting();
    wait_until("another is made", || scene.inits() == 2).await;
    scene.node.templates.retire(&scene.key(), Retirement::Replaced);
    scene.forks.init.add_permits(1);
    let second = starting.await.unwrap().unwrap();
    assert_eq!((second.start.tier, scene.inits()), (Tier::Bare, 2));
    wait_until("it goes", || scene.forks.counts().0 == 0).await;
    wait_until("it is forgotten", || scene.node.templates.status("hello").is_empty()).await;
    assert_eq!(scene.forks.counts(), (0, 2));
    drop((first, second));
}

#[tokio::test]
async fn memory_takes_an_ember_and_says_so() {
    let scene = Scene::new();
    let first = scene.start().await;
    assert_eq!(scene.node.templates.alive()[0].living, 1);
    scene.node.templates.retire(&scene.key(), Retirement::Memory);
    wait_until("it is gone", || scene.forks.counts() == (0, 1)).await;
    let second = scene.start().await;
    assert_eq!(second.start.why, "no ember: the last one had to go, because memory was short");
    drop((first, second));
}

#[tokio::test]
async fn a_drain_and_a_deletion_leave_no_ember() {
    let scene = Scene::new();
    drop(scene.start().await);
    scene.node.templates.forget("hello");
    wait_until("it is gone", || scene.forks.counts() == (0, 0)).await;
    drop(scene.start().await);
    assert_eq!(scene.forks.counts(), (1, 0));
    scene.node.draining.cancel();
    scene.node.tracker.close();
    scene.node.tracker.wait().await;
    assert_eq!(scene.forks.counts(), (0, 0));
}

#[tokio::test]
async fn an_ember_made_in_advance_waits_for_its_first_start() {
    let scene = Scene::new();
    drop(scene.node.templates.find(&scene.node, &scene.version));
    wait_until("it is there", || scene.template().state == TemplateState::Alive).await;
    assert_eq!(scene.start().await.start.tier, Tier::Ember);
    let other = Scene::new();
    other.forks.vetoes.lock().push("it has a second thread".to_owned());
    drop(other.node.templates.find(&other.node, &other.version));
    wait_until("it is refused", || other.template().state == TemplateState::Refused).await;
    assert_eq!(other.forks.counts(), (0, 0), "nobody wants the process");
}

#[tokio::test]
async fn an_upgraded_interpreter_makes_another_ember() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("python3.11");
    std::fs::write(&program, b"\x7fELF one").unwrap();
    let mut composer = World::composer_of_forks();
    composer.runtimes = crate::runtimes::Runtimes::find_in(&[directory.path().to_owned()]);
    let version = testing::version("hello");
    let before = super::super::inputs::Inputs::of(&composer, &version);
    assert_eq!(before, super::super::inputs::Inputs::of(&composer, &version));
    std::fs::write(directory.path().join("new"), b"\x7fELF one").unwrap();
    std::fs::rename(directory.path().join("new"), &program).unwrap();
    assert_ne!(before, super::super::inputs::Inputs::of(&composer, &version));
}
