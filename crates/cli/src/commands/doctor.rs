//! `lambent doctor`: checks by doing whether this machine can run a server well, and says what to do about
//! each thing that it cannot.

use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use worker::runtimes::Runtimes;

use super::{ExitStatus, serve};
use crate::package;
use crate::printer::Printer;
use crate::size::Bytes;

/// Less free space than this is worth a warning.
const LITTLE_SPACE: u64 = 1_000_000_000;
/// Less free space than this stops a deploy.
const NO_SPACE: u64 = 100_000_000;

/// Check whether this machine can run a server
///
/// Makes one sandbox and removes it, looks for interpreters and tools, tries the ports. The exit status is
/// 1 if something fails; a warning is not a failure.
#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// The data directory to check [default: the one `lambent serve` uses]
    #[arg(long, env = "LAMBENT_DATA_DIR", hide_env_values = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

/// One check.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    verdict: Verdict,
    found: String,
    fix: Option<String>,
}

/// Runs the command.
pub fn run(arguments: &DoctorArguments, printer: Printer) -> anyhow::Result<ExitStatus> {
    let mut checks = host_checks(&sandbox::probe());
    checks.extend(runtime_checks(&worker::runtimes::discover()));
    let options = server::Options::default();
    for (name, address) in [
        ("port API", options.listen),
        ("port gateway", options.gateway_listen),
        ("port admin", options.admin_listen),
    ] {
        checks.push(port_check(name, address));
    }
    let directory = arguments.data_dir.clone().unwrap_or_else(serve::data_directory);
    checks.push(data_check(&directory));
    let failed = checks.iter().any(|check| check.verdict == Verdict::Fail);
    if printer.is_json() {
        printer.document(&checks)?;
    } else {
        print(checks, printer)?;
    }
    Ok(if failed { ExitStatus::Failure } else { ExitStatus::Success })
}

fn print(checks: Vec<Check>, printer: Printer) -> io::Result<()> {
    let fixes: Vec<(&'static str, String)> =
        checks.iter().filter_map(|check| Some((check.name, check.fix.clone()?))).collect();
    let rows = checks.into_iter().map(|check| {
        let verdict = match check.verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        [verdict.to_owned(), check.name.to_owned(), check.found]
    });
    printer.table(["", "check", "found"], rows.collect())?;
    for (name, fix) in fixes {
        printer.data(format_args!("\n{name}: {fix}"))?;
    }
    Ok(())
}

fn host_checks(probe: &sandbox::Probe) -> Vec<Check> {
    let refused = |fix: &str, verdict, result: Result<String, String>, name| match result {
        Ok(found) => Check::ok(name, found),
        Err(found) => Check { name, verdict, found, fix: Some(fix.to_owned()) },
    };
    let yes = |()| "works".to_owned();
    let mut checks = vec![
        refused(
            "run as root, allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1, \
             kernel.apparmor_restrict_unprivileged_userns=0), or start with --isolation=process for trusted code",
            Verdict::Fail,
            probe.namespaces.clone().map(yes),
            "namespaces",
        ),
        refused(
            "run as root, or delegate a control group to this user (systemd: Delegate=yes)",
            Verdict::Warn,
            probe.limits.clone(),
            "limits",
        ),
        refused(
            "run as root, so that /tmp of an instance can be a file system on disk; now it counts as memory",
            Verdict::Warn,
            probe.scratch.clone().map(yes),
            "/tmp on disk",
        ),
        refused(
            "use Linux 5.0 or newer without a filter that forbids seccomp user notification; programs with a server \
             of their own need it",
            Verdict::Warn,
            probe.listen_notify.clone().map(yes),
            "port discovery",
        ),
        refused(
            "use Linux 5.19 or newer with Landlock on: without it a server that is taken over can use every file \
             of its user",
            Verdict::Warn,
            landlock(&probe.landlock),
            "landlock",
        ),
        refused(
            "run as root on Linux 6.12 or newer, so that instances can be forked from a finished init; now each runs \
             init itself",
            Verdict::Warn,
            probe.embers.clone().map(yes),
            "embers",
        ),
    ];
    if probe.rootless {
        checks.push(Check {
            name: "privilege",
            verdict: Verdict::Warn,
            found: "one user id: every sandbox runs under the same one".to_owned(),
            fix: Some("run the server as root, so that each sandbox gets an id of its own".to_owned()),
        });
    }
    checks
}

fn runtime_checks(runtimes: &Runtimes) -> Vec<Check> {
    let python = runtimes.any_python().map(|choice| choice.interpreter.program.clone());
    let versions: Vec<String> = runtimes
        .python
        .iter()
        .map(|(minor, interpreter)| format!("3.{minor} ({})", interpreter.program.display()))
        .collect();
    let node: Vec<String> = runtimes
        .node
        .iter()
        .map(|(major, interpreter)| format!("{major} ({})", interpreter.program.display()))
        .collect();
    let installer = package::uv_version()
        .or_else(|| python.as_deref().and_then(package::pip_version))
        .or_else(|| package::pip_version(Path::new("python3")));
    let list = |versions: Vec<String>| (!versions.is_empty()).then(|| versions.join(", "));
    vec![
        Check::tool(
            "Python",
            list(versions),
            "install Python 3.9 or newer, for instance your system's package python3",
        ),
        Check::tool("pip or uv", installer, "install your system's package python3-pip, or uv"),
        Check::tool("Node.js", list(node), "install Node.js 18 or newer, if you deploy JavaScript"),
        Check::tool(
            "npm",
            package::tool_version("npm", &["--version"]),
            "install npm, if you deploy JavaScript",
        ),
    ]
}

fn port_check(name: &'static str, address: std::net::SocketAddr) -> Check {
    match TcpListener::bind(address) {
        Ok(_) => Check::ok(name, format!("{address} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Check {
            name,
            verdict: Verdict::Warn,
            found: format!("{address} is in use"),
            fix: Some(
                "a server may be running already (`lambent status`); else choose another address".to_owned(),
            ),
        },
        Err(error) => Check {
            name,
            verdict: Verdict::Fail,
            found: format!("{address}: {error}"),
            fix: Some("choose another address".to_owned()),
        },
    }
}

/// Looks at the nearest directory that exists: nothing is created.
fn data_check(directory: &Path) -> Check {
    const NAME: &str = "data directory";
    let existing = directory.ancestors().find(|directory| directory.is_dir()).unwrap_or(Path::new("/"));
    let failed = |found: String, fix: &str| Check {
        name: NAME,
        verdict: Verdict::Fail,
        found,
        fix: Some(fix.to_owned()),
    };
    if let Err(error) = tempfile::tempfile_in(existing) {
        let found = format!("{} cannot be written: {error}", existing.display());
        return failed(found, "choose another with --data-dir");
    }
    let free = match rustix::fs::statvfs(existing) {
        Ok(found) => found.f_bavail.saturating_mul(found.f_frsize),
        Err(error) => {
            return failed(format!("{}: {error}", existing.display()), "choose another with --data-dir");
        }
    };
    let found = format!("{}, {} free", directory.display(), Bytes(free));
    match free {
        0..NO_SPACE => failed(found, "free some space, or choose another with --data-dir"),
        NO_SPACE..LITTLE_SPACE => {
            Check { name: NAME, verdict: Verdict::Warn, found, fix: Some("free some space".to_owned()) }
        }
        _ => Check::ok(NAME, found),
    }
}

// === impl Check ===

impl Check {
    fn ok(name: &'static str, found: String) -> Self {
        Self { name, verdict: Verdict::Ok, found, fix: None }
    }

    fn tool(name: &'static str, found: Option<String>, fix: &str) -> Self {
        match found {
            Some(found) => Self::ok(name, found),
            None => Self {
                name,
                verdict: Verdict::Warn,
                found: "not found".to_owned(),
                fix: Some(fix.to_owned()),
            },
        }
    }
}

/// What the server can be confined with. The first version does not let it move files as its store does.
fn landlock(found: &Result<u32, String>) -> Result<String, String> {
    match found {
        Ok(1) => Err("version 1, and 2 is needed".to_owned()),
        Ok(version) => Ok(format!("version {version}")),
        Err(reason) => Err(reason.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_comes_with_its_fix_and_only_namespaces_fail() {
        let probe = sandbox::Probe {
            namespaces: Err("clone3: EPERM".to_owned()),
            rootless: true,
            limits: Err("no".to_owned()),
            scratch: Ok(()),
            listen_notify: Ok(()),
            landlock: Ok(6),
            embers: Ok(()),
        };
        let checks = host_checks(&probe);
        let failed: Vec<&str> =
            checks.iter().filter(|check| check.verdict == Verdict::Fail).map(|check| check.name).collect();
        assert_eq!(failed, ["namespaces"]);
        assert!(checks.iter().all(|check| (check.verdict == Verdict::Ok) == check.fix.is_none()));
    }

    #[test]
    fn a_taken_port_is_a_warning_and_a_missing_directory_is_none() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(port_check("p", listener.local_addr().unwrap()).verdict, Verdict::Warn);
        let directory = tempfile::tempdir().unwrap();
        assert_ne!(data_check(&directory.path().join("a/b")).verdict, Verdict::Fail);
        assert!(!directory.path().join("a").exists());
    }
}
