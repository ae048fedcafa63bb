//! What became of one run of an attack program: said by the program, or seen from outside where it could
//! no longer say anything.

use std::fmt;

use sandbox::handle::{Exit, Status};

/// The outcome of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It did what it wanted.
    Succeeded,
    /// Something said no: an error number, or a word.
    Refused(String),
    /// There was nothing to attack from there.
    Absent(String),
    /// It was killed: a signal's number or `out of memory`.
    Killed(String),
    /// The run says nothing about the attack: the program is wrong, or the sandbox did not start.
    Broken(String),
}

// === impl Verdict ===

impl Verdict {
    /// From what a program wrote and how it ended.
    pub fn of(output: &str, exit: Option<&Exit>) -> Self {
        if exit.is_some_and(|exit| exit.out_of_memory) && said(output).is_none() {
            return Self::Killed("out of memory".to_owned());
        }
        match (said(output), exit.map(|exit| exit.status)) {
            (Some(verdict), _) => verdict,
            (None, Some(Status::Signaled(number))) => Self::Killed(number.to_string()),
            (None, status) => {
                let last = output.trim().lines().last().unwrap_or("nothing");
                Self::Broken(format!("no verdict ({status:?}); it wrote: {last}"))
            }
        }
    }

    /// Whether this is what was expected (`|` separates alternatives).
    pub fn is(&self, expected: &str) -> bool {
        expected.split('|').any(|one| one == self.to_string())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Succeeded => formatter.write_str("succeeded"),
            Self::Refused(word) => write!(formatter, "refused {word}"),
            Self::Absent(word) => write!(formatter, "absent {word}"),
            Self::Killed(by) => write!(formatter, "killed {by}"),
            Self::Broken(why) => write!(formatter, "broken: {why}"),
        }
    }
}

fn said(output: &str) -> Option<Verdict> {
    let line = output.lines().rev().find_map(|line| line.strip_prefix("verdict: "))?;
    let (verdict, word) = line.split_once(' ').unwrap_or((line, ""));
    match verdict {
        "succeeded" => Some(Verdict::Succeeded),
        "refused" => Some(Verdict::Refused(word.to_owned())),
        "absent" => Some(Verdict::Absent(word.to_owned())),
        _ => None,
    }
}
