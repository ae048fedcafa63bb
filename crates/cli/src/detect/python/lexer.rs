//! Python text to logical lines: continuation lines joined, comments gone, every string literal
//! replaced by `""`, so that nothing inside a string or comment can look like code.

/// One logical line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Columns of white space in front; a tab goes to the next multiple of eight, as in Python.
    pub indent: usize,
    /// The code, on one line.
    pub code: String,
}

/// The text that is left, and the line being put together.
struct Lexer<'a> {
    rest: &'a str,
    indent: usize,
    code: String,
    depth: usize,
    lines: Vec<Line>,
}

/// Splits a text into logical lines. Never fails: an unterminated string ends with the text.
pub fn logical_lines(text: &str) -> Vec<Line> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lexer = Lexer { rest: text, indent: 0, code: String::new(), depth: 0, lines: Vec::new() };
    lexer.take_indent();
    while lexer.step() {}
    lexer.finish();
    lexer.lines
}

// === impl Lexer ===

impl Lexer<'_> {
    fn step(&mut self) -> bool {
        let mut characters = self.rest.chars();
        let Some(character) = characters.next() else { return false };
        let after = characters.as_str();
        match character {
            '#' => self.rest = after.find('\n').and_then(|end| after.get(end..)).unwrap_or(""),
            '"' | '\'' => self.take_string(),
            '\\' if after.starts_with('\n') || after.starts_with("\r\n") => {
                self.rest = after.trim_start_matches('\r').trim_start_matches('\n');
                self.code.push(' ');
            }
            '\n' => {
                self.rest = after;
                if self.depth > 0 {
                    self.code.push(' ');
                } else {
                    self.finish();
                    self.take_indent();
                }
            }
            ';' if self.depth == 0 => {
                self.rest = after;
                self.finish();
            }
            _ => {
                match character {
                    '(' | '[' | '{' => self.depth += 1,
                    ')' | ']' | '}' => self.depth = self.depth.saturating_sub(1),
                    _ => {}
                }
                self.code.push(character);
                self.rest = after;
            }
        }
        true
    }

    fn take_indent(&mut self) {
        self.indent = 0;
        loop {
            let mut characters = self.rest.chars();
            match characters.next() {
                Some(' ') => self.indent += 1,
                Some('\t') => self.indent = (self.indent / 8 + 1) * 8,
                Some('\u{c}') => self.indent = 0,
                _ => return,
            }
            self.rest = characters.as_str();
        }
    }

    /// Skips a literal of which the opening quote is next.
    fn take_string(&mut self) {
        let triple = ["\"\"\"", "'''"].into_iter().find(|quote| self.rest.starts_with(*quote));
        let quote = triple.unwrap_or(if self.rest.starts_with('"') { "\"" } else { "'" });
        self.rest = self.rest.get(quote.len()..).unwrap_or("");
        // The letters of r"", b"", f"" and their kin belong to the literal.
        let prefix = self.code.chars().rev().take_while(|c| c.is_alphanumeric() || *c == '_').count();
        let start = self.code.len().saturating_sub(prefix);
        if prefix <= 2 && self.code.get(start..).is_some_and(is_string_prefix) {
            self.code.truncate(start);
        }
        self.code.push_str("\"\"");
        loop {
            if let Some(after) = self.rest.strip_prefix(quote) {
                self.rest = after;
                return;
            }
            let mut characters = self.rest.chars();
            match characters.next() {
                None => return,
                // A one-line literal that is not closed ends here; the newline is not part of it.
                Some('\n') if triple.is_none() => return,
                // Even in a raw string a backslash keeps the quote behind it from closing.
                Some('\\') => {
                    characters.next();
                }
                Some(_) => {}
            }
            self.rest = characters.as_str();
        }
    }

    fn finish(&mut self) {
        let code = self.code.trim();
        if !code.is_empty() {
            self.lines.push(Line { indent: self.indent, code: code.to_owned() });
        }
        self.code.clear();
        self.depth = 0;
    }
}

fn is_string_prefix(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|c| matches!(c, 'r' | 'R' | 'b' | 'B' | 'f' | 'F' | 'u' | 'U' | 't' | 'T'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn codes(text: &str) -> Vec<(usize, String)> {
        logical_lines(text).into_iter().map(|line| (line.indent, line.code)).collect()
    }

    #[test]
    fn strings_and_comments_cannot_look_like_code() {
        let text = "a = 1 # app = Flask()\n'''\napp = Flask()\n'''\nb = r'\\\\'; c = f\"x{y}\" # z\n";
        assert_eq!(
            codes(text),
            [(0, "a = 1".into()), (0, "\"\"".into()), (0, "b = \"\"".into()), (0, "c = \"\"".into())]
        );
    }

    #[test]
    fn brackets_and_backslashes_join_lines() {
        let text = "app = Flask(\n    __name__,  # why\n)\nx = 1 + \\\n  2\nif y:\n\tz()\r\n";
        assert_eq!(
            codes(text),
            [
                (0, "app = Flask(     __name__,   )".into()),
                (0, "x = 1 +    2".into()),
                (0, "if y:".into()),
                (8, "z()".into())
            ]
        );
    }

    proptest! {
        #[test]
        fn any_text_ends(text in "\\PC*|[ \t\n'\"\\\\#()rf;=]*") {
            let _ = logical_lines(&text);
        }
    }
}
