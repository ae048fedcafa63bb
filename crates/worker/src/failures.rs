//! From evidence to an explanation: every [`Failure`] of a function is made here, in AWS's words where AWS
//! has them, each with one action that would help. Pure: the log lines are added by the caller.

use std::time::Duration;

use sandbox::handle::{Exit, Status};
use types::failure::{Cause, Failure, Phase};
use types::function::Version;

use crate::frames::head::Raised;

/// Bytes of an error's message that are kept: it comes from the function, and it goes into every log.
const MESSAGE: usize = 64 * 1024;
/// Bytes of one frame of a stack trace that are kept.
const FRAME: usize = 4 * 1024;
/// Frames of a stack trace that are kept.
const STACK_FRAMES: usize = 200;
/// What AWS allows an answer to have beyond the payload limit.
pub(crate) const RESPONSE_SLACK: u64 = 100;

/// An error that the language runtime caught.
pub(crate) fn raised(phase: Phase, raised: Raised) -> Failure {
    let suggestion = match raised.error_type.as_str() {
        "Runtime.ImportModuleError" => {
            "package the missing module with the code (requirements.txt or package.json beside it), or correct \
             the handler's file name"
        }
        "Runtime.HandlerNotFound" | "Runtime.MalformedHandlerName" => {
            "set the handler to a name that the code exports, in the form file.name"
        }
        "Runtime.UserCodeSyntaxError" => "correct the syntax error at the line the stack trace names",
        _ if phase == Phase::Init => {
            "correct the error: it happens when the code is loaded, before any request"
        }
        _ => "correct the error at the last line of the stack trace, or handle it",
    };
    let error_type = if raised.error_type.is_empty() { "Error".to_owned() } else { raised.error_type };
    let frames = raised.stack_trace.into_iter().take(STACK_FRAMES);
    Failure {
        stack_trace: frames.map(|frame| clipped(frame, FRAME)).collect(),
        ..failure(
            phase,
            Cause::Raised,
            &clipped(error_type, FRAME),
            clipped(raised.message, MESSAGE),
            suggestion,
        )
    }
}

/// It ran longer than it may.
pub(crate) fn timed_out(after: Duration) -> Failure {
    failure(
        Phase::Handler,
        Cause::TimedOut { after_ms: milliseconds(after) },
        "Sandbox.Timedout",
        format!("Task timed out after {:.2} seconds", after.as_secs_f64()),
        "raise the function's timeout (--timeout), or find out from the last log lines what it waits for",
    )
}

/// Its init took longer than it may.
pub(crate) fn init_timed_out(after: Duration, listens: bool) -> Failure {
    let seconds = after.as_secs_f64();
    let (message, suggestion) = if listens {
        (
            format!("the program did not listen on a TCP port within {seconds:.2} seconds"),
            "let the program listen on the port in $PORT, or raise the server's --limit-init",
        )
    } else {
        (
            format!("Init timed out after {seconds:.2} seconds"),
            "do less when the code is loaded, or raise the server's --limit-init",
        )
    };
    let cause = Cause::TimedOut { after_ms: milliseconds(after) };
    failure(Phase::Init, cause, "Sandbox.Timedout", message, suggestion)
}

/// Its process ended, or was ended, without an answer.
pub(crate) fn ended(phase: Phase, exit: &Exit, version: &Version) -> Failure {
    if exit.out_of_memory {
        let limit_mib = version.memory_mib;
        return failure(
            phase,
            Cause::OutOfMemory { limit_mib },
            "Runtime.OutOfMemory",
            format!(
                "Runtime exited with error: signal: killed: it reached its memory limit of {limit_mib} MB"
            ),
            "raise the function's memory (--memory)",
        );
    }
    match exit.status {
        Status::Exited(0) => failure(
            phase,
            Cause::Exited { code: 0 },
            "Runtime.ExitError",
            "Runtime exited without providing a reason".to_owned(),
            "let the program go on running: it ended by itself with exit status 0",
        ),
        Status::Exited(code) => failure(
            phase,
            Cause::Exited { code },
            "Runtime.ExitError",
            format!("Runtime exited with error: exit status {code}"),
            "find out from the last log lines why the process ended itself",
        ),
        Status::Signaled(signal) => failure(
            phase,
            Cause::Killed { signal },
            "Runtime.ExitError",
            format!("Runtime exited with error: signal: {}", signal_name(signal)),
            "look for a crash in native code, or for something that kills the process",
        ),
    }
}

/// A program that is to listen ended before it did.
pub(crate) fn ended_before_listening(exit: &Exit, version: &Version) -> Failure {
    let mut failure = ended(Phase::Init, exit, version);
    if !exit.out_of_memory {
        failure.message = format!("{} before the program listened on a TCP port", failure.message);
    }
    failure
}

/// It answered something that is no answer.
pub(crate) fn malformed(phase: Phase, what: &str) -> Failure {
    failure(
        phase,
        Cause::Malformed,
        "Runtime.MalformedResponse",
        format!("the function's answer is malformed: {what}"),
        "answer with JSON text, and over HTTP with an object that has statusCode, headers and body",
    )
}

/// Its answer is over the limit.
pub(crate) fn too_large(size: u64, limit: u64) -> Failure {
    failure(
        Phase::Handler,
        Cause::TooLarge { size, limit },
        "Function.ResponseSizeTooLarge",
        format!("Response payload size exceeded maximum allowed payload size ({limit} bytes)."),
        "answer with less, or raise the server's --limit-payload",
    )
}

/// Nothing in the code can be started.
pub(crate) fn no_entry(message: String, suggestion: &str) -> Failure {
    failure(Phase::Init, Cause::Raised, "Runtime.InvalidEntrypoint", message, suggestion)
}

/// The sandbox could not be made.
pub(crate) fn no_sandbox(reason: String) -> Failure {
    let suggestion = "run `lambent doctor`; a retry is safe";
    failure(Phase::Sandbox, Cause::Sandbox, "Sandbox.Failure", reason, suggestion)
}

fn failure(phase: Phase, cause: Cause, error_type: &str, message: String, suggestion: &str) -> Failure {
    Failure {
        phase,
        cause,
        error_type: error_type.to_owned(),
        message,
        stack_trace: Vec::new(),
        log_lines: Vec::new(),
        suggestion: suggestion.to_owned(),
    }
}

/// At most `longest` bytes of a text, cut between characters.
fn clipped(mut text: String, longest: usize) -> String {
    text.truncate(text.floor_char_boundary(longest));
    text
}

fn milliseconds(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

/// The names Go gives signals, which is what AWS's messages have.
fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "hangup",
        2 => "interrupt",
        3 => "quit",
        4 => "illegal instruction",
        5 => "trace/breakpoint trap",
        6 => "aborted",
        7 => "bus error",
        8 => "floating point exception",
        9 => "killed",
        11 => "segmentation fault",
        13 => "broken pipe",
        14 => "alarm clock",
        15 => "terminated",
        31 => "bad system call",
        _ => return format!("signal {signal}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use sandbox::handle::Usage;

    use super::*;
    use crate::testing::version;

    fn exit(status: Status, out_of_memory: bool) -> Exit {
        Exit { status, out_of_memory, usage: Usage::default() }
    }

    #[test]
    fn tells_the_ends_of_a_process_apart_in_awss_words() {
        let version = version("hello");
        let told = |status, out_of_memory| {
            let failure = ended(Phase::Handler, &exit(status, out_of_memory), &version);
            assert!(!failure.suggestion.is_empty());
            (failure.error_type, failure.message)
        };
        let exit_error = |text: &str| ("Runtime.ExitError".to_owned(), text.to_owned());
        assert_eq!(told(Status::Exited(1), false), exit_error("Runtime exited with error: exit status 1"));
        assert_eq!(told(Status::Exited(0), false), exit_error("Runtime exited without providing a reason"));
        assert_eq!(told(Status::Signaled(9), false), exit_error("Runtime exited with error: signal: killed"));
        let (kind, message) = told(Status::Signaled(9), true);
        assert_eq!(kind, "Runtime.OutOfMemory");
        assert!(message.contains("signal: killed") && message.contains("128 MB"), "{message}");
        assert_eq!(timed_out(Duration::from_secs(3)).message, "Task timed out after 3.00 seconds");
    }
}
