//! Aliases: names for versions that can be moved. An alias leads to one version; weights are refused.

use aws::{Members, Request, Response, Violations, respond};
use http::StatusCode;
use types::arn::LATEST;

use crate::entry::Draft;
use crate::error::Error;
use crate::names::{Shape, Target, is_name, is_version, qualified_arn};
use crate::operations::updates;
use crate::records::{Alias, revision_id};
use crate::service::Service;
use crate::{unsupported, view};

const NAME: &str = "(?!^[0-9]+$)([a-zA-Z0-9-_]+)";
const VERSION: &str = r"(\$LATEST(\.PUBLISHED)?|[0-9]+)";

/// Makes an alias.
pub async fn create(service: &Service, request: Request) -> Result<Response, Error> {
    let function = updates::edited(&request)?;
    let mut members = Members::parse("CreateAlias", request.body).await?;
    let (name, version) = (members.text("Name")?, members.text("FunctionVersion")?);
    let description = members.text("Description")?.unwrap_or_default();
    let mut check = Violations::new();
    check.required("name", name.as_ref());
    check.required("functionVersion", version.as_ref());
    let (name, version) = (name.unwrap_or_default(), version.unwrap_or_default());
    check_name(&name, &mut check);
    check_members(Some(&version), Some(&description), &mut check);
    check.finish()?;
    unsupported::check_weights(members.value("RoutingConfig"))?;
    members.finish();
    let missing = missing_version(&function.name, &version);
    let edit = |draft: &mut Draft| {
        if draft.function.aliases.contains_key(&name) {
            let arn = qualified_arn(&draft.function.name, &name);
            return Err(Error::Conflict(format!("Alias already exists: {arn}")));
        }
        check_version(draft, &version)?;
        let alias = Alias { version, description, revision_id: revision_id() };
        draft.function.aliases.insert(name.clone(), alias.clone());
        Ok(alias)
    };
    let (alias, _) = service.catalogue.change(&function.name, || missing, edit).await?;
    Ok(respond::json(StatusCode::CREATED, &view::alias(&function.name, &name, &alias)))
}

/// Shows an alias.
pub fn get(service: &Service, request: &Request) -> Result<Response, Error> {
    let (function, name) = named(request)?;
    let entry = service.catalogue.get(&function.name).ok_or_else(|| function.not_found())?;
    let alias = entry.function.aliases.get(&name).ok_or_else(|| cannot_find(&function.name, &name))?;
    Ok(respond::json(StatusCode::OK, &view::alias(&function.name, &name, alias)))
}

/// Moves or describes an alias. Requests go to the new version from the next one on.
pub async fn update(service: &Service, request: Request) -> Result<Response, Error> {
    let (function, name) = named(&request)?;
    let mut members = Members::parse("UpdateAlias", request.body).await?;
    let (version, description) = (members.text("FunctionVersion")?, members.text("Description")?);
    let expected = members.text("RevisionId")?;
    let mut check = Violations::new();
    check_members(version.as_deref(), description.as_deref(), &mut check);
    check.finish()?;
    unsupported::check_weights(members.value("RoutingConfig"))?;
    members.finish();
    let missing = || Error::NotFound(format!("Alias not found: {}", qualified_arn(&function.name, &name)));
    let edit = |draft: &mut Draft| {
        let before = draft.function.aliases.get(&name).cloned().ok_or_else(missing)?;
        updates::check_revision(expected.as_deref(), &before.revision_id)?;
        if let Some(version) = &version {
            check_version(draft, version)?;
        }
        let alias = Alias {
            version: version.unwrap_or(before.version),
            description: description.unwrap_or(before.description),
            revision_id: revision_id(),
        };
        draft.function.aliases.insert(name.clone(), alias.clone());
        Ok(alias)
    };
    let (alias, _) = service.catalogue.change(&function.name, || function.not_found(), edit).await?;
    Ok(respond::json(StatusCode::OK, &view::alias(&function.name, &name, &alias)))
}

/// Removes an alias; that there is none is no error. Its URL stays and leads nowhere, as with AWS.
pub async fn delete(service: &Service, request: &Request) -> Result<Response, Error> {
    let (function, name) = named(request)?;
    let edit = |draft: &mut Draft| {
        draft.function.aliases.remove(&name);
        draft.function.policies.remove(&name);
        draft.function.provisioned.remove(&name);
        Ok(())
    };
    service.catalogue.change(&function.name, || function.not_found(), edit).await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

/// Checks that an alias may lead to `version`.
pub fn check_version(draft: &Draft, version: &str) -> Result<(), Error> {
    let there =
        version == LATEST || version.parse().is_ok_and(|number: u64| draft.versions.contains_key(&number));
    if there { Ok(()) } else { Err(missing_version(&draft.function.name, version)) }
}

fn missing_version(function: &str, version: &str) -> Error {
    Error::NotFound(format!("Function not found: {}", qualified_arn(function, version)))
}

/// The error for an alias that is not there, where it is read.
pub fn cannot_find(function: &str, name: &str) -> Error {
    Error::NotFound(format!("Cannot find alias arn: {}", qualified_arn(function, name)))
}

fn named(request: &Request) -> Result<(Target, String), Error> {
    let function = Target::parse(request.label("FunctionName"), None, Shape::Strict)?.whole_function()?;
    let name = request.label("Name").to_owned();
    let mut check = Violations::new();
    check_name(&name, &mut check);
    check.finish()?;
    Ok((function, name))
}

fn check_name(name: &str, check: &mut Violations) {
    check.length("name", name, 1..=128);
    check.pattern("name", name, NAME, is_name(name) && !is_version(name));
}

fn check_members(version: Option<&str>, description: Option<&str>, check: &mut Violations) {
    if let Some(version) = version {
        check.pattern("functionVersion", version, VERSION, version == LATEST || is_version(version));
    }
    if let Some(description) = description {
        check.length("description", description, 0..=256);
    }
}
