//! Constraints of a service's model, checked as AWS's front end checks them: all of them, then one error
//! that lists every violation (`ValidationException` in Lambda, `InvalidParameterException` in Logs).
//!
//! A constraint that only the service itself knows (a runtime that is not there) is checked where it
//! matters, with an error of its own.

use std::fmt::Display;
use std::ops::RangeInclusive;

/// Every violation of a request, as AWS lists them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Violated(String);

/// What has been found so far.
#[derive(Debug, Default)]
pub struct Violations(Vec<String>);

// === impl Violations ===

impl Violations {
    /// Nothing found yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A required member that is missing.
    pub fn missing(&mut self, member: &str) {
        self.0
            .push(format!("Value null at '{member}' failed to satisfy constraint: Member must not be null"));
    }

    /// A required member.
    pub fn required<T>(&mut self, member: &str, value: Option<&T>) {
        if value.is_none() {
            self.missing(member);
        }
    }

    /// The length of a text in characters.
    pub fn length(&mut self, member: &str, value: &str, allowed: RangeInclusive<usize>) {
        let length = value.chars().count();
        if length > *allowed.end() {
            let what = format!("Member must have length less than or equal to {}", allowed.end());
            self.push(member, value, &what);
        } else if length < *allowed.start() {
            let what = format!("Member must have length greater than or equal to {}", allowed.start());
            self.push(member, value, &what);
        }
    }

    /// The range of a number.
    pub fn range(&mut self, member: &str, value: i64, allowed: RangeInclusive<i64>) {
        if value > *allowed.end() {
            self.push(
                member,
                value,
                &format!("Member must have value less than or equal to {}", allowed.end()),
            );
        } else if value < *allowed.start() {
            let what = format!("Member must have value greater than or equal to {}", allowed.start());
            self.push(member, value, &what);
        }
    }

    /// The range of a number whose upper end is a setting of the server.
    pub fn range_of_setting(
        &mut self,
        member: &str,
        value: i64,
        allowed: RangeInclusive<i64>,
        setting: &str,
    ) {
        let known = self.0.len();
        let over = value > *allowed.end();
        self.range(member, value, allowed);
        if let Some(text) = self.0.get_mut(known).filter(|_| over) {
            text.push_str(&format!(" (setting {setting})"));
        }
    }

    /// A text that has to match `pattern`, as the model writes it; `matches` says whether it does.
    pub fn pattern(&mut self, member: &str, value: &str, pattern: &str, matches: bool) {
        if !matches {
            let what = format!("Member must satisfy regular expression pattern: {pattern}");
            self.push(member, value, &what);
        }
    }

    /// A text that has to be one of a set.
    pub fn one_of(&mut self, member: &str, value: &str, set: &[&str]) {
        if !set.contains(&value) {
            let what = format!("Member must satisfy enum value set: [{}]", set.join(", "));
            self.push(member, value, &what);
        }
    }

    /// A constraint in words of its own.
    pub fn constraint(&mut self, member: &str, value: &str, constraint: &str) {
        self.push(member, value, constraint);
    }

    /// All violations as one error.
    ///
    /// # Errors
    /// [`Violated`] if there is any.
    pub fn finish(self) -> Result<(), Violated> {
        let Self(found) = self;
        if found.is_empty() {
            return Ok(());
        }
        let plural = if found.len() == 1 { "error" } else { "errors" };
        Err(Violated(format!("{} validation {plural} detected: {}", found.len(), found.join("; "))))
    }

    fn push(&mut self, member: &str, value: impl Display, constraint: &str) {
        self.0.push(format!("Value '{value}' at '{member}' failed to satisfy constraint: {constraint}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_aws_says() {
        let mut check = Violations::new();
        check.range("provisionedConcurrentExecutions", 0, 1..=10);
        assert_eq!(
            check.finish().unwrap_err().to_string(),
            "1 validation error detected: Value '0' at 'provisionedConcurrentExecutions' failed to satisfy \
             constraint: Member must have value greater than or equal to 1"
        );

        let mut check = Violations::new();
        check.missing("tagKeys");
        check.one_of("invokeMode", "UNKNOWN", &["RESPONSE_STREAM", "BUFFERED"]);
        assert_eq!(
            check.finish().unwrap_err().to_string(),
            "2 validation errors detected: Value null at 'tagKeys' failed to satisfy constraint: Member must \
             not be null; Value 'UNKNOWN' at 'invokeMode' failed to satisfy constraint: Member must satisfy \
             enum value set: [RESPONSE_STREAM, BUFFERED]"
        );
        assert!(Violations::new().finish().is_ok());
    }
}
