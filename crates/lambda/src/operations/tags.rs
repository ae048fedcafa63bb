//! Tags of functions. Those that begin with `lambent:` are settings and checked as such.

use std::collections::BTreeMap;

use aws::{Members, Request, Response, Violations, respond};
use http::StatusCode;
use serde_json::json;
use types::settings::Settings;

use crate::entry::Draft;
use crate::error::Error;
use crate::names::{Shape, Target};
use crate::service::Service;

/// The most tags a function may have.
const LIMIT: usize = 50;

const RESOURCE: &str = r"arn:(aws[a-zA-Z-]*):lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:(function:[a-zA-Z0-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?|layer:([a-zA-Z0-9-_]+)|code-signing-config:csc-[a-z0-9]{17}|event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|capacity-provider:[a-zA-Z0-9-_]+)";

/// Adds tags, or gives them new values.
pub async fn tag(service: &Service, request: Request) -> Result<Response, Error> {
    let target = tagged(&request)?;
    let mut members = Members::parse("TagResource", request.body).await?;
    let tags = members.text_map("Tags")?;
    members.finish();
    let mut violations = Violations::new();
    violations.required("tags", tags.as_ref());
    violations.finish()?;
    let tags = tags.unwrap_or_default();
    if tags.is_empty() {
        let text = "An error occurred and the request cannot be processed.";
        return Err(Error::InvalidParameter(text.to_owned()));
    }
    let edit = |draft: &mut Draft| {
        draft.function.tags.extend(tags);
        check(&draft.function.tags)
    };
    service.catalogue.change(&target.name, || target.not_found(), edit).await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

/// Removes tags; those that are not there are no error.
pub async fn untag(service: &Service, request: &Request) -> Result<Response, Error> {
    let target = tagged(request)?;
    let keys: Vec<&str> = request.query_all("tagKeys").collect();
    if keys.is_empty() {
        let mut violations = Violations::new();
        violations.missing("tagKeys");
        violations.finish()?;
    }
    let edit = |draft: &mut Draft| {
        draft.function.tags.retain(|key, _| !keys.contains(&key.as_str()));
        Ok(())
    };
    service.catalogue.change(&target.name, || target.not_found(), edit).await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

/// Shows a function's tags.
pub fn list(service: &Service, request: &Request) -> Result<Response, Error> {
    let target = tagged(request)?;
    let entry = service.catalogue.get(&target.name).ok_or_else(|| target.not_found())?;
    Ok(respond::json(StatusCode::OK, &json!({"Tags": entry.function.tags})))
}

/// Checks all the tags a function is about to have.
pub fn check(tags: &BTreeMap<String, String>) -> Result<(), Error> {
    if tags.len() > LIMIT {
        return Err(Error::InvalidParameter("Number of tags exceeds resource tag limit.".to_owned()));
    }
    for (key, value) in tags {
        if key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256 {
            return Err(Error::InvalidParameter(format!(
                "tag `{key}` is too long: a key has 1 to 128 characters, a value at most 256"
            )));
        }
        if key.starts_with("aws:") {
            return Err(Error::InvalidParameter(format!(
                "tag `{key}` is reserved: do not begin keys with aws:"
            )));
        }
    }
    match Settings::from_tags(tags) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::InvalidParameter(error.to_string())),
    }
}

/// The function a resource's ARN names.
fn tagged(request: &Request) -> Result<Target, Error> {
    let arn = request.label("Resource");
    let parts: Vec<&str> = arn.splitn(7, ':').collect();
    let function = match parts.as_slice() {
        ["arn", _, "lambda", _, _, "function", _] => Target::parse(arn, None, Shape::Namespaced).ok(),
        ["arn", _, "lambda", _, _, kind, rest] if !rest.contains(':') => {
            return Err(other_resource(arn, kind));
        }
        _ => None,
    };
    let Some(target) = function else { return Err(malformed(arn)) };
    if target.qualifier.is_some() {
        return Err(Error::InvalidParameter(
            "Tags on function aliases and versions are not supported. Please specify a function ARN."
                .to_owned(),
        ));
    }
    Ok(target)
}

/// The error for a resource of a kind that there are none of.
fn other_resource(arn: &str, kind: &str) -> Error {
    let kind = match kind {
        "event-source-mapping" => "Event source mapping",
        "capacity-provider" => "Capacity provider",
        "code-signing-config" => "Code signing configuration",
        "layer" => "Layer",
        _ => return malformed(arn),
    };
    Error::NotFound(format!("{kind} not found: {arn}"))
}

fn malformed(arn: &str) -> Error {
    let mut violations = Violations::new();
    violations.pattern("resource", arn, RESOURCE, false);
    violations.finish().map_or_else(Error::from, |()| Error::Validation(arn.to_owned()))
}
