//! What the whole run says at its end: one line per attack, then what failed and what could not be shown.

use crate::attack::{Attack, Layer};
use crate::verdict::Verdict;

/// Everything found out about one attack.
pub struct Row {
    /// Its name.
    pub name: String,
    /// With every layer on.
    pub sealed: String,
    /// With each refusing layer alone.
    pub alone: Vec<(&'static str, String)>,
    /// The positive control.
    pub control: String,
    /// What is not as expected, in sentences.
    pub wrong: Vec<String>,
    /// Why this host cannot show that the attack would succeed.
    pub not_shown: Option<String>,
}

// === impl Row ===

impl Row {
    /// An empty one.
    pub fn new(name: &str, sealed: &Verdict) -> Self {
        Self {
            name: name.to_owned(),
            sealed: sealed.to_string(),
            alone: Vec::new(),
            control: String::new(),
            wrong: Vec::new(),
            not_shown: None,
        }
    }

    /// Notes what was expected and did not come.
    pub fn expect(&mut self, what: &str, found: &Verdict, expected: &str) {
        if !found.is(expected) {
            self.wrong.push(format!("{what}: expected {expected}, found {found}"));
        }
    }

    /// Notes the positive control, which must succeed unless the kernel lacks what is attacked.
    pub fn control(&mut self, attack: &Attack, found: &Verdict) {
        self.control = found.to_string();
        match (attack.lacking, found) {
            (Some(what), Verdict::Absent(_) | Verdict::Refused(_)) => {
                self.not_shown = Some(format!("{what} ({found})"));
            }
            _ => self.expect("control", found, "succeeded"),
        }
    }

    /// Notes the verdict of one layer alone; nothing expected: any will do.
    pub fn alone(&mut self, layer: Layer, found: &Verdict, expected: &str) {
        if !expected.is_empty() {
            self.expect(&format!("{} alone", layer.name()), found, expected);
        }
        self.alone.push((layer.name(), found.to_string()));
    }
}

/// Prints the table; true if everything was as expected.
pub fn print(rows: &[Row]) -> bool {
    let widest = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or_default();
    let names = widest(&mut rows.iter().map(|row| row.name.len()));
    let sealed = widest(&mut rows.iter().map(|row| row.sealed.len()));
    let control = widest(&mut rows.iter().map(|row| row.control.len()));
    println!(
        "\n{:names$}  {:sealed$}  {:control$}  each layer that refuses, with the others off",
        "attack", "all layers on", "control"
    );
    for row in rows {
        let alone: Vec<String> =
            row.alone.iter().map(|(layer, verdict)| format!("{layer}: {verdict}")).collect();
        println!(
            "{:names$}  {:sealed$}  {:control$}  {}",
            row.name,
            row.sealed,
            row.control,
            alone.join(", ").replace("refused ", "")
        );
    }
    let not_shown: Vec<&Row> = rows.iter().filter(|row| row.not_shown.is_some()).collect();
    if !not_shown.is_empty() {
        println!("\nrefused, but this host cannot show that they would succeed otherwise:");
        for row in not_shown {
            println!("  {}: {}", row.name, row.not_shown.as_deref().unwrap_or_default());
        }
    }
    let failed: Vec<&Row> = rows.iter().filter(|row| !row.wrong.is_empty()).collect();
    for row in &failed {
        println!("\nFAILED {}", row.name);
        for sentence in &row.wrong {
            println!("  {sentence}");
        }
    }
    println!("\n{} attacks, {} not as expected", rows.len(), failed.len());
    failed.is_empty()
}
