//! What a confined server still does: make sandboxes through its broker, use its data directory, run threads, be
//! stopped by a signal, and remove an ephemeral data directory. And what its broker does not do for it: start a
//! program without the layers of isolation.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, Stdio};

use rustix::process::{Pid, Signal};
use sandbox::spec::Layers;
use sandbox::{Confinement, Isolation};

use crate::common::{self, World};

/// First argument of the confined server.
pub const SERVER: &str = "--server";

pub fn serves() -> Result<String, String> {
    let refused = sandbox::probe().namespaces.err();
    let mode = if refused.is_some() { "process" } else { "namespaces" };
    let mut child =
        Command::new("/proc/self/exe").args([SERVER, mode]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said = lines.by_ref().map_while(Result::ok).find(|line| line.starts_with("served "));
    let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let _ = rustix::process::kill_process(pid, Signal::TERM);
    let ended = child.wait().unwrap();
    let as_expected = match (&said, mode) {
        (Some(said), "process") => said.starts_with("served 42"),
        (Some(said), _) => said == "served 42, then 1000 False, metered true",
        (None, _) => false,
    };
    if !as_expected {
        return Err(format!("a confined server served {said:?} ({ended})"));
    }
    if ended.signal() != Some(libc::SIGTERM) {
        return Err(format!("SIGTERM did not stop it: {ended}"));
    }
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2"] {
        if !status.contains(line) {
            return Err(format!("no {line:?} in {status}"));
        }
    }
    Ok(format!("succeeded ({mode})"))
}

/// The confined server: it says what it has served and waits to be told to end.
pub fn server() -> ExitCode {
    let reduced = std::env::args().nth(2).as_deref() == Some("process");
    let isolation = if reduced { Isolation::Process } else { Isolation::Namespaces };
    let made = tempfile::tempdir().unwrap();
    let data = fs::canonicalize(made.path()).unwrap();
    let world = World::of_server(isolation, || {
        sandbox::drop_privileges().unwrap();
        let _notes = sandbox::confine(&Confinement { directory: &data, removed: true, sockets: reduced });
    });
    use_files(&data);
    made.close().expect("an ephemeral data directory is removed");
    std::thread::spawn(|| ()).join().unwrap();
    let layers = if reduced { Layers::PROCESS } else { Layers::ALL };
    let outcome = world.python("print(6 * 7)", layers);
    // A program as root on the host is what a server that was taken over would ask for.
    let greedy = world.python("import os; print(os.getuid(), os.path.exists('/home'))", Layers::PROCESS);
    // Files that it could not open itself are read and, for the peak, written.
    let (sandbox, output) = world.start(common::python("input()", layers)).unwrap();
    let meter = sandbox.meter();
    let metered = meter.cpu_micros().is_some() && meter.take_peak() > Some(0);
    world.finish(&sandbox, output);
    println!("served {}, then {}, metered {metered}", outcome.output.trim(), greedy.output.trim());
    loop {
        std::thread::park();
    }
}

/// As the store does.
fn use_files(data: &std::path::Path) {
    for name in ["tmp", "code"] {
        fs::create_dir(data.join(name)).unwrap();
    }
    let aside = data.join("tmp/tree");
    fs::create_dir(&aside).unwrap();
    fs::write(aside.join("file"), "text").unwrap();
    fs::File::open(&aside).unwrap().set_permissions(fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("file", aside.join("link")).unwrap();
    fs::rename(&aside, data.join("code/tree")).unwrap();
    assert_eq!(fs::read_to_string(data.join("code/tree/link")).unwrap(), "text");
    fs::OpenOptions::new().write(true).truncate(true).open(data.join("code/tree/file")).unwrap();
}
