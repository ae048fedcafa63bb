//! Members of the model that Lambent does not do, each refused by name.
//!
//! A member that says nothing (`VpcConfig` without subnets, an empty list of layers) asks for nothing and
//! is taken: clients and templates send such defaults.

use aws::{Members, members::says_nothing};
use serde_json::Value;

use crate::error::Error;

/// Members of `CreateFunction` and the updates, with what to do instead.
const MEMBERS: &[(&str, &str)] = &[
    ("VpcConfig", "leave it out, functions share the host's network rules"),
    ("Layers", "put the layer's files into the zip"),
    ("FileSystemConfigs", "leave it out, there are no file systems to mount"),
    ("DeadLetterConfig", "leave it out, asynchronous invocation is not there yet"),
    ("KMSKeyArn", "leave it out, environment variables are not encrypted with a key of yours"),
    ("SourceKMSKeyArn", "leave it out, code is not encrypted with a key of yours"),
    ("CodeSigningConfigArn", "leave it out, code signatures are not checked"),
    ("ImageConfig", "deploy a zip, images are not run yet"),
    ("TenancyConfig", "leave it out"),
    ("CapacityProviderConfig", "leave it out"),
    ("DurableConfig", "leave it out, durable executions are not there"),
    ("RuntimeConfig", "leave it out"),
    ("AcceleratorConfig", "leave it out"),
    ("PublishTo", "use Publish to make a numbered version"),
    ("S3ObjectStorageMode", "send the code as ZipFile"),
];

/// Refuses what is asked for and not there; takes the members that ask for nothing.
///
/// # Errors
/// [`Error::InvalidParameter`] that names the member.
pub fn check(members: &mut Members, function: Option<&str>) -> Result<(), Error> {
    for (member, advice) in MEMBERS {
        if members.value(member).is_some_and(|value| !says_nothing(&value)) {
            return Err(Error::unsupported_value(&format!("`{member}`"), advice));
        }
    }
    check_package(members)?;
    check_modes(members)?;
    check_logging(members, function)
}

/// Refuses `Architectures` other than the host's.
///
/// # Errors
/// [`Error::InvalidParameter`] that names the host's.
pub fn check_architectures(architectures: Option<&[String]>) -> Result<(), Error> {
    let host = host_architecture();
    match architectures {
        Some([one]) if one != host => Err(Error::unsupported_value(
            &format!("architecture `{one}`"),
            &format!("this host is {host}, build the code for it and send Architectures [{host}]"),
        )),
        _ => Ok(()),
    }
}

/// The host's architecture as AWS names it.
#[must_use]
pub fn host_architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" }
}

/// Refuses weights on an alias.
///
/// # Errors
/// [`Error::InvalidParameter`].
pub fn check_weights(routing: Option<Value>) -> Result<(), Error> {
    if routing.is_some_and(|value| !says_nothing(&value)) {
        return Err(Error::unsupported_value(
            "`RoutingConfig` with weights",
            "point the alias at one version (an alias is moved at once, without a failed request)",
        ));
    }
    Ok(())
}

fn check_package(members: &mut Members) -> Result<(), Error> {
    match members.text("PackageType")?.as_deref() {
        None | Some("Zip") => Ok(()),
        Some("Image") => Err(Error::unsupported_value("`PackageType` Image", "send the code as ZipFile")),
        Some(other) => Err(Error::Validation(format!(
            "1 validation error detected: Value '{other}' at 'packageType' failed to satisfy constraint: \
             Member must satisfy enum value set: [Zip, Image]"
        ))),
    }
}

fn check_modes(members: &mut Members) -> Result<(), Error> {
    let modes = [("TracingConfig", "Mode", "PassThrough", "Active", "tracingConfig.mode")];
    for (member, inner, harmless, asks, path) in modes {
        let Some(mut object) = members.object(member)? else { continue };
        match object.text(inner)? {
            Some(mode) if mode == asks => {
                let advice = format!("leave `{member}` out or send {harmless}");
                return Err(Error::unsupported_value(&format!("`{member}` {mode}"), &advice));
            }
            Some(mode) if mode != harmless => {
                return Err(Error::Validation(format!(
                    "1 validation error detected: Value '{mode}' at '{path}' failed to satisfy constraint: \
                     Member must satisfy enum value set: [{asks}, {harmless}]"
                )));
            }
            _ => object.finish(),
        }
    }
    Ok(())
}

fn check_logging(members: &mut Members, function: Option<&str>) -> Result<(), Error> {
    let Some(mut logging) = members.object("LoggingConfig")? else { return Ok(()) };
    if let Some(format) = logging.text("LogFormat")?
        && format != "Text"
    {
        return Err(Error::unsupported_value(
            &format!("`LoggingConfig.LogFormat` {format}"),
            "send Text, lines are kept as the function writes them",
        ));
    }
    let group = logging.text("LogGroup")?;
    if let (Some(group), Some(function)) = (group, function)
        && group != format!("/aws/lambda/{function}")
    {
        return Err(Error::unsupported_value(
            "`LoggingConfig.LogGroup`",
            &format!("a function's log group is /aws/lambda/{function}"),
        ));
    }
    for level in ["ApplicationLogLevel", "SystemLogLevel"] {
        if logging.value(level).is_some_and(|value| !says_nothing(&value)) {
            return Err(Error::unsupported_value(&format!("`LoggingConfig.{level}`"), "leave it out"));
        }
    }
    logging.finish();
    Ok(())
}
