//! Function URLs: an address on the gateway for a function or one of its aliases, open to everyone.

use aws::{Members, Request, Response, Violations, members::says_nothing, respond};
use http::StatusCode;
use jiff::Timestamp;
use serde_json::Value;

use crate::entry::Draft;
use crate::error::Error;
use crate::names::{Shape, Target, is_name, is_version};
use crate::records::Url;
use crate::service::Service;
use crate::view;

const QUALIFIER: &str = r"((?!^\d+$)^[0-9a-zA-Z-_]+$)";

/// Makes a URL.
pub async fn create(service: &Service, request: Request) -> Result<Response, Error> {
    let (target, key) = named(&request)?;
    let mut members = Members::parse("CreateFunctionUrlConfig", request.body).await?;
    let wanted = Wanted::take(&mut members, true)?;
    members.finish();
    let missing = || Error::NotFound("Function does not exist".to_owned());
    let edit = |draft: &mut Draft| {
        if draft.function.urls.contains_key(&key) {
            return Err(Error::Conflict(format!(
                "Failed to create function url config for [functionArn = {}]. Error message:  \
                 FunctionUrlConfig exists for this Lambda function",
                target.arn()
            )));
        }
        if !key.is_empty() && !draft.function.aliases.contains_key(&key) {
            return Err(missing());
        }
        let now = Timestamp::now();
        let id = uuid::Uuid::new_v4().simple().to_string();
        let url = Url { id, created: now, last_modified: now, invoke_mode: wanted.invoke_mode };
        draft.function.urls.insert(key.clone(), url.clone());
        Ok(url)
    };
    let (url, _) = service.catalogue.change(&target.name, missing, edit).await?;
    let mut shown = view::url(&target, &url, &service.options.gateway_authority);
    shown.remove("LastModifiedTime");
    Ok(respond::json(StatusCode::CREATED, &Value::from(shown)))
}

/// Shows a URL.
pub fn get(service: &Service, request: &Request) -> Result<Response, Error> {
    let (target, key) = named(request)?;
    let entry = service.catalogue.get(&target.name).ok_or_else(no_url)?;
    let url = entry.function.urls.get(&key).ok_or_else(no_url)?;
    let shown = view::url(&target, url, &service.options.gateway_authority);
    Ok(respond::json(StatusCode::OK, &Value::from(shown)))
}

/// Changes a URL's configuration; its address stays.
pub async fn update(service: &Service, request: Request) -> Result<Response, Error> {
    let (target, key) = named(&request)?;
    let mut members = Members::parse("UpdateFunctionUrlConfig", request.body).await?;
    let wanted = Wanted::take(&mut members, false)?;
    members.finish();
    let edit = |draft: &mut Draft| {
        let url = draft.function.urls.get_mut(&key).ok_or_else(no_url)?;
        url.last_modified = Timestamp::now();
        if wanted.invoke_mode.is_some() {
            url.invoke_mode = wanted.invoke_mode;
        }
        Ok(url.clone())
    };
    let (url, _) = service.catalogue.change(&target.name, no_url, edit).await?;
    let shown = view::url(&target, &url, &service.options.gateway_authority);
    Ok(respond::json(StatusCode::OK, &Value::from(shown)))
}

/// Removes a URL.
pub async fn delete(service: &Service, request: &Request) -> Result<Response, Error> {
    let (target, key) = named(request)?;
    let edit = |draft: &mut Draft| draft.function.urls.remove(&key).map(|_| ()).ok_or_else(no_url);
    service.catalogue.change(&target.name, no_url, edit).await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

/// What a request wants of a URL.
struct Wanted {
    invoke_mode: Option<String>,
}

// === impl Wanted ===

impl Wanted {
    fn take(members: &mut Members, creating: bool) -> Result<Self, Error> {
        let (auth, invoke_mode) = (members.text("AuthType")?, members.text("InvokeMode")?);
        let mut check = Violations::new();
        if creating {
            check.required("authType", auth.as_ref());
        }
        if let Some(auth) = &auth {
            check.one_of("authType", auth, &["NONE", "AWS_IAM"]);
        }
        if let Some(mode) = &invoke_mode {
            check.one_of("invokeMode", mode, &["RESPONSE_STREAM", "BUFFERED"]);
        }
        check.finish()?;
        if auth.as_deref() == Some("AWS_IAM") {
            let advice = "send NONE and let the application check its callers";
            return Err(Error::unsupported_value("`AuthType` AWS_IAM", advice));
        }
        if invoke_mode.as_deref() == Some("RESPONSE_STREAM") {
            return Err(Error::unsupported_value(
                "`InvokeMode` RESPONSE_STREAM",
                "send BUFFERED or leave it out",
            ));
        }
        if members.value("Cors").is_some_and(|value| !says_nothing(&value)) {
            return Err(Error::unsupported_value("`Cors`", "answer CORS requests in the application"));
        }
        Ok(Self { invoke_mode })
    }
}

/// The function or alias whose URL a request is about, and its key among the URLs.
fn named(request: &Request) -> Result<(Target, String), Error> {
    let qualifier = request.query("Qualifier");
    let mut check = Violations::new();
    if let Some(qualifier) = qualifier {
        check.length("qualifier", qualifier, 1..=128);
        check.pattern("qualifier", qualifier, QUALIFIER, is_name(qualifier) && !is_version(qualifier));
    }
    check.finish()?;
    let target = Target::parse(request.label("FunctionName"), qualifier, Shape::Strict)?;
    let key = target.qualifier.clone().unwrap_or_default();
    Ok((target, key))
}

fn no_url() -> Error {
    Error::NotFound("The resource you requested does not exist.".to_owned())
}
