//! REST routing as data: method, path template, operation.
//!
//! A template is AWS's: `/2015-03-31/functions/{FunctionName}/code`, optionally with a query that must
//! be there (`?find=LayerVersion`). A trailing slash in a request means nothing, as with AWS.

use http::Method;
use percent_encoding::percent_decode_str;

/// One line of a service's table.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// `GET`, `POST`, `PUT` or `DELETE`.
    pub method: &'static str,
    /// The template.
    pub path: &'static str,
    /// The operation's name.
    pub operation: &'static str,
}

/// The labels of a matched path, percent-decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels(Vec<(&'static str, String)>);

// === impl Route ===

impl Route {
    /// A line of a table.
    #[must_use]
    pub const fn new(method: &'static str, path: &'static str, operation: &'static str) -> Self {
        Self { method, path, operation }
    }

    /// The labels, if method, path and required query all match.
    #[must_use]
    pub fn matches(&self, method: &Method, path: &str, query: &[(String, String)]) -> Option<Labels> {
        if method.as_str() != self.method {
            return None;
        }
        let (template, required) = match self.path.split_once('?') {
            Some((template, required)) => (template, Some(required)),
            None => (self.path, None),
        };
        if let Some((key, value)) = required.and_then(|pair| pair.split_once('='))
            && !query.iter().any(|(have, is)| have == key && is == value)
        {
            return None;
        }
        match_path(template, path)
    }
}

// === impl Labels ===

impl Labels {
    /// The decoded text of a label.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(label, _)| *label == name).map(|(_, text)| text.as_str())
    }
}

/// The operation a request means and its labels. Of two that match, the one that asks for a query is
/// the more specific.
#[must_use]
pub fn find(
    routes: &'static [Route],
    method: &Method,
    path: &str,
    query: &[(String, String)],
) -> Option<(&'static str, Labels)> {
    let matching = |route: &'static Route| {
        route.matches(method, path, query).map(|labels| (route.path.contains('?'), route.operation, labels))
    };
    let found = routes.iter().filter_map(matching).max_by_key(|(specific, ..)| *specific);
    found.map(|(_, operation, labels)| (operation, labels))
}

fn match_path(template: &'static str, path: &str) -> Option<Labels> {
    let mut wanted = template.trim_matches('/').split('/');
    let given = path.strip_prefix('/')?;
    let mut given = given.strip_suffix('/').unwrap_or(given).split('/');
    let mut labels = Vec::new();
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(Labels(labels)),
            (Some(want), Some(have)) => {
                match want.strip_prefix('{').and_then(|label| label.strip_suffix('}')) {
                    Some(label) if !have.is_empty() => {
                        labels.push((label, percent_decode_str(have).decode_utf8().ok()?.into_owned()));
                    }
                    None if want == have => {}
                    _ => return None,
                }
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROUTES: &[Route] = &[
        Route::new("GET", "/2015-03-31/functions", "ListFunctions"),
        Route::new("GET", "/2015-03-31/functions/{FunctionName}", "GetFunction"),
        Route::new("GET", "/2018-10-31/layers", "ListLayers"),
        Route::new("GET", "/2018-10-31/layers?find=LayerVersion", "GetLayerVersionByArn"),
    ];

    fn operation(path: &str, query: &[(&str, &str)]) -> Option<(&'static str, Labels)> {
        let query: Vec<_> = query.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        find(ROUTES, &Method::GET, path, &query)
    }

    #[test]
    fn finds_operations_and_decodes_labels() {
        assert_eq!(operation("/2015-03-31/functions", &[]).unwrap().0, "ListFunctions");
        assert_eq!(operation("/2015-03-31/functions/", &[]).unwrap().0, "ListFunctions");
        let (name, labels) = operation("/2015-03-31/functions/arn%3Aaws%3Alambda", &[]).unwrap();
        assert_eq!((name, labels.get("FunctionName")), ("GetFunction", Some("arn:aws:lambda")));
    }

    #[test]
    fn a_required_query_makes_the_difference() {
        assert_eq!(operation("/2018-10-31/layers", &[]).unwrap().0, "ListLayers");
        let by_arn = operation("/2018-10-31/layers", &[("find", "LayerVersion")]).unwrap();
        assert_eq!(by_arn.0, "GetLayerVersionByArn");
    }

    proptest! {
        #[test]
        fn any_path_is_read_without_a_panic(path in ".*", name in "[a-zA-Z0-9:$_-]{1,80}") {
            let _ = operation(&path, &[]);
            let encoded: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let (_, labels) = operation(&format!("/2015-03-31/functions/{encoded}"), &[]).unwrap();
            prop_assert_eq!(labels.get("FunctionName"), Some(name.as_str()));
        }
    }

    #[test]
    fn refuses_what_is_in_no_table() {
        for path in ["", "/", "//", "/2015-03-31", "/2015-03-31/functions/a/b", "/2015-03-31/functions/%ff"] {
            assert_eq!(operation(path, &[]), None, "{path}");
        }
        assert!(find(ROUTES, &Method::POST, "/2015-03-31/functions", &[]).is_none());
    }
}
