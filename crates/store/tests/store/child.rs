//! A second process for tests that kill: the test binary once more, told to run one test by name, which
//! finds a role in its environment and plays it instead of testing.

use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

const DIRECTORY: &str = "LAMBENT_STORE_TEST_DIRECTORY";
/// What lines meant for the parent begin with; the test harness prints others.
const SAID: &str = "said: ";

/// A process that plays a role. Killed when dropped.
pub struct Player {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

/// The directory to play a role in, where this process is the second one.
pub fn role() -> Option<PathBuf> {
    std::env::var_os(DIRECTORY).map(PathBuf::from)
}

/// Tells the parent something.
pub fn say(what: impl std::fmt::Display) {
    println!("{SAID}{what}");
}

impl Player {
    /// Starts the role of the test called `test` in `directory`.
    pub fn start(test: &str, directory: &Path, environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(DIRECTORY, directory)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it says next; `None` when it has ended.
    pub fn next(&mut self) -> Option<String> {
        self.lines.by_ref().map_while(Result::ok).find_map(|line| {
            // The harness may have begun the line.
            line.split_once(SAID).map(|(_, said)| said.to_owned())
        })
    }

    /// Kills it with SIGKILL and answers with what it had still said.
    pub fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::iter::from_fn(|| self.next()).collect()
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        // It may have ended, or been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
