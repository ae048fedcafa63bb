//! What a version becomes: entries, environments, mounts.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;

use sandbox::spec::Listen;
use types::function::{Runtime, Version};
use types::limits::MIB;
use types::settings::Server;

use super::{Composer, Composition, Error, Identity, Isolation, Protocol, Purpose};
use crate::runtimes::{Interpreter, Runtimes};
use crate::shim;
use crate::testing::{self, World};

fn composer(isolation: Isolation) -> Composer {
    let at = |program: &str, prefix: &str| Interpreter { program: program.into(), prefix: prefix.into() };
    let runtimes = Runtimes {
        python: BTreeMap::from([
            (11, at("/usr/bin/python3.11", "/usr")),
            (12, at("/opt/python/bin/python3.12", "/opt/python")),
        ]),
        node: BTreeMap::from([(20, at("/usr/bin/node", "/usr"))]),
    };
    let shim = shim::Installed { directory: "/data/runtime/1".into() };
    Composer { isolation, runtimes, shim, forks: Ok(()) }
}

fn compose(version: &Version, isolation: Isolation) -> Result<Composition, Error> {
    let identity = Identity::new(version, jiff::Timestamp::UNIX_EPOCH);
    composer(isolation).compose(version, &identity, Purpose::Instance)
}

fn value<'a>(composition: &'a Composition, name: &str) -> Option<&'a str> {
    let environment = &composition.spec.process.environment;
    let values: Vec<_> = environment.iter().filter(|(known, _)| known == name).collect();
    assert!(values.len() <= 1, "{name} is there twice");
    values.first().map(|(_, value)| value.as_str())
}

#[tokio::test]
async fn a_handler_runs_in_our_shim_with_lambdas_environment() {
    let mut version = testing::version("hello");
    version.environment.insert("LANG".to_owned(), "C".to_owned());
    let composition = compose(&version, Isolation::Namespaces).unwrap();
    let spec = &composition.spec;
    assert_eq!(composition.protocol, Protocol::Frames);
    assert_eq!(spec.process.argv, ["/usr/bin/python3.11", "-s", "/var/runtime/python/bootstrap.py"]);
    assert_eq!(value(&composition, "AWS_LAMBDA_FUNCTION_NAME"), Some("hello"));
    assert_eq!(value(&composition, "AWS_EXECUTION_ENV"), Some("AWS_Lambda_python3.11"));
    assert_eq!(value(&composition, "LANG"), Some("C"));
    assert!(value(&composition, "AWS_LAMBDA_LOG_STREAM_NAME").unwrap().starts_with("1970/01/01/[$LATEST]"));
    assert_eq!(spec.limits.memory_bytes, 128 * MIB);
    assert_eq!((spec.limits.cpu_millis, spec.listen), (1000, Listen::Ordinary));
    let targets: Vec<_> = spec.mounts.iter().map(target).collect();
    assert!(targets.contains(&Path::new("/var/task")) && targets.contains(&Path::new("/usr")));
    for secret in ["/etc", "/etc/shadow", "/root", "/home", "/var", "/data"] {
        assert!(!targets.contains(&Path::new(secret)), "{secret} is visible");
    }
}

#[tokio::test]
async fn an_interpreter_outside_usr_is_made_visible() {
    let version = Version { runtime: Runtime::Python { minor: 12 }, ..testing::version("hello") };
    let composition = compose(&version, Isolation::Namespaces).unwrap();
    assert!(composition.spec.mounts.iter().any(|mount| target(mount) == Path::new("/opt/python")));
    assert!(value(&composition, "PATH").unwrap().starts_with("/opt/python/bin:"));
}

#[tokio::test]
async fn an_own_server_is_found_by_its_handler() {
    let world = World::new(types::limits::Limits::default());
    let files = [("app.py", ""), ("web/main.py", ""), ("server.mjs", ""), ("start", "#!/bin/sh\n")];
    let mut version = world.version("own", &files);
    version.settings.server = Some(Server::Own);
    let python = Runtime::Python { minor: 11 };
    let cases: [(Runtime, &str, &[&str]); 6] = [
        (python, "app.app", &["/usr/bin/python3.11", "-s", "/var/task/app.py"]),
        (python, "web.main.app", &["/usr/bin/python3.11", "-s", "/var/task/web/main.py"]),
        (python, "app.py", &["/usr/bin/python3.11", "-s", "/var/task/app.py"]),
        (Runtime::Node { major: 18 }, "server.handler", &["/usr/bin/node", "/var/task/server.mjs"]),
        (Runtime::Provided, "server.mjs", &["/usr/bin/node", "/var/task/server.mjs"]),
        (Runtime::Provided, "start", &["/var/task/start"]),
    ];
    for (runtime, handler, argv) in cases {
        version.runtime = runtime;
        version.handler = handler.to_owned();
        let composition = compose(&version, Isolation::Namespaces).unwrap();
        assert_eq!(composition.spec.process.argv, argv, "{handler}");
        assert_eq!(composition.spec.listen, Listen::Notify);
        assert_eq!(value(&composition, "PORT"), Some("8080"));
    }
    for handler in ["nothing.here", "../escape", "/bin/sh", ""] {
        version.handler = handler.to_owned();
        let error = compose(&version, Isolation::Namespaces).unwrap_err();
        assert!(error.message.contains("names no program"), "{handler}: {error}");
    }
}

#[tokio::test]
async fn without_namespaces_the_shim_starts_the_server_on_its_own_address() {
    let world = World::new(types::limits::Limits::default());
    let mut version = world.version("own", &[("app.py", "")]);
    version.settings.server = Some(Server::Own);
    version.handler = "app.app".to_owned();
    let mut identity = Identity::new(&version, jiff::Timestamp::UNIX_EPOCH);
    identity.address = Some(Ipv4Addr::new(127, 0, 0, 2));
    identity.port = Some(4711);
    let composition = composer(Isolation::Process).compose(&version, &identity, Purpose::Instance).unwrap();
    let app = version.code.join("app.py").display().to_string();
    let bootstrap = "/data/runtime/1/python/bootstrap.py";
    assert_eq!(composition.spec.process.argv, ["/usr/bin/python3.11", "-s", bootstrap, "--run", &app]);
    assert_eq!(value(&composition, "LAMBENT_BIND_ADDRESS"), Some("127.0.0.2"));
    assert_eq!(value(&composition, "PORT"), Some("4711"));
    assert!(composition.frames && composition.spec.mounts.is_empty());
}

#[tokio::test]
async fn a_missing_bootstrap_and_a_missing_interpreter_are_named() {
    let provided = Version { runtime: Runtime::Provided, ..testing::version("hello") };
    assert!(compose(&provided, Isolation::Namespaces).unwrap_err().message.contains("`bootstrap`"));
    let python = Version { runtime: Runtime::Python { minor: 13 }, ..testing::version("hello") };
    let error = compose(&python, Isolation::Namespaces).unwrap_err();
    assert!(error.message.contains("python3.13") && error.suggestion.contains("python3.12"), "{error:?}");
}

fn target(mount: &sandbox::spec::Mount) -> &Path {
    use sandbox::spec::Mount;
    match mount {
        Mount::ReadOnly { target, .. }
        | Mount::Link { target, .. }
        | Mount::Directory { target }
        | Mount::File { target, .. } => target,
    }
}
