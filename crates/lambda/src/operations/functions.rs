//! `CreateFunction`, `GetFunction`, `GetFunctionConfiguration` and the download of code.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws::{Members, Request, Response, Violations, respond};
use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HOST, HeaderValue};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use types::body;

use crate::code;
use crate::configuration::Wanted;
use crate::entry::{Draft, Entry};
use crate::error::Error;
use crate::names::{Shape, Target};
use crate::operations::{routes, tags, versions};
use crate::records::{Code, Configuration, Function, revision_id};
use crate::service::Service;
use crate::unsupported;
use crate::view::Shown;

/// What AWS takes where a request says nothing.
const DEFAULT_TIMEOUT_SECONDS: u32 = 3;
const DEFAULT_MEMORY_MIB: u32 = 128;
const DEFAULT_TMP_MIB: u32 = 512;

/// Makes a function; it can be called when this answers.
pub async fn create(service: &Service, request: Request) -> Result<Response, Error> {
    let mut members = Members::parse("CreateFunction", request.body).await?;
    let limits = &service.options.limits;
    let mut check = Violations::new();
    let name = members.text("FunctionName")?;
    check.required("functionName", name.as_ref());
    let wanted = Wanted::take(&mut members, limits, &mut check)?;
    check.required("role", wanted.role.as_ref());
    let source = members.object("Code")?;
    check.required("code", source.as_ref());
    let architectures = members.texts("Architectures")?;
    if let Some(names) = &architectures {
        check_architectures(names, &mut check);
    }
    check.finish()?;
    let target = new_name(&name.unwrap_or_default())?;
    unsupported::check_architectures(architectures.as_deref())?;
    unsupported::check(&mut members, Some(&target.name))?;
    let tags = members.text_map("Tags")?.unwrap_or_default();
    tags::check(&tags)?;
    let publish = members.flag("Publish")?;
    members.finish();
    wanted.check(&service.options.runtimes)?;
    if wanted.runtime.is_none() || wanted.handler.is_none() {
        return Err(Error::InvalidParameter(
            "Runtime and Handler are mandatory parameters for functions created with deployment packages."
                .to_owned(),
        ));
    }
    if service.catalogue.get(&target.name).is_some() {
        // Found again under the function's turn; asked here so that a large zip is not kept for nothing.
        return Err(Error::Conflict(format!("Function already exist: {}", target.name)));
    }
    let mut source = source.unwrap_or_default();
    unsupported::check(&mut source, None)?;
    let code = code::take(&mut source, service.catalogue.artifacts(), limits).await?;
    source.finish();
    let mut draft =
        Draft { function: new_function(target.name, wanted, code, tags)?, versions: BTreeMap::new() };
    let version = publish.then(|| versions::add(&mut draft, None));
    let entry = service.catalogue.create(draft).await?;
    shown(&entry, version.map(|number| number.to_string()).as_deref(), StatusCode::CREATED)
}

/// Shows a version with its code's address, tags and concurrency.
pub fn get(service: &Service, request: &Request) -> Result<Response, Error> {
    let (target, entry) = find(service, request)?;
    let shown = Shown::of(&entry, target.qualifier.as_deref()).ok_or_else(|| target.not_found())?;
    let mut answer = Map::new();
    answer.insert("Configuration".to_owned(), shown.complete().into());
    let host = request.header(HOST.as_str()).unwrap_or("localhost:4566");
    let location = format!("http://{host}/_lambent/code/{}", shown.configuration().code.digest);
    answer.insert("Code".to_owned(), json!({"RepositoryType": "S3", "Location": location}));
    if !entry.function.tags.is_empty() {
        answer.insert("Tags".to_owned(), json!(entry.function.tags));
    }
    if let Some(reserved) = entry.function.reserved_concurrency {
        answer.insert("Concurrency".to_owned(), json!({"ReservedConcurrentExecutions": reserved}));
    }
    Ok(respond::json(StatusCode::OK, &Value::from(answer)))
}

/// Shows a version's configuration.
pub fn get_configuration(service: &Service, request: &Request) -> Result<Response, Error> {
    let (target, entry) = find(service, request)?;
    let shown = Shown::of(&entry, target.qualifier.as_deref()).ok_or_else(|| target.not_found())?;
    Ok(respond::json(StatusCode::OK, &Value::from(shown.complete())))
}

/// The zip that `Code.Location` leads to.
pub async fn get_code(service: &Service, request: &Request) -> Result<Response, Error> {
    debug_assert_eq!(request.operation, routes::GET_CODE);
    let artifacts = service.catalogue.artifacts();
    let zip: Bytes = match artifacts.zip(request.label("Digest")).await {
        Ok(zip) => zip,
        Err(error @ store::artifacts::Error::Unknown { .. }) => {
            return Err(Error::NotFound(error.to_string()));
        }
        Err(error) => return Err(code::from_artifact(&error)),
    };
    let mut response = http::Response::new(body::full(zip));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    Ok(response)
}

/// The function a read is about, with the qualifier it asks for.
pub fn find(service: &Service, request: &Request) -> Result<(Target, Arc<Entry>), Error> {
    let target = Target::parse(request.label("FunctionName"), request.query("Qualifier"), Shape::Namespaced)?;
    let entry = service.catalogue.get(&target.name).ok_or_else(|| target.not_found())?;
    Ok((target, entry))
}

/// A version's configuration as an answer.
pub fn shown(entry: &Entry, qualifier: Option<&str>, status: StatusCode) -> Result<Response, Error> {
    let shown = Shown::of(entry, qualifier)
        .ok_or_else(|| Error::Service("the version that was made is not there".to_owned()))?;
    Ok(respond::json(status, &Value::from(shown.complete())))
}

/// Checks `Architectures` against the model.
pub fn check_architectures(names: &[String], check: &mut Violations) {
    let shown = format!("[{}]", names.join(", "));
    if names.len() != 1 {
        check.constraint("architectures", &shown, "Member must have length less than or equal to 1");
    }
    if names.iter().any(|name| !matches!(name.as_str(), "x86_64" | "arm64")) {
        check.constraint(
            "architectures",
            &shown,
            "Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64], Member \
             must not be null]",
        );
    }
}

fn new_name(text: &str) -> Result<Target, Error> {
    let target = Target::parse(text, None, Shape::Strict)?.whole_function()?;
    if target.name.len() > types::arn::MAX_NAME {
        return Err(Error::InvalidParameter(format!(
            "1 validation error detected: Value '{}' at 'functionName' failed to satisfy constraint: Member \
             must have length less than or equal to {}",
            target.name,
            types::arn::MAX_NAME
        )));
    }
    Ok(target)
}

fn new_function(
    name: String,
    wanted: Wanted,
    code: Code,
    tags: BTreeMap<String, String>,
) -> Result<Function, Error> {
    let mut latest = Configuration {
        runtime: String::new(),
        handler: String::new(),
        role: String::new(),
        description: String::new(),
        timeout_seconds: DEFAULT_TIMEOUT_SECONDS,
        memory_mib: DEFAULT_MEMORY_MIB,
        tmp_mib: DEFAULT_TMP_MIB,
        environment: None,
        snap_start: false,
        code,
        last_modified: Timestamp::now(),
        revision_id: revision_id(),
    };
    wanted.apply(&mut latest)?;
    Ok(Function {
        name,
        latest,
        next_version: 1,
        aliases: BTreeMap::new(),
        urls: BTreeMap::new(),
        policies: BTreeMap::new(),
        tags,
        reserved_concurrency: None,
        provisioned: BTreeMap::new(),
    })
}
