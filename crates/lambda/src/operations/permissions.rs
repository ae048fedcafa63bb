//! Resource policies: who else may call a function. Kept and shown; nobody is turned away by them yet,
//! because callers are not authenticated yet.

use std::sync::Arc;

use aws::{Members, Request, Response, Violations, respond};
use http::StatusCode;
use serde_json::{Map, Value, json};
use types::arn::LATEST;

use crate::entry::Draft;
use crate::error::Error;
use crate::names::{Shape, Target, is_name, is_version, qualified_arn};
use crate::operations::{aliases, updates};
use crate::records::{Statement, revision_id};
use crate::service::Service;

const STATEMENT: &str = "([a-zA-Z0-9-_]+)";
const ACTION: &str = "(lambda:[*]|lambda:[a-zA-Z]+|[*])";

/// Adds a statement.
pub async fn add(service: &Service, request: Request) -> Result<Response, Error> {
    let target = named(&request)?;
    let mut members = Members::parse("AddPermission", request.body).await?;
    let (id, action) = (members.text("StatementId")?, members.text("Action")?);
    let principal = members.text("Principal")?;
    let mut check = Violations::new();
    check.required("statementId", id.as_ref());
    check.required("action", action.as_ref());
    check.required("principal", principal.as_ref());
    let (id, action) = (id.unwrap_or_default(), action.unwrap_or_default());
    check.length("statementId", &id, 1..=100);
    check.pattern("statementId", &id, STATEMENT, is_name(&id));
    check.pattern("action", &action, ACTION, is_action(&action));
    check.finish()?;
    let expected = members.text("RevisionId")?;
    let condition = condition(&mut members)?;
    members.finish();
    let principal = principal_of(&principal.unwrap_or_default())?;
    let document = document(&target, &id, &action, principal, condition);
    let edit = |draft: &mut Draft| {
        exists(draft, &target)?;
        updates::check_revision(expected.as_deref(), revision(draft, &target))?;
        let key = target.qualifier.clone().unwrap_or_default();
        let statements = draft.function.policies.entry(key).or_default();
        if statements.iter().any(|statement| statement.id == id) {
            return Err(Error::Conflict(format!(
                "The statement id ({id}) provided already exists. Please provide a new statement id, or remove \
                 the existing statement."
            )));
        }
        statements.push(Statement { id, document: document.clone() });
        revise(draft, &target);
        Ok(())
    };
    service.catalogue.change(&target.name, || target.not_found(), edit).await?;
    Ok(respond::json(StatusCode::CREATED, &json!({"Statement": document.to_string()})))
}

/// Shows the policy of a function, a version or an alias.
pub fn get(service: &Service, request: &Request) -> Result<Response, Error> {
    let target = named(request)?;
    let none = || Error::NotFound("The resource you requested does not exist.".to_owned());
    let entry = service.catalogue.get(&target.name).ok_or_else(none)?;
    let key = target.qualifier.as_deref().unwrap_or_default();
    let statements = entry.function.policies.get(key).filter(|list| !list.is_empty()).ok_or_else(none)?;
    let documents: Vec<&Value> = statements.iter().map(|statement| &statement.document).collect();
    let policy = json!({"Version": "2012-10-17", "Id": "default", "Statement": documents});
    let draft = entry.draft();
    let answer = json!({"Policy": policy.to_string(), "RevisionId": revision(&draft, &target)});
    Ok(respond::json(StatusCode::OK, &answer))
}

/// Removes a statement.
pub async fn remove(service: &Service, request: &Request) -> Result<Response, Error> {
    let target = named(request)?;
    let id = request.label("StatementId");
    let expected = request.query("RevisionId");
    let missing = || Error::NotFound(format!("No policy found for: {}", target.arn()));
    let edit = |draft: &mut Draft| {
        exists(draft, &target)?;
        let key = target.qualifier.clone().unwrap_or_default();
        let none = || Error::NotFound("No policy is associated with the given resource.".to_owned());
        let statements =
            draft.function.policies.get(&key).filter(|list| !list.is_empty()).ok_or_else(none)?;
        if !statements.iter().any(|statement| statement.id == id) {
            return Err(Error::NotFound(format!("Statement {id} is not found in resource policy.")));
        }
        updates::check_revision(expected, revision(draft, &target))?;
        if let Some(statements) = draft.function.policies.get_mut(&key) {
            statements.retain(|statement| statement.id != id);
        }
        revise(draft, &target);
        Ok(())
    };
    service.catalogue.change(&target.name, missing, edit).await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

fn named(request: &Request) -> Result<Target, Error> {
    let target = Target::parse(request.label("FunctionName"), request.query("Qualifier"), Shape::Namespaced)?;
    if target.qualifier.as_deref() == Some(LATEST) {
        let text = "We currently do not support adding policies for $LATEST.";
        return Err(Error::InvalidParameter(text.to_owned()));
    }
    Ok(target)
}

/// Checks that what the policy is attached to is there.
fn exists(draft: &Draft, target: &Target) -> Result<(), Error> {
    match target.qualifier.as_deref() {
        None => Ok(()),
        Some(number) if is_version(number) => aliases::check_version(draft, number),
        Some(alias) if draft.function.aliases.contains_key(alias) => Ok(()),
        // AWS spells an alias that could be one differently from a text that could not.
        Some(alias) if is_name(alias) => Err(aliases::cannot_find(&target.name, alias)),
        Some(other) => {
            Err(Error::NotFound(format!("Function not found: {}", qualified_arn(&target.name, other))))
        }
    }
}

/// The revision of what the policy is attached to.
fn revision<'a>(draft: &'a Draft, target: &Target) -> &'a str {
    let function = &draft.function;
    let Some(qualifier) = target.qualifier.as_deref() else { return &function.latest.revision_id };
    let alias = function.aliases.get(qualifier).map(|alias| alias.revision_id.as_str());
    let version = || {
        draft.versions.get(&qualifier.parse().ok()?).map(|version| version.configuration.revision_id.as_str())
    };
    alias.or_else(version).unwrap_or_default()
}

fn revise(draft: &mut Draft, target: &Target) {
    let Some(qualifier) = target.qualifier.as_deref() else {
        draft.function.latest.revision_id = revision_id();
        return;
    };
    if let Some(alias) = draft.function.aliases.get_mut(qualifier) {
        alias.revision_id = revision_id();
    } else if let Some(version) =
        qualifier.parse().ok().and_then(|number: u64| draft.versions.get_mut(&number))
    {
        let mut revised = version.as_ref().clone();
        revised.configuration.revision_id = revision_id();
        *version = Arc::new(revised);
    }
}

fn document(
    target: &Target,
    id: &str,
    action: &str,
    principal: Value,
    condition: Map<String, Value>,
) -> Value {
    let mut document = Map::new();
    document.insert("Sid".to_owned(), id.into());
    document.insert("Effect".to_owned(), "Allow".into());
    document.insert("Principal".to_owned(), principal);
    document.insert("Action".to_owned(), action.into());
    document.insert("Resource".to_owned(), target.arn().into());
    if !condition.is_empty() {
        document.insert("Condition".to_owned(), condition.into());
    }
    document.into()
}

/// The conditions a request's members stand for.
fn condition(members: &mut Members) -> Result<Map<String, Value>, Error> {
    let mut equals = Map::new();
    for (member, key) in [
        ("FunctionUrlAuthType", "lambda:FunctionUrlAuthType"),
        ("SourceAccount", "AWS:SourceAccount"),
        ("EventSourceToken", "lambda:EventSourceToken"),
        ("PrincipalOrgID", "aws:PrincipalOrgID"),
    ] {
        if let Some(value) = members.text(member)? {
            equals.insert(key.to_owned(), value.into());
        }
    }
    let mut condition = Map::new();
    if !equals.is_empty() {
        condition.insert("StringEquals".to_owned(), equals.into());
    }
    if let Some(arn) = members.text("SourceArn")? {
        condition.insert("ArnLike".to_owned(), json!({"AWS:SourceArn": arn}));
    }
    if members.flag("InvokedViaFunctionUrl")? {
        condition.insert("Bool".to_owned(), json!({"lambda:InvokedViaFunctionUrl": "true"}));
    }
    Ok(condition)
}

fn principal_of(text: &str) -> Result<Value, Error> {
    match text {
        "*" => Ok(json!("*")),
        account if account.len() == 12 && is_version(account) => {
            Ok(json!({"AWS": format!("arn:aws:iam::{account}:root")}))
        }
        arn if arn.starts_with("arn:") => Ok(json!({"AWS": arn})),
        service if service.contains('.') && !service.contains(char::is_whitespace) => {
            Ok(json!({"Service": service}))
        }
        _ => Err(Error::InvalidParameter(
            "The provided principal was invalid. Please check the principal and try again.".to_owned(),
        )),
    }
}

fn is_action(action: &str) -> bool {
    let named =
        |rest: &str| rest == "*" || (!rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphabetic()));
    action == "*" || action.strip_prefix("lambda:").is_some_and(named)
}
