//! What a program finds in its environment: what Lambda sets, what our protocols need, then the user's
//! own variables (which may not have Lambda's reserved names: that is checked where they are set).

use std::net::SocketAddrV4;

use types::arn::DEFAULT_REGION;
use types::function::Version;

use super::program::{Entry, Language, Protocol};
use super::{DEFAULT_PORT, Identity, Layout, Purpose};

/// The descriptor of the native frames, as `sandbox` hands it down.
const FRAMES_DESCRIPTOR: &str = "3";
/// The descriptor of an ember's control socket, as `sandbox` hands it down.
const EMBER_DESCRIPTOR: &str = "4";
/// Memory from which on a program has two processors.
const TWO_PROCESSORS_MIB: u32 = 2 * 1769;

/// Everything an environment is made from.
pub(super) struct Inputs<'a> {
    pub version: &'a Version,
    pub identity: &'a Identity,
    pub entry: &'a Entry,
    pub layout: &'a Layout<'a>,
    pub port: u16,
    pub runtime_api: SocketAddrV4,
    pub purpose: Purpose,
}

/// The port an own server is asked to listen on: the user's, else the instance's, else the default.
pub(super) fn port(version: &Version, identity: &Identity) -> u16 {
    let users = version.environment.get("PORT").and_then(|port| port.parse().ok());
    users.or(identity.port).unwrap_or(DEFAULT_PORT)
}

/// The whole environment; each name once.
pub(super) fn compose(inputs: &Inputs<'_>) -> Vec<(String, String)> {
    let mut environment = lambda(inputs);
    environment.extend(language(inputs));
    environment.extend(protocol(inputs));
    let mut all: Vec<(String, String)> =
        environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let users = &inputs.version.environment;
    all.retain(|(name, _)| !users.contains_key(name));
    all.extend(users.iter().map(|(name, value)| (name.clone(), value.clone())));
    all
}

fn lambda(inputs: &Inputs<'_>) -> Vec<(&'static str, String)> {
    let version = inputs.version;
    let task = inputs.layout.task.display();
    let mut path = String::from("/usr/local/bin:/usr/bin:/bin:/opt/bin");
    if let Some(interpreter) = &inputs.entry.interpreter
        && let Some(directory) = interpreter.program.parent()
    {
        path = format!("{}:{path}", directory.display());
    }
    vec![
        ("AWS_LAMBDA_FUNCTION_NAME", version.name.clone()),
        ("AWS_LAMBDA_FUNCTION_VERSION", version.version.clone()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", version.memory_mib.to_string()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", version.name)),
        ("AWS_LAMBDA_LOG_STREAM_NAME", inputs.identity.stream.clone()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", initialization(version).to_owned()),
        ("AWS_REGION", DEFAULT_REGION.to_owned()),
        ("AWS_DEFAULT_REGION", DEFAULT_REGION.to_owned()),
        ("AWS_EXECUTION_ENV", format!("AWS_Lambda_{}", version.runtime)),
        ("LAMBDA_TASK_ROOT", task.to_string()),
        ("LAMBDA_RUNTIME_DIR", inputs.layout.runtime.display().to_string()),
        ("_HANDLER", version.handler.clone()),
        ("TZ", ":UTC".to_owned()),
        ("LANG", "en_US.UTF-8".to_owned()),
        ("PATH", path),
        ("LD_LIBRARY_PATH", format!("{task}:{task}/lib:/opt/lib")),
        ("HOME", "/tmp".to_owned()),
    ]
}

/// How the version's init is said to come about.
fn initialization(version: &Version) -> &'static str {
    if version.snap_start { "snap-start" } else { "on-demand" }
}

fn language(inputs: &Inputs<'_>) -> Vec<(&'static str, String)> {
    let task = inputs.layout.task.display();
    let own = inputs.entry.protocol == Protocol::Own;
    let mut variables = match inputs.entry.language {
        // The code lies there read-only, so there is no use in trying to write byte code.
        Language::Python { .. } if own => vec![
            ("PYTHONPATH", task.to_string()),
            ("PYTHONUNBUFFERED", "1".to_owned()),
            ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
        ],
        Language::Python { .. } => vec![("PYTHONDONTWRITEBYTECODE", "1".to_owned())],
        Language::Node { major } => {
            let places = format!("/opt/nodejs/node{major}/node_modules:/opt/nodejs/node_modules");
            vec![("NODE_PATH", format!("{places}:{task}/node_modules"))]
        }
        Language::Other => Vec::new(),
    };
    let python = matches!(inputs.entry.language, Language::Python { .. });
    if python && inputs.version.memory_mib < TWO_PROCESSORS_MIB {
        // Libraries for arithmetic start a thread for each of the host's processors, of which there is one here;
        // and a process that has threads is never forked.
        let names = ["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"];
        variables.extend(names.map(|name| (name, "1".to_owned())));
    }
    variables
}

fn protocol(inputs: &Inputs<'_>) -> Vec<(&'static str, String)> {
    let mut environment = Vec::new();
    if inputs.entry.frames {
        environment.push(("LAMBENT_FRAMES_FD", FRAMES_DESCRIPTOR.to_owned()));
    }
    if inputs.purpose == Purpose::Ember {
        environment.push(("LAMBENT_EMBER_FD", EMBER_DESCRIPTOR.to_owned()));
    }
    match inputs.entry.protocol {
        Protocol::Own => environment.push(("PORT", inputs.port.to_string())),
        Protocol::RuntimeApi => {
            environment.push(("AWS_LAMBDA_RUNTIME_API", inputs.runtime_api.to_string()));
        }
        Protocol::Frames => {}
    }
    if let Some(address) = inputs.identity.address {
        environment.push(("LAMBENT_BIND_ADDRESS", address.to_string()));
    }
    environment
}
