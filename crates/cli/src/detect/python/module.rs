//! Statements of a Python module: imports, definitions, assignments and calls, each with the scope it is
//! in. Reads what [`super::lexer`] yields; judges nothing.

use super::lexer::{Line, logical_lines};

/// What one source file contains.
#[derive(Debug, Default)]
pub struct Module {
    /// Imports at any depth: they run sooner or later.
    pub imports: Vec<Import>,
    /// Assignments to plain names.
    pub assignments: Vec<Assignment>,
    /// Functions.
    pub functions: Vec<Function>,
    /// Classes.
    pub classes: Vec<Class>,
    /// What statements that are a call call last.
    pub calls: Vec<String>,
}

/// The function a statement is in: `None` at the top of the module (also inside `if` or `try`).
pub type Scope = Option<usize>;

/// One name bound by an import.
#[derive(Debug, PartialEq, Eq)]
pub struct Import {
    /// The module, with its leading dots.
    pub module: String,
    /// The member, for `from module import member`.
    pub member: Option<String>,
    /// The name it is bound to.
    pub bound: String,
    /// Where.
    pub scope: Scope,
}

/// `name = value`
#[derive(Debug)]
pub struct Assignment {
    /// The name.
    pub name: String,
    /// The dotted name that the value is, or that it calls.
    pub value: String,
    /// Whether the value is a call.
    pub is_call: bool,
    /// Where.
    pub scope: Scope,
}

/// `def name(...)`
#[derive(Debug)]
pub struct Function {
    /// The name.
    pub name: String,
    /// `async def`
    pub is_async: bool,
    /// Names of parameters that a caller has to give.
    pub required: Vec<String>,
    /// Whether it is defined at the top of the module.
    pub is_top: bool,
    /// Dotted names that are returned, or called by what is returned.
    pub returns: Vec<String>,
}

/// `class Name(...)`
#[derive(Debug)]
pub struct Class {
    /// The name.
    pub name: String,
    /// Dotted names of its bases.
    pub bases: Vec<String>,
    /// Whether it defines `__call__`, and whether that is `async`.
    pub call: Option<bool>,
}

/// What a block belongs to.
#[derive(Clone, Copy)]
enum Block {
    Function(usize),
    Class(usize),
    Other,
}

/// Reads lines with the blocks that are open.
#[derive(Default)]
struct Reader {
    module: Module,
    blocks: Vec<(usize, Block)>,
}

// === impl Module ===

impl Module {
    /// Reads a source text.
    pub fn scan(text: &str) -> Self {
        let mut reader = Reader::default();
        for line in logical_lines(text) {
            reader.read(&line);
        }
        reader.module
    }

    /// The full name of a dotted name, through the imports: `F` or `flask.Flask` to `flask.Flask`.
    pub fn resolve(&self, dotted: &str) -> String {
        let (first, rest) =
            dotted.split_once('.').map_or((dotted, None), |(first, rest)| (first, Some(rest)));
        let Some(import) = self.imports.iter().find(|import| import.bound == first) else {
            return dotted.to_owned();
        };
        let mut full = match &import.member {
            Some(member) => format!("{}.{member}", import.module),
            None => import.module.clone(),
        };
        if let Some(rest) = rest {
            full.push('.');
            full.push_str(rest);
        }
        full
    }

    /// Whether any import is of this package or something in it.
    pub fn imports_package(&self, package: &str) -> bool {
        self.imports.iter().any(|import| import.module.split('.').next() == Some(package))
    }
}

// === impl Reader ===

impl Reader {
    fn read(&mut self, line: &Line) {
        while self.blocks.last().is_some_and(|(indent, _)| *indent >= line.indent) {
            self.blocks.pop();
        }
        let code = line.code.as_str();
        if let Some(rest) = word(code, "import") {
            self.import(rest);
        } else if let Some(rest) = word(code, "from") {
            self.import_from(rest);
        } else if let Some(rest) = word(code, "def") {
            self.function(rest, false, line.indent);
        } else if let Some(rest) = word(code, "async").and_then(|rest| word(rest, "def")) {
            self.function(rest, true, line.indent);
        } else if let Some(rest) = word(code, "class") {
            self.class(rest, line.indent);
        } else if let Some(rest) = word(code, "return") {
            self.returned(rest);
        } else if code.ends_with(':') && !code.contains('=') || is_compound(code) {
            self.blocks.push((line.indent, Block::Other));
        } else if !self.assignment(code) {
            self.module.calls.extend(last_call(code));
        }
    }

    fn scope(&self) -> Scope {
        self.blocks.iter().rev().find_map(|(_, block)| match block {
            Block::Function(index) => Some(*index),
            Block::Class(_) | Block::Other => None,
        })
    }

    fn in_class(&self) -> Option<usize> {
        self.blocks.iter().rev().find_map(|(_, block)| match block {
            Block::Class(index) => Some(Some(*index)),
            Block::Function(_) => Some(None),
            Block::Other => None,
        })?
    }

    fn import(&mut self, rest: &str) {
        let scope = self.scope();
        for item in rest.split(',') {
            let (module, bound) = renamed(item);
            let bound = bound.unwrap_or_else(|| module.split('.').next().unwrap_or(module));
            // `import a.b` binds `a`: what is written after it is `a.b.c`, so `a` stands for itself.
            let stands_for = if bound == module || item.contains(" as ") { module } else { bound };
            self.module.imports.push(Import {
                module: stands_for.to_owned(),
                member: None,
                bound: bound.to_owned(),
                scope,
            });
        }
    }

    fn import_from(&mut self, rest: &str) {
        let Some((module, members)) = rest.split_once(" import") else { return };
        let scope = self.scope();
        let members = members.trim().trim_start_matches('(').trim_end_matches(')');
        for item in members.split(',').filter(|item| !item.trim().is_empty()) {
            let (member, bound) = renamed(item);
            self.module.imports.push(Import {
                module: module.trim().to_owned(),
                member: Some(member.to_owned()),
                bound: bound.unwrap_or(member).to_owned(),
                scope,
            });
        }
    }

    fn function(&mut self, rest: &str, is_async: bool, indent: usize) {
        let name = identifier(rest);
        if name.is_empty() {
            return;
        }
        if name == "__call__"
            && let Some(class) = self.in_class().and_then(|index| self.module.classes.get_mut(index))
        {
            class.call = Some(is_async);
        }
        let is_top = self.scope().is_none() && self.in_class().is_none();
        let required = required_parameters(rest.get(name.len()..).unwrap_or_default());
        let function = Function { name: name.to_owned(), is_async, required, is_top, returns: Vec::new() };
        self.module.functions.push(function);
        self.blocks.push((indent, Block::Function(self.module.functions.len() - 1)));
    }

    fn class(&mut self, rest: &str, indent: usize) {
        let name = identifier(rest);
        let bases = rest.get(name.len()..).unwrap_or_default().trim_start();
        let bases =
            bases.strip_prefix('(').and_then(|text| text.split_once(')')).map_or("", |(text, _)| text);
        let bases = bases.split(',').map(|base| dotted_prefix(base.trim()).to_owned());
        let bases = bases.filter(|base| !base.is_empty()).collect();
        self.module.classes.push(Class { name: name.to_owned(), bases, call: None });
        self.blocks.push((indent, Block::Class(self.module.classes.len() - 1)));
    }

    fn returned(&mut self, rest: &str) {
        let returned = dotted_prefix(rest.trim()).to_owned();
        if let Some(function) = self.scope().and_then(|index| self.module.functions.get_mut(index)) {
            function.returns.push(returned);
        }
    }

    fn assignment(&mut self, code: &str) -> bool {
        let parts = split_assignment(code);
        let Some((value, targets)) = parts.split_last().filter(|(_, targets)| !targets.is_empty()) else {
            return false;
        };
        if self.in_class().is_some() {
            return true;
        }
        let value = value.trim();
        let dotted = dotted_prefix(value);
        let rest = value.get(dotted.len()..).unwrap_or_default().trim_start();
        if dotted.is_empty() || !(rest.is_empty() || rest.starts_with('(')) {
            return true;
        }
        let scope = self.scope();
        for target in targets {
            let name = target.split(':').next().unwrap_or_default().trim();
            if !name.is_empty() && identifier(name) == name {
                let (name, value) = (name.to_owned(), dotted.to_owned());
                let is_call = rest.starts_with('(');
                self.module.assignments.push(Assignment { name, value, is_call, scope });
            }
        }
        true
    }
}

/// The dotted name that a statement calls last: `serve_forever` for `HTTPServer(x).serve_forever()`.
fn last_call(code: &str) -> Option<String> {
    let mut depth = 0_usize;
    let mut before = code.strip_suffix(')')?;
    loop {
        let last = before.chars().next_back()?;
        before = before.get(..before.len() - last.len_utf8())?;
        match last {
            ')' | ']' | '}' => depth += 1,
            '(' if depth == 0 => break,
            '(' | '[' | '{' => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    let before = before.trim_end();
    let start = before.rfind(|c: char| !c.is_alphanumeric() && c != '_' && c != '.');
    let name = start.map_or(before, |at| before.get(at + 1..).unwrap_or_default()).trim_start_matches('.');
    (!name.is_empty()).then(|| name.to_owned())
}

/// What follows a keyword.
fn word<'a>(code: &'a str, keyword: &str) -> Option<&'a str> {
    let rest = code.strip_prefix(keyword)?;
    rest.starts_with(|c: char| c.is_whitespace() || c == '(').then(|| rest.trim_start())
}

/// `if`, `try`, `with` and their kin, which open a block that is no scope.
fn is_compound(code: &str) -> bool {
    const KEYWORDS: [&str; 10] =
        ["if", "elif", "else", "try", "except", "finally", "with", "for", "while", "async"];
    let first: &str = code.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
    code.ends_with(':') && KEYWORDS.contains(&first)
}

fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

fn dotted_prefix(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '.').unwrap_or(text.len());
    let dotted = text.get(..end).unwrap_or_default();
    if dotted.starts_with(|c: char| c.is_ascii_digit()) { "" } else { dotted }
}

/// `a.b as c` to `(a.b, Some(c))`.
fn renamed(item: &str) -> (&str, Option<&str>) {
    match item.split_once(" as ") {
        Some((name, bound)) => (name.trim(), Some(bound.trim())),
        None => (item.trim(), None),
    }
}

/// Splits at every `=` that assigns: outside brackets and not part of another operator.
fn split_assignment(code: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start, mut before) = (0_usize, 0, ' ');
    let mut characters = code.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            '=' if depth == 0 => {
                let doubled = characters.peek().is_some_and(|(_, next)| *next == '=');
                if doubled || "=!<>+-*/%&|^:@~".contains(before) {
                    return Vec::new();
                }
                parts.extend(code.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
        before = character;
    }
    parts.extend(code.get(start..));
    parts
}

/// Names without a default in `(a, b=1, *c, **d) -> x:`.
fn required_parameters(text: &str) -> Vec<String> {
    let Some(list) = text.trim_start().strip_prefix('(') else { return Vec::new() };
    let mut required = Vec::new();
    let (mut depth, mut parameter) = (0_usize, String::new());
    let mut keep = |parameter: &mut String| {
        let text = std::mem::take(parameter);
        let text = text.trim();
        let name = identifier(text);
        if !name.is_empty() && !text.contains('=') {
            required.push(name.to_owned());
        }
    };
    for character in list.chars() {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' if depth == 0 => break,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                keep(&mut parameter);
                continue;
            }
            _ => {}
        }
        parameter.push(character);
    }
    keep(&mut parameter);
    required
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_imports_in_every_spelling() {
        let module = Module::scan(
            "import os, flask as f\nimport a.b\nfrom flask import (\n    Flask as F,\n    jsonify,\n)\nfrom . import db\n",
        );
        for (written, full) in [
            ("f.Flask", "flask.Flask"),
            ("F", "flask.Flask"),
            ("jsonify", "flask.jsonify"),
            ("a.b.c", "a.b.c"),
            ("db", "..db"),
            ("unknown.x", "unknown.x"),
        ] {
            assert_eq!(module.resolve(written), full, "{written}");
        }
    }

    #[test]
    fn knows_the_scope_of_an_assignment() {
        let module = Module::scan(
            "try:\n    app = A()\nexcept E:\n    pass\ndef f(x, y=1, *z, **k):\n    inner = B()\n    return inner\n\
             class C:\n    member = D()\n    def m(self):\n        local = E()\nlast: T = other = g.h(x=1)\nn == 1\nn += 2\n",
        );
        let seen: Vec<_> = module
            .assignments
            .iter()
            .map(|assignment| {
                (assignment.name.as_str(), assignment.value.as_str(), assignment.scope.is_none())
            })
            .collect();
        assert_eq!(
            seen,
            [
                ("app", "A", true),
                ("inner", "B", false),
                ("local", "E", false),
                ("last", "g.h", true),
                ("other", "g.h", true)
            ]
        );
        assert_eq!(module.functions[0].required, ["x"]);
        assert_eq!(module.functions[0].returns, ["inner"]);
    }

    #[test]
    fn reads_calls_and_callable_classes() {
        let module = Module::scan(
            "class App(Base):\n    async def __call__(self, scope, receive, send): ...\napp.run(port=1)\nServer((a, b), C).serve_forever()\n",
        );
        assert_eq!(module.calls, ["app.run", "serve_forever"]);
        assert_eq!(module.classes[0].call, Some(true));
        assert_eq!(module.classes[0].bases, ["Base"]);
    }
}
