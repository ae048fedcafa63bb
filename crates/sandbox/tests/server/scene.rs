//! The targets of a server's attacks: a data directory, files and a socket beside it, a listener on loopback,
//! and a process of the same user without capabilities.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};

/// First argument of the process that is attacked.
pub const VICTIM: &str = "--victim";

/// Everything there is to attack.
pub struct Scene {
    /// Version of Landlock; 0 where there is none.
    pub landlock: u32,
    directory: tempfile::TempDir,
    victim: Child,
    listener: TcpListener,
    _stream: UnixListener,
    _datagram: UnixDatagram,
}

// === impl Scene ===

impl Scene {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in ["data", "beside"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        let beside = directory.path().join("beside");
        let mut victim = Command::new("/proc/self/exe")
            .arg(VICTIM)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(victim.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self {
            landlock: sandbox::probe().landlock.unwrap_or_default(),
            victim,
            listener: TcpListener::bind("127.0.0.1:0").unwrap(),
            _stream: UnixListener::bind(beside.join("stream")).unwrap(),
            _datagram: UnixDatagram::bind(beside.join("datagram")).unwrap(),
            directory,
        }
    }

    /// Puts back what an attack may have taken away.
    pub fn restore(&self) {
        let (data, beside) = (self.directory.path().join("data"), self.directory.path().join("beside"));
        for entry in fs::read_dir(&data).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        fs::write(data.join("own"), "own").unwrap();
        fs::write(beside.join("file"), "text").unwrap();
        for made in ["made", "moved"] {
            let _not_there = fs::remove_file(beside.join(made));
        }
    }

    /// Where the targets are, as environment variables.
    pub fn facts(&self) -> [(String, String); 4] {
        let path = |name| self.directory.path().join(name).to_str().unwrap().to_owned();
        [
            ("DATA", path("data")),
            ("BESIDE", path("beside")),
            ("VICTIM", self.victim.id().to_string()),
            ("ADDRESS", self.listener.local_addr().unwrap().to_string()),
        ]
        .map(|(name, value)| (format!("FACT_{name}"), value))
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        drop(self.victim.stdin.take());
        let _ended = self.victim.wait();
    }
}

/// The process that is attacked: without capabilities, as another server would be. It ends with its input.
pub fn victim() -> ExitCode {
    sandbox::drop_privileges().unwrap();
    println!("ready");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    ExitCode::SUCCESS
}

/// What the scene says about a target.
pub fn fact(name: &str) -> String {
    std::env::var(format!("FACT_{name}")).unwrap()
}

/// A path beside the data directory.
pub fn beside(name: &str) -> PathBuf {
    PathBuf::from(fact("BESIDE")).join(name)
}

/// A path in the data directory.
pub fn data(name: &str) -> PathBuf {
    PathBuf::from(fact("DATA")).join(name)
}
