//! Waiting for a condition with a deadline: the only waiting tests do. Not for measuring time.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const PAUSE: Duration = Duration::from_millis(5);

/// Waits until `condition` holds.
///
/// # Errors
/// Names `what` did not happen within `deadline`.
pub fn wait_until(deadline: Duration, what: &str, mut condition: impl FnMut() -> bool) -> Result<()> {
    let begun = Instant::now();
    while !condition() {
        if begun.elapsed() >= deadline {
            bail!("not within {deadline:?}: {what}");
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}
