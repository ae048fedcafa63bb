//! Runs one attack program as an instance that was forked from an ember: with the same layers, in one's namespaces.

use std::time::Duration;

use sandbox::handle::Signal;
use sandbox::spec::Layers;

use crate::attack::{Attack, Expected, Setting};
use crate::common::PYTHON;
use crate::common::ember::{Ember, PROGRAM};
use crate::report::Row;
use crate::run::setting;
use crate::scene::{Scene, script};
use crate::verdict::Verdict;

/// Longest run.
const LONGEST: Duration = Duration::from_secs(40);

/// The newborn becomes the attack program; of the harness it keeps its output only.
const BECOME: &str = "import os
os.set_inheritable(3, False)
os.execv(os.environ['PYTHON'], [os.environ['PYTHON'], '-I', '-S', '-c', os.environ.pop('SCRIPT')])";

/// Where an instance finds less than a sandbox alone: what it may not trace is not in its `/proc`, there are no System V
/// objects, and to kill everybody succeeds by the kernel's word where there is somebody and nobody may be killed.
const ELSE: &[(&str, Expected)] = &[
    ("init_environment", "absent ENOENT"),
    ("init_root", "absent ENOENT"),
    ("init_descriptors", "absent ENOENT"),
    ("init_memory", "absent ENOENT"),
    ("init_executable", "absent ENOENT"),
    ("enter_init_mounts", "absent ENOENT"),
    ("host_shared_memory", "absent ENOSYS"),
    ("everything_killed", "succeeded"),
];

/// Whether an attack is held, by the ember and a sibling too.
pub fn expect(row: &mut Row, scene: &Scene, attack: &Attack) {
    let setting = setting(scene, attack, Layers::ALL);
    // Descriptor 3 is the frames of an instance.
    if setting.terminal {
        return;
    }
    let expected =
        ELSE.iter().find(|(name, _)| *name == attack.name).map_or(attack.sealed, |(_, other)| other);
    row.expect("forked from an ember", &forked(scene, attack, setting), expected);
}

/// What becomes of it.
fn forked(scene: &Scene, attack: &Attack, setting: Setting) -> Verdict {
    let mut spec = setting.spec;
    spec.ember = true;
    if let Some(program) = spec.process.argv.last_mut() {
        PROGRAM.clone_into(program);
    }
    let environment = &mut spec.process.environment;
    environment.push(("LAMBENT_EMBER_FD".to_owned(), "4".to_owned()));
    environment.push(("PYTHON".to_owned(), PYTHON.to_owned()));
    let ember = Ember::with(&scene.world, spec);
    let vetoes = ember.sharing(&scene.world).vetoes;
    assert!(vetoes.is_empty(), "{vetoes:?}");
    let mut sibling = ember.fork(&scene.world);
    let mut instance = ember.try_fork(&scene.world, &[("SCRIPT", &script(attack.program))]).unwrap();
    instance.tell(BECOME);
    let exit = scene.world.runtime.block_on(async {
        let ended = tokio::time::timeout(LONGEST, instance.sandbox.exited()).await.ok();
        if ended.is_none() {
            instance.sandbox.signal(Signal::Kill);
        }
        ended
    });
    let output = instance.output.text();
    assert_eq!(sibling.run("answer = 1"), "1", "{}: a sibling lives on", attack.name);
    assert_eq!(ember.fork(&scene.world).run("answer = 1"), "1", "{}: the ember does", attack.name);
    match exit {
        Some(exit) => Verdict::of(&output, Some(&exit)),
        None => Verdict::Broken(format!("still running after {LONGEST:?}; it wrote {output:?}")),
    }
}
