//! The lists: functions, versions, aliases, URLs. Each in pages, in the order of names and numbers.

use aws::{Request, Response, Violations, respond};
use http::StatusCode;
use serde_json::Value;
use types::arn::LATEST;

use crate::entry::Entry;
use crate::error::Error;
use crate::names::{Shape, Target};
use crate::operations::updates;
use crate::paging::Page;
use crate::service::Service;
use crate::view::{self, Shown};

/// The largest `MaxItems` of most lists.
const LONGEST: i64 = 10_000;
/// The largest `MaxItems` of the list of URLs.
const LONGEST_URLS: i64 = 50;

/// `$LATEST` of every function, or with `FunctionVersion=ALL` every version.
pub fn functions(service: &Service, request: &Request) -> Result<Response, Error> {
    let page = Page::of(request, LONGEST)?;
    let all = match request.query("FunctionVersion") {
        None | Some("") => false,
        Some(wanted) => {
            let mut check = Violations::new();
            check.one_of("functionVersion", wanted, &["ALL"]);
            check.finish()?;
            true
        }
    };
    let entries = service.catalogue.all();
    let items = entries.iter().flat_map(|entry| match all {
        true => all_versions(entry),
        false => one(entry, None, "").into_iter().collect(),
    });
    Ok(respond::json(StatusCode::OK, &page.answer("Functions", items)))
}

/// `$LATEST` and every published version of a function.
pub fn versions(service: &Service, request: &Request) -> Result<Response, Error> {
    let page = Page::of(request, LONGEST)?;
    let target = Target::parse(request.label("FunctionName"), None, Shape::Namespaced)?.whole_function()?;
    let entry = service.catalogue.get(&target.name).ok_or_else(|| target.not_found())?;
    let items = all_versions(&entry).into_iter();
    Ok(respond::json(StatusCode::OK, &page.answer("Versions", items)))
}

/// The aliases of a function, or those of one version.
pub fn aliases(service: &Service, request: &Request) -> Result<Response, Error> {
    let page = Page::of(request, LONGEST)?;
    let target = updates::edited(request)?;
    let entry = service.catalogue.get(&target.name).ok_or_else(|| target.not_found())?;
    let wanted = request.query("FunctionVersion").filter(|version| !version.is_empty());
    let items = entry.function.aliases.iter();
    let items = items
        .filter(|(_, alias)| wanted.is_none_or(|version| alias.version == version))
        .map(|(name, alias)| (name.clone(), view::alias(&target.name, name, alias)));
    Ok(respond::json(StatusCode::OK, &page.answer("Aliases", items)))
}

/// The URLs of a function and its aliases.
pub fn urls(service: &Service, request: &Request) -> Result<Response, Error> {
    let page = Page::of(request, LONGEST_URLS)?;
    let target = updates::edited(request)?;
    let gone = || Error::NotFound("Function does not exist".to_owned());
    let entry = service.catalogue.get(&target.name).ok_or_else(gone)?;
    let items = entry.function.urls.iter().map(|(qualifier, url)| {
        let named = (!qualifier.is_empty()).then(|| qualifier.clone());
        let target = Target { name: target.name.clone(), qualifier: named };
        (qualifier.clone(), Value::from(view::url(&target, url, &service.options.gateway_authority)))
    });
    Ok(respond::json(StatusCode::OK, &page.answer("FunctionUrlConfigs", items)))
}

/// Every version under its own ARN, with keys that sort as names and numbers do.
fn all_versions(entry: &Entry) -> Vec<(String, Value)> {
    let latest = one(entry, Some(LATEST), &format!("{:020}", 0));
    let published = entry
        .versions
        .keys()
        .filter_map(|number| one(entry, Some(&number.to_string()), &format!("{number:020}")));
    latest.into_iter().chain(published).collect()
}

fn one(entry: &Entry, qualifier: Option<&str>, order: &str) -> Option<(String, Value)> {
    let shown = Shown::of(entry, qualifier)?;
    // A byte below every character of a name: `a` and all its versions sort before `a-b`.
    Some((format!("{}\u{1}{order}", entry.function.name), Value::from(shown.listed())))
}
