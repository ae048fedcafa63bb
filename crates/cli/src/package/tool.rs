//! Runs pip, uv or npm to its end, showing each line and keeping the last ones for an error.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use super::error::Error;
use super::progress::Progress;

/// How many lines of a failed tool's output an error shows.
const LAST_LINES: usize = 20;

/// Runs a tool. Its two streams are read as one, so nothing it writes can block it.
pub fn run(tool: &str, command: &mut Command, progress: &Progress) -> Result<(), Error> {
    let failed = || Error::file("run", tool);
    let (reader, writer) = std::io::pipe().map_err(failed())?;
    let errors = writer.try_clone().map_err(failed())?;
    let mut child = command.stdin(Stdio::null()).stdout(writer).stderr(errors).spawn().map_err(failed())?;
    // The command keeps our ends of the pipe; without them its end is seen.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut last: VecDeque<String> = VecDeque::with_capacity(LAST_LINES);
    for line in BufReader::new(reader).split(b'\n') {
        let line = String::from_utf8_lossy(&line.map_err(failed())?).trim_end().to_owned();
        if line.is_empty() {
            continue;
        }
        progress.show(&line);
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(line);
    }
    let status = child.wait().map_err(failed())?;
    if status.success() {
        return Ok(());
    }
    Err(Error::ToolFailed { tool: tool.to_owned(), status: status.to_string(), last_lines: last.into() })
}

/// The first line a tool prints about its version; `None` where it cannot be run.
pub fn version(program: &str, arguments: &[&str]) -> Option<String> {
    let output =
        Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().unwrap_or_default().trim().to_owned();
    (output.status.success() && !line.is_empty()).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::printer::Printer;

    #[test]
    fn a_failure_carries_the_end_of_both_streams() {
        let progress = Progress::start(Printer::new(true), "test");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "seq 1 100; echo broken >&2; exit 3"]);
        let error = run("sh", &mut command, &progress).unwrap_err();
        let Error::ToolFailed { last_lines, status, .. } = error else { panic!("{error}") };
        assert_eq!(last_lines.len(), LAST_LINES);
        assert_eq!(last_lines.last().unwrap(), "broken");
        assert!(status.contains('3'), "{status}");
    }
}
