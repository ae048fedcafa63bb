//! Environment variables from `--env NAME=VALUE` and from files in dotenv syntax: `NAME=VALUE` lines,
//! optional `export`, comments, single quotes (literal) and double quotes (with escapes). Nothing is
//! expanded: what is written is what the function gets.

use std::collections::BTreeMap;

use super::Error;

/// Reads `NAME=VALUE`.
pub fn variable(given: &str) -> Result<(String, String), Error> {
    match given.split_once('=') {
        Some((name, value)) if is_name(name) => Ok((name.to_owned(), value.to_owned())),
        _ => Err(Error::Variable { given: given.to_owned() }),
    }
}

/// Reads a file's text.
pub fn parse(file: &str, text: &str) -> Result<BTreeMap<String, String>, Error> {
    let mut variables = BTreeMap::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let refuse = |reason| Error::EnvironmentFile { file: file.to_owned(), line: index + 1, reason };
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=').ok_or_else(|| refuse("there is no `=`"))?;
        let name = name.trim();
        if !is_name(name) {
            return Err(refuse("the name has characters that a variable cannot have"));
        }
        let mut value = value.trim().to_owned();
        if let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\'')) {
            // A quoted value may go on over several lines.
            while closing(&value, quote).is_none() {
                let (_, more) = lines.next().ok_or_else(|| refuse("the quote is not closed"))?;
                value.push('\n');
                value.push_str(more);
            }
            let end = closing(&value, quote).unwrap_or(value.len());
            let rest = value.get(end + 1..).unwrap_or_default().trim();
            if !(rest.is_empty() || rest.starts_with('#')) {
                return Err(refuse("there is something after the closing quote"));
            }
            let inner = value.get(1..end).unwrap_or_default();
            value = if quote == '"' { unescaped(inner) } else { inner.to_owned() };
        } else if let Some((before, _)) = value.split_once(" #") {
            value = before.trim_end().to_owned();
        }
        variables.insert(name.to_owned(), value);
    }
    Ok(variables)
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Where the quote that opens a text is closed.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            _ if character == quote => return Some(at),
            _ => {}
        }
    }
    None
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            plain.push(character);
            continue;
        }
        match characters.next() {
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('t') => plain.push('\t'),
            Some(other @ ('"' | '\\' | '$')) => plain.push(other),
            Some(other) => plain.extend(['\\', other]),
            None => plain.push('\\'),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_people_write() {
        let text = "# c\nA=1\nexport B = two words # why\nC=\"x\\n\\\"y\\\" #z\" # c\nD='a\\n'\nE=\nF=\"1\n2\"\nG=a#b\nH=a=b\n";
        let read = parse(".env", text).unwrap();
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "x\n\"y\" #z"),
            ("D", "a\\n"),
            ("E", ""),
            ("F", "1\n2"),
            ("G", "a#b"),
            ("H", "a=b"),
        ];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }

    #[test]
    fn names_the_line_that_is_wrong() {
        for (text, line) in [("A=1\nno\n", 2), ("1A=x", 1), ("\n\nA='x", 3), ("A=\"x\" y", 1)] {
            let error = parse("f", text).unwrap_err().to_string();
            assert!(error.contains(&format!("line {line}")), "{text}: {error}");
        }
        for given in ["X", "=1", "A B=1"] {
            variable(given).unwrap_err();
        }
        assert_eq!(variable("A=b=c").unwrap(), ("A".to_owned(), "b=c".to_owned()));
    }

    proptest! {
        #[test]
        fn any_text_ends(text in "[A-Z='\"\\\\ #\n$é]*") {
            let _ = parse("f", &text);
        }
    }
}
