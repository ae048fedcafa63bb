//! Provisioned concurrency: so many instances of a version, or of the version an alias leads to, are kept ready.
//!
//! What is asked for is durable; whether it is there the worker says when somebody asks.

use aws::{Members, Request, Response, Violations, respond};
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use types::arn::LATEST;
use types::invocation::Provided;

use crate::entry::{Draft, Entry};
use crate::error::Error;
use crate::names::{Shape, Target, is_version, qualified_arn};
use crate::operations::{account, aliases, updates};
use crate::paging::Page;
use crate::records::{Function, Provisioned};
use crate::service::Service;

/// The largest `MaxItems` of the list.
const LONGEST: i64 = 50;

/// Asks for it.
pub async fn put(service: &Service, request: Request) -> Result<Response, Error> {
    let (target, qualifier) = named(&request)?;
    let mut members = Members::parse("PutProvisionedConcurrencyConfig", request.body).await?;
    let wanted = members.integer("ProvisionedConcurrentExecutions")?;
    members.finish();
    let mut check = Violations::new();
    check.required("provisionedConcurrentExecutions", wanted.as_ref());
    if let Some(wanted) = wanted {
        check.range("provisionedConcurrentExecutions", wanted, 1..=i64::from(u32::MAX));
    }
    check.finish()?;
    let wanted = u32::try_from(wanted.unwrap_or_default()).unwrap_or(u32::MAX);
    if qualifier == LATEST {
        return Err(unpublished());
    }
    let entry = service.catalogue.get(&target.name).ok_or_else(|| missing(&target.name, &qualifier))?;
    version_of(&entry.function, entry.versions.contains_key(&number(&qualifier)), &qualifier)?;
    if entry.function.aliases.get(&qualifier).is_some_and(|alias| alias.version == LATEST) {
        return Err(unpublished());
    }
    check_overlap(&entry.function, &qualifier)?;
    check_room(service, &entry.function, &qualifier, wanted)?;
    let edit = |draft: &mut Draft| {
        let there = draft.versions.contains_key(&number(&qualifier));
        version_of(&draft.function, there, &qualifier)?;
        let provisioned = Provisioned { executions: wanted, last_modified: Timestamp::now() };
        draft.function.provisioned.insert(qualifier.clone(), provisioned.clone());
        Ok(provisioned)
    };
    let gone = || missing(&target.name, &qualifier);
    let (provisioned, _) = service.catalogue.change(&target.name, gone, edit).await?;
    // Nothing of it can be there yet.
    let shown = shown(&provisioned, &Provided::default());
    Ok(respond::json(StatusCode::ACCEPTED, &Value::from(shown)))
}

/// Shows what was asked for and what of it is there.
pub fn get(service: &Service, request: &Request) -> Result<Response, Error> {
    let (entry, qualifier) = found(service, request)?;
    let provisioned = entry.function.provisioned.get(&qualifier).ok_or(Error::NotProvisioned)?;
    let shown = shown(provisioned, &provided(service, &entry, &qualifier));
    Ok(respond::json(StatusCode::OK, &Value::from(shown)))
}

/// Shows all of a function's.
pub fn list(service: &Service, request: &Request) -> Result<Response, Error> {
    let page = Page::of(request, LONGEST)?;
    let target = updates::edited(request)?;
    let entry = service.catalogue.get(&target.name).ok_or_else(|| target.not_found())?;
    let items = entry.function.provisioned.iter().map(|(qualifier, provisioned)| {
        let mut shown = shown(provisioned, &provided(service, &entry, qualifier));
        shown.insert("FunctionArn".to_owned(), json!(qualified_arn(&target.name, qualifier)));
        (qualifier.clone(), Value::from(shown))
    });
    Ok(respond::json(StatusCode::OK, &page.answer("ProvisionedConcurrencyConfigs", items)))
}

/// Asks for nothing any more; that nothing was asked for is no error.
pub async fn delete(service: &Service, request: &Request) -> Result<Response, Error> {
    let (entry, qualifier) = found(service, request)?;
    let name = entry.function.name.clone();
    let edit = |draft: &mut Draft| {
        draft.function.provisioned.remove(&qualifier);
        Ok(())
    };
    service.catalogue.change(&name, || missing(&name, &qualifier), edit).await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

/// Executions that are provisioned for all versions and aliases of a function.
#[must_use]
pub fn total(function: &Function) -> u64 {
    function.provisioned.values().map(|provisioned| u64::from(provisioned.executions)).sum()
}

fn shown(provisioned: &Provisioned, provided: &Provided) -> Map<String, Value> {
    let ready = provided.ready.min(provisioned.executions);
    let (status, reason) = match provided.failed {
        _ if ready >= provisioned.executions => ("READY", None),
        true => ("FAILED", Some("FUNCTION_ERROR_INIT_FAILURE")),
        false => ("IN_PROGRESS", None),
    };
    let mut shown = Map::new();
    shown.insert("RequestedProvisionedConcurrentExecutions".to_owned(), json!(provisioned.executions));
    shown.insert("AvailableProvisionedConcurrentExecutions".to_owned(), json!(ready));
    shown.insert("AllocatedProvisionedConcurrentExecutions".to_owned(), json!(ready));
    shown.insert("Status".to_owned(), json!(status));
    if let Some(reason) = reason {
        shown.insert("StatusReason".to_owned(), json!(reason));
    }
    let time = provisioned.last_modified.strftime("%Y-%m-%dT%H:%M:%S+0000").to_string();
    shown.insert("LastModified".to_owned(), json!(time));
    shown
}

/// What the worker has of it.
fn provided(service: &Service, entry: &Entry, qualifier: &str) -> Provided {
    let alias = entry.function.aliases.get(qualifier);
    let version = alias.map_or(qualifier, |alias| alias.version.as_str());
    let routes = service.catalogue.routes().load();
    let function = routes.functions.get(&entry.function.name);
    match function.and_then(|function| function.versions.get(version)) {
        Some(version) => service.dispatch.provided(version),
        None => Provided::default(),
    }
}

/// The function and the qualifier of a request, which are there.
fn found(service: &Service, request: &Request) -> Result<(std::sync::Arc<Entry>, String), Error> {
    let (target, qualifier) = named(request)?;
    if qualifier == LATEST {
        let text = "The function resource provided must be an alias or a published version.";
        return Err(Error::InvalidParameter(text.to_owned()));
    }
    let entry = service.catalogue.get(&target.name).ok_or_else(|| missing(&target.name, &qualifier))?;
    version_of(&entry.function, entry.versions.contains_key(&number(&qualifier)), &qualifier)?;
    Ok((entry, qualifier))
}

fn named(request: &Request) -> Result<(Target, String), Error> {
    let target = Target::parse(request.label("FunctionName"), request.query("Qualifier"), Shape::Strict)?;
    let mut check = Violations::new();
    check.required("qualifier", target.qualifier.as_ref());
    check.finish()?;
    let qualifier = target.qualifier.clone().unwrap_or_default();
    Ok((target, qualifier))
}

/// The version that a qualifier leads to; `there`: whether it is the number of one that exists.
fn version_of(function: &Function, there: bool, qualifier: &str) -> Result<(), Error> {
    let exists = if is_version(qualifier) { there } else { function.aliases.contains_key(qualifier) };
    if exists { Ok(()) } else { Err(missing(&function.name, qualifier)) }
}

fn missing(function: &str, qualifier: &str) -> Error {
    if is_version(qualifier) {
        return Error::NotFound(format!("Function not found: {}", qualified_arn(function, qualifier)));
    }
    aliases::cannot_find(function, qualifier)
}

/// A version is provisioned by its number or by an alias, not by both.
fn check_overlap(function: &Function, qualifier: &str) -> Result<(), Error> {
    let text = match function.aliases.get(qualifier) {
        Some(alias) if function.provisioned.contains_key(&alias.version) => {
            "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"
        }
        None if function
            .provisioned
            .keys()
            .any(|other| function.aliases.get(other).is_some_and(|alias| alias.version == qualifier)) =>
        {
            "Version is pointed by a Provisioned Concurrency alias"
        }
        _ => return Ok(()),
    };
    Err(Error::InvalidParameter(text.to_owned()))
}

fn check_room(service: &Service, function: &Function, qualifier: &str, wanted: u32) -> Result<(), Error> {
    let before = function.provisioned.get(qualifier).map_or(0, |before| u64::from(before.executions));
    let others = total(function) - before;
    match function.reserved_concurrency {
        Some(reserved) if others + u64::from(wanted) > u64::from(reserved) => Err(Error::InvalidParameter(
            "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution \
                 for function"
                .to_owned(),
        )),
        Some(_) => Ok(()),
        None => account::check_provisioned(service, &function.name, others + u64::from(wanted)),
    }
}

fn unpublished() -> Error {
    let text = "Provisioned Concurrency Configs cannot be applied to unpublished function versions.";
    Error::InvalidParameter(text.to_owned())
}

fn number(qualifier: &str) -> u64 {
    qualifier.parse().unwrap_or_default()
}
