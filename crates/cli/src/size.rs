//! Sizes as people read them. Not for data: `--json` carries bytes.

use std::fmt;

/// A number of bytes that prints as `512 B`, `4.1 MB`.
#[derive(Debug, Clone, Copy)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
        if self.0 < 1000 {
            return write!(out, "{} B", self.0);
        }
        let mut tenths = self.0.saturating_mul(10) / 1000;
        let mut units = UNITS.iter().peekable();
        while let Some(unit) = units.next() {
            if tenths < 10_000 || units.peek().is_none() {
                return write!(out, "{}.{} {unit}", tenths / 10, tenths % 10);
            }
            tenths /= 1000;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Bytes;

    #[test]
    fn reads_like_a_person_would_say_it() {
        for (bytes, text) in
            [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (4_123_456, "4.1 MB"), (7_000_000_000, "7.0 GB")]
        {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }
}
