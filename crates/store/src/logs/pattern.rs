//! CloudWatch's filter patterns for lines of text: which lines a query is about.
//!
//! `a b`: both words. `"a b"`: that phrase. `-a`: not that. `?a ?b`: either. All compared with case, anywhere
//! in the line. Patterns that take lines apart (`{ $.level = "x" }`, `[a, b]`) are refused by name: a filter is
//! never accepted and ignored.

use std::str::FromStr;

/// A filter for lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pattern {
    all: Vec<String>,
    none: Vec<String>,
    any: Vec<String>,
}

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A pattern for JSON, for columns, or a regular expression.
    #[error("patterns that begin with `{0}` are not supported: filter by words, \"phrases\", -word or ?word")]
    Unsupported(char),
    /// A quotation mark too few.
    #[error("the pattern's quotation marks do not pair up: close the phrase with \"")]
    Unclosed,
}

// === impl Pattern ===

impl Pattern {
    /// Whether a line is one of those meant.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let has = |term: &String| text.contains(term.as_str());
        // As in CloudWatch, `?` means nothing beside other terms.
        let any = self.any.is_empty() || !(self.all.is_empty() && self.none.is_empty());
        self.all.iter().all(has) && !self.none.iter().any(has) && (any || self.any.iter().any(has))
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let mut pattern = Self::default();
        let mut rest = text.trim_start();
        if let Some(first @ ('{' | '[' | '%')) = rest.chars().next() {
            return Err(PatternError::Unsupported(first));
        }
        while !rest.is_empty() {
            let (terms, after) = match rest.chars().next() {
                Some('-') => (&mut pattern.none, rest.get(1..)),
                Some('?') => (&mut pattern.any, rest.get(1..)),
                _ => (&mut pattern.all, Some(rest)),
            };
            let (term, after) = term(after.unwrap_or_default())?;
            if !term.is_empty() {
                terms.push(term);
            }
            rest = after.trim_start();
        }
        Ok(pattern)
    }
}

/// One word or phrase, and what follows it.
fn term(text: &str) -> Result<(String, &str), PatternError> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        return Ok((word.to_owned(), rest));
    };
    let mut phrase = String::new();
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => return Ok((phrase, characters.as_str())),
            '\\' => phrase.extend(characters.next()),
            other => phrase.push(other),
        }
    }
    Err(PatternError::Unclosed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn filters_as_cloudwatch_does() {
        for (pattern, line, expected) in [
            ("", "anything", true),
            ("ERROR", "an ERROR here", true),
            ("ERROR", "an error here", false),
            ("ERROR disk", "disk ERROR", true),
            ("ERROR disk", "ERROR", false),
            ("\"disk full\"", "the disk full of it", true),
            ("\"disk full\"", "full disk", false),
            (r#""say \"hi\"""#, r#"they say "hi""#, true),
            ("ERROR -disk", "ERROR disk", false),
            ("-\"disk full\"", "disk is full", true),
            ("?ERROR ?WARN", "WARN: x", true),
            ("?ERROR ?WARN", "INFO: x", false),
        ] {
            assert_eq!(pattern.parse::<Pattern>().unwrap().matches(line), expected, "{pattern} on {line}");
        }
        assert_eq!("{ $.a = 1 }".parse::<Pattern>(), Err(PatternError::Unsupported('{')));
        assert_eq!("\"open".parse::<Pattern>(), Err(PatternError::Unclosed));
    }

    proptest! {
        #[test]
        fn a_line_matches_its_own_words(words in prop::collection::vec("[a-zé\\\\\"?%-]{1,6}", 1..5)) {
            let line = words.join(" ");
            let quoted: Vec<String> = words
                .iter()
                .map(|word| format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"")))
                .collect();
            let pattern: Pattern = quoted.join(" ").parse().unwrap();
            prop_assert!(pattern.matches(&line));
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in ".*") {
            let _ = text.parse::<Pattern>();
        }
    }
}
