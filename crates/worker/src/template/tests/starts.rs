//! What a start comes to: a fork, the only process of an init that is not shared, an init of its own.

use types::settings::Init;

use super::*;

#[tokio::test]
async fn the_first_start_pays_for_the_init_and_says_so_and_the_next_is_a_fork() {
    let scene = Scene::new();
    let first = scene.start().await;
    assert_eq!((first.start.tier, scene.inits()), (Tier::Bare, 1));
    assert!(first.start.why.contains("first start of this version"), "{}", first.start.why);
    assert_eq!(phases(&first), ["sandbox", "init", "sharing", "fork"]);
    let second = scene.start().await;
    assert_eq!((second.start.tier, scene.inits()), (Tier::Ember, 1));
    assert_eq!(phases(&second), ["fork"]);
    let template = scene.template();
    assert_eq!((template.state, template.instances, template.forks), (TemplateState::Alive, 2, 2));
    assert_eq!(scene.forks.counts(), (1, 2));
    wait_until("it is weighed", || scene.template().memory_bytes == 10 << 20).await;
    drop((first, second));
    assert_eq!((scene.template().instances, scene.forks.counts()), (0, (1, 0)));
}

#[tokio::test]
async fn a_burst_runs_one_init() {
    let scene = Scene::new();
    shut(&scene.forks.init);
    let starting: Vec<_> = (0..50).map(|_| scene.starting()).collect();
    wait_until("its init runs", || scene.inits() == 1).await;
    assert_eq!(scene.template().state, TemplateState::Making);
    scene.forks.init.add_permits(1);
    let mut streams = std::collections::BTreeSet::new();
    let mut instances = Vec::new();
    for start in starting {
        let instance = start.await.unwrap().unwrap();
        assert_eq!(instance.start.tier, Tier::Bare, "it waited for the init");
        streams.insert(instance.id.clone());
        instances.push(instance);
    }
    assert_eq!((streams.len(), scene.inits(), scene.forks.counts()), (50, 1, (1, 50)));
}

#[tokio::test]
async fn an_init_that_is_not_shared_has_one_instance_and_is_not_asked_about_again() {
    let scene = Scene::new();
    scene.forks.vetoes.lock().push("it has the file /tmp/x.db open for writing".to_owned());
    let first = scene.start().await;
    let why = "init is not shared: it has the file /tmp/x.db open for writing";
    assert_eq!((first.start.tier, first.start.why.as_str()), (Tier::Bare, why));
    let second = scene.start().await;
    assert_eq!(second.start.tier, Tier::Bare);
    assert_eq!(second.start.why, format!("{why}; its variable LC_ALL is read when the interpreter starts"));
    assert_eq!(phases(&second), ["sandbox", "init"]);
    let embers = scene.forks.embers.load(Ordering::Relaxed);
    assert_eq!((scene.inits(), embers, scene.forks.forks.load(Ordering::Relaxed)), (2, 1, 0));
    assert_eq!(scene.template().state, TemplateState::Refused);
    assert_eq!(scene.template().reasons, ["it has the file /tmp/x.db open for writing"]);
    assert!(scene.lines.texts().is_empty(), "nobody asked for it to be shared");
    drop((first, second));
    assert_eq!(scene.forks.counts(), (0, 0));
}

#[tokio::test]
async fn of_those_who_wait_for_an_init_that_is_not_shared_one_gets_it() {
    let scene = Scene::new();
    scene.forks.vetoes.lock().push("it has a second thread".to_owned());
    shut(&scene.forks.init);
    let starting: Vec<_> = (0..5).map(|_| scene.starting()).collect();
    wait_until("its init runs", || scene.inits() == 1).await;
    scene.forks.init.add_permits(5);
    let mut instances = Vec::new();
    for start in starting {
        instances.push(start.await.unwrap().unwrap());
    }
    assert_eq!((scene.inits(), scene.forks.counts()), (5, (1, 4)));
}

#[tokio::test]
async fn a_server_can_be_told_to_fork_nothing() {
    let scene = Scene::with(Limits { ember_seconds: 0, ..Limits::default() });
    let (first, second) = (scene.start().await, scene.start().await);
    assert_eq!((first.start.tier, second.start.tier, scene.inits()), (Tier::Bare, Tier::Bare, 2));
    assert!(first.start.why.contains("--limit-ember is 0"), "{}", first.start.why);
}

#[tokio::test]
async fn a_setting_and_a_runtime_can_rule_an_ember_out() {
    let mut scene = Scene::new();
    scene.change(|version| version.settings.init = Init::PerInstance);
    let instance = scene.start().await;
    let why = "lambent:init is per-instance; its variable LC_ALL is read when the interpreter starts";
    assert_eq!((instance.start.tier, instance.start.why.as_str()), (Tier::Bare, why));
    assert!(scene.node.templates.status("hello").is_empty());
    scene.change(|version| version.runtime = types::function::Runtime::Node { major: 20 });
    scene.change(|version| version.settings.init = Init::Auto);
    let error = scene.node.composer.embers(&scene.version).unwrap_err();
    assert_eq!(error, "Node.js cannot fork");
}

#[tokio::test]
async fn who_asks_for_a_shared_init_is_told_in_the_log_that_it_is_not() {
    let mut scene = Scene::new();
    scene.change(|version| version.settings.init = Init::Shared);
    scene.forks.vetoes.lock().push("it has a second thread".to_owned());
    let _instance = scene.start().await;
    let warning = "WARNING lambent:init is shared, but init is not shared: it has a second thread";
    assert_eq!(scene.lines.texts(), [warning]);
}

#[tokio::test]
async fn an_init_that_fails_fails_each_start_that_waited_for_it_and_is_tried_again() {
    let scene = Scene::new();
    shut(&scene.forks.init);
    scene.forks.init_failures.store(1, Ordering::Relaxed);
    let starting: Vec<_> = (0..3).map(|_| scene.starting()).collect();
    wait_until("its init runs", || scene.inits() == 1).await;
    scene.forks.init.add_permits(2);
    for start in starting {
        let Err(StartError::Function(failure)) = start.await.unwrap() else { panic!() };
        assert_eq!(failure.message, "made to fail");
    }
    assert_eq!((scene.inits(), scene.forks.counts()), (1, (0, 0)));
    let instance = scene.start().await;
    assert_eq!((instance.start.tier, scene.inits()), (Tier::Bare, 2));
    assert!(instance.start.why.contains("the last init failed"), "{}", instance.start.why);
}
