//! A function's environment variables, checked as AWS checks them.

use std::collections::BTreeMap;

use aws::Violations;

use crate::error::Error;

/// Bytes of all variables as a JSON object (AWS's limit, not a setting).
const LIMIT: usize = 4096;

/// Variables the platform itself sets.
const RESERVED: &[&str] = &[
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_LAMBDA_RUNTIME_API",
    "LAMBDA_TASK_ROOT",
    "LAMBDA_RUNTIME_DIR",
];

const PATTERN: &str = "[a-zA-Z]([a-zA-Z0-9_])+";

/// Checks names against the model's pattern.
pub fn check_names(variables: &BTreeMap<String, String>, check: &mut Violations) {
    if let Some(wrong) = variables.keys().find(|name| !is_name(name)) {
        let shown: Vec<String> = variables.keys().map(|name| format!("{name}=***")).collect();
        let constraint = format!(
            "Map keys must satisfy constraint: [Member must satisfy regular expression pattern: {PATTERN}]; \
             `{wrong}` does not"
        );
        check.constraint("environment.variables", &format!("{{{}}}", shown.join(", ")), &constraint);
    }
}

/// Checks what only the service knows: reserved names and the total size.
///
/// # Errors
/// [`Error::InvalidParameter`] in AWS's words.
pub fn check(variables: &BTreeMap<String, String>) -> Result<(), Error> {
    let reserved: Vec<&str> =
        variables.keys().map(String::as_str).filter(|name| RESERVED.contains(name)).collect();
    if !reserved.is_empty() {
        return Err(Error::InvalidParameter(format!(
            "Lambda was unable to configure your environment variables because the environment variables \
             you have provided contains reserved keys that are currently not supported for modification. \
             Reserved keys used in this request: {}",
            reserved.join(", ")
        )));
    }
    let text = serde_json::json!(variables).to_string();
    if text.len() > LIMIT {
        return Err(Error::InvalidParameter(format!(
            "Lambda was unable to configure your environment variables because the environment variables \
             you have provided exceeded the 4KB limit. String measured: {text}"
        )));
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    let mut characters = name.chars();
    name.len() > 1
        && characters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(name: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn names_the_limit_and_reserved_keys() {
        // {"LARGE_VAR":""} is 16 bytes.
        assert!(check(&variables("LARGE_VAR", &"x".repeat(4096 - 16))).is_ok());
        let large = check(&variables("LARGE_VAR", &"x".repeat(4096 - 15))).unwrap_err().to_string();
        assert!(large.contains("4KB limit. String measured: {\"LARGE_VAR\":\"xx"), "{large}");
        let reserved = check(&variables("AWS_REGION", "x")).unwrap_err().to_string();
        assert!(reserved.ends_with("Reserved keys used in this request: AWS_REGION"), "{reserved}");
    }

    #[test]
    fn names_have_a_pattern_and_values_stay_secret() {
        let mut violations = Violations::new();
        check_names(&variables("1X", "secret"), &mut violations);
        let text = violations.finish().unwrap_err().to_string();
        assert!(text.contains("'environment.variables'") && !text.contains("secret"), "{text}");
        let mut violations = Violations::new();
        check_names(&variables("PORT", "1"), &mut violations);
        assert!(violations.finish().is_ok());
    }
}
