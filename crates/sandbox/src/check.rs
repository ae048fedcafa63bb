//! Whether a spec may be acted on: pure, and the same in the server (for a good error) and in the shell
//! (which trusts nobody). It looks at no file.

use std::path::{Component, Path};

use crate::spec::{Assignment, Limits, Mount, Spec};

/// Longest path and longest string of the command line.
const LONGEST: usize = 128 * 1024;

/// Checks every field whose wrong value could surprise the code behind it.
pub(crate) fn spec(spec: &Spec) -> Result<(), String> {
    let Some(program) = spec.process.argv.first() else {
        return Err("process.argv is empty: name a program".to_owned());
    };
    path("process.argv[0]", Path::new(program))?;
    path("process.directory", &spec.process.directory)?;
    for word in &spec.process.argv {
        text("process.argv", word)?;
    }
    environment(&spec.process.environment)?;
    hostname(&spec.hostname)?;
    spec.mounts.iter().try_for_each(mount)?;
    limits(&spec.limits)
}

/// Checks what a sandbox that stands by gets.
pub(crate) fn assignment(assignment: &Assignment) -> Result<(), String> {
    hostname(&assignment.hostname)?;
    for one in &assignment.mounts {
        mount(one)?;
        if !matches!(one, Mount::ReadOnly { .. }) {
            return Err(format!("{one:?}: only parts of the host can be added later"));
        }
    }
    limits(&assignment.limits)
}

fn hostname(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > 64 || name.contains('\0') {
        return Err("hostname: 1 to 64 bytes are allowed".to_owned());
    }
    Ok(())
}

/// Checks names and values of variables.
pub(crate) fn environment(environment: &[(String, String)]) -> Result<(), String> {
    for (name, value) in environment {
        if name.is_empty() || name.contains('=') {
            return Err(format!("environment variable {name:?}: the name is empty or has an equals sign"));
        }
        text("process.environment", name)?;
        text("process.environment", value)?;
    }
    Ok(())
}

/// Checks limits against what the kernel's files take.
pub(crate) fn limits(limits: &Limits) -> Result<(), String> {
    let wrong = [
        (limits.memory_bytes < 4 << 20, "limits.memory_bytes: at least 4 MiB"),
        (!(10..=1_000_000).contains(&limits.cpu_millis), "limits.cpu_millis: 10 to 1000000"),
        (!(1..=10_000).contains(&limits.cpu_weight), "limits.cpu_weight: 1 to 10000"),
        (limits.pids == 0, "limits.pids: at least 1"),
        (limits.open_files < 8, "limits.open_files: at least 8"),
    ];
    match wrong.iter().find(|(wrong, _)| *wrong) {
        Some((_, sentence)) => Err((*sentence).to_owned()),
        None => Ok(()),
    }
}

fn mount(mount: &Mount) -> Result<(), String> {
    match mount {
        Mount::ReadOnly { source, target } => {
            path("mount source", source)?;
            below_root("mount target", target)
        }
        Mount::Link { to, target } => {
            text("link", &to.to_string_lossy())?;
            below_root("link target", target)
        }
        Mount::Directory { target } => below_root("directory", target),
        Mount::File { target, .. } => below_root("file target", target),
    }
}

fn below_root(what: &str, target: &Path) -> Result<(), String> {
    path(what, target)?;
    if target.components().count() < 2 {
        return Err(format!("{what} {}: the root itself cannot be replaced", target.display()));
    }
    Ok(())
}

fn path(what: &str, path: &Path) -> Result<(), String> {
    text(what, &path.to_string_lossy())?;
    if !path.is_absolute() {
        return Err(format!("{what} {}: must be absolute", path.display()));
    }
    if path.components().any(|part| matches!(part, Component::ParentDir)) {
        return Err(format!("{what} {}: must not contain `..`", path.display()));
    }
    Ok(())
}

fn text(what: &str, text: &str) -> Result<(), String> {
    if text.contains('\0') {
        return Err(format!("{what}: contains a zero byte"));
    }
    if text.len() > LONGEST {
        return Err(format!("{what}: longer than {LONGEST} bytes"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Layers, Listen, Process};

    fn usual() -> Spec {
        Spec {
            hostname: "a".to_owned(),
            mounts: Vec::new(),
            tmp_bytes: 512 << 20,
            process: Process {
                argv: vec!["/bin/true".to_owned()],
                environment: vec![("A".to_owned(), "b=c".to_owned())],
                directory: "/".into(),
            },
            limits: Limits {
                memory_bytes: 128 << 20,
                cpu_millis: 1000,
                cpu_weight: 100,
                cpu_owner: 0,
                pids: 64,
                open_files: 1024,
            },
            listen: Listen::Notify,
            server_listener: None,
            ember: false,
            standby: false,
            layers: Layers::ALL,
        }
    }

    fn refusal(change: impl FnOnce(&mut Spec)) -> String {
        let mut changed = usual();
        change(&mut changed);
        spec(&changed).unwrap_err()
    }

    #[test]
    fn each_surprise_is_refused_by_name() {
        assert_eq!(spec(&usual()), Ok(()));
        assert_eq!(refusal(|spec| spec.process.argv.clear()), "process.argv is empty: name a program");
        assert_eq!(
            refusal(|spec| spec.process.argv = vec!["true".to_owned()]),
            "process.argv[0] true: must be absolute"
        );
        let file = |target: &str| Mount::File { text: String::new(), target: target.into() };
        assert_eq!(
            refusal(|spec| spec.mounts = vec![file("/var/../etc")]),
            "file target /var/../etc: must not contain `..`"
        );
        assert_eq!(
            refusal(|spec| spec.mounts = vec![file("/")]),
            "file target /: the root itself cannot be replaced"
        );
        assert!(
            refusal(|spec| spec.process.environment = vec![("A=".to_owned(), String::new())])
                .contains("equals")
        );
        assert!(refusal(|spec| spec.process.environment[0].1 = "\0".to_owned()).contains("zero byte"));
        assert!(refusal(|spec| spec.limits.memory_bytes = 1).starts_with("limits.memory_bytes"));
        assert!(refusal(|spec| spec.hostname = "h".repeat(65)).starts_with("hostname"));
    }
}
