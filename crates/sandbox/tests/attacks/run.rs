//! Runs one attack program once: in a sandbox with some layers, or on the host.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::pty::OpenptFlags;
use sandbox::handle::{Channels, Signal};
use sandbox::spec::{Assignment, Layers, Limits, Mount, Spec};

use crate::attack::{Attack, Setting};
use crate::common::PYTHON;
use crate::scene::{Scene, script};
use crate::verdict::Verdict;

/// Longest run: the slowest programs burn processor time for some seconds.
const LONGEST: Duration = Duration::from_secs(40);

/// Runs an attack in a sandbox with these layers.
pub fn sandboxed(scene: &Scene, attack: &Attack, layers: Layers, relax: Option<fn(&mut Spec)>) -> Verdict {
    let mut setting = setting(scene, attack, layers);
    if let Some(relax) = relax {
        relax(&mut setting.spec);
    }
    run(scene, setting, None)
}

fn run(scene: &Scene, setting: Setting, assignment: Option<Assignment>) -> Verdict {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let terminal = setting.terminal.then(terminal);
    let (_controller, frames) = terminal.map_or((None, None), |(one, other)| (Some(one), Some(other)));
    let collected = collect(read);
    let ended = scene.world.runtime.block_on(async {
        let sandbox = scene.world.handle.start(setting.spec, Channels { output: write, frames }).await?;
        if let Some(assignment) = assignment {
            sandbox.assign(&assignment).await?;
        }
        let ended = tokio::time::timeout(LONGEST, sandbox.exited()).await.ok();
        if ended.is_none() {
            sandbox.signal(Signal::Kill);
        }
        Ok::<_, sandbox::handle::StartError>(ended)
    });
    let output = collected.join().unwrap();
    match ended {
        Ok(Some(exit)) => Verdict::of(&output, Some(&exit)),
        Ok(None) => Verdict::Broken(format!("still running after {LONGEST:?}; it wrote {output:?}")),
        Err(error) => Verdict::Broken(error.to_string()),
    }
}

/// Runs an attack in a sandbox that stood by, with every layer, once its code is assigned.
pub fn assigned(scene: &Scene, attack: &Attack) -> Verdict {
    let mut setting = setting(scene, attack, Layers::ALL);
    let spec = &mut setting.spec;
    let is_code = |mount: &Mount| matches!(mount, Mount::ReadOnly { target, .. } if target.ends_with("task"));
    let (code, mut rest): (Vec<Mount>, Vec<Mount>) = spec.mounts.drain(..).partition(is_code);
    assert!(!code.is_empty(), "there is something to assign");
    rest.push(Mount::Directory { target: "/var/task".into() });
    let assignment = Assignment {
        hostname: spec.hostname.clone(),
        mounts: code,
        tmp_bytes: spec.tmp_bytes,
        limits: spec.limits,
    };
    if let Some(script) = spec.process.argv.last_mut() {
        script.insert_str(0, "import os, time\nwhile not os.listdir('/var/task'): time.sleep(0.002)\n");
    }
    (spec.mounts, spec.standby) = (rest, true);
    spec.limits = Limits { memory_bytes: 256 << 20, pids: 64, ..spec.limits };
    run(scene, setting, Some(assignment))
}

/// Runs an attack on the host, as a child of a shell (which stands for the init) with one descriptor too
/// many (which stands for the broker's).
pub fn on_host(scene: &Scene, attack: &Attack) -> Verdict {
    let setting = setting(scene, attack, Layers::PROCESS);
    let output = Command::new("/bin/sh")
        .args(["-c", r#"exec 9</dev/null; "$0" -I -S -c "$1"; true"#, PYTHON, &script(attack.program)])
        .env_clear()
        .envs(setting.spec.process.environment)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    Verdict::of(&output, None)
}

/// The surroundings of one run.
pub fn setting(scene: &Scene, attack: &Attack, layers: Layers) -> Setting {
    let spec = scene.spec(&script(attack.program), layers);
    let mut setting = Setting { spec, facts: Vec::new(), terminal: false };
    (attack.setting)(&mut setting);
    let own = setting.facts.drain(..).map(|(name, value)| (name.to_owned(), value));
    let facts = scene.facts(layers.root).into_iter().chain(own);
    let environment = &mut setting.spec.process.environment;
    environment.extend(facts.map(|(name, value)| (format!("FACT_{name}"), value)));
    environment.push(("ATTACK".to_owned(), attack.name.to_owned()));
    setting
}

/// Reads until the last writer is gone, without ever letting one wait.
pub fn collect(from: OwnedFd) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = File::from(from).read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// A terminal: the operator's side, and the side that leaked in.
fn terminal() -> (OwnedFd, OwnedFd) {
    let controller =
        rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    rustix::pty::grantpt(&controller).unwrap();
    rustix::pty::unlockpt(&controller).unwrap();
    let name = rustix::pty::ptsname(&controller, Vec::new()).unwrap();
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC;
    let terminal = rustix::fs::open(name, flags, rustix::fs::Mode::empty()).unwrap();
    (controller, terminal)
}
