//! Whether a program may be forked into instances.

use super::ember::Verdict;
use super::serve::Broker;
use crate::handle::Sharing;
use crate::protocol::{Event, Number};

// === impl Broker ===

impl Broker {
    /// Applies the sharing rule and tells what it says.
    pub(super) fn tell_sharing(&mut self, number: Number, ticket: u64) {
        let mut sharing = Sharing::default();
        if let Some(ember) = self.ember(number) {
            match &ember.verdict {
                Verdict::Refused(reason) => sharing.vetoes.push(reason.clone()),
                _ => ember.verdict = Verdict::Shared,
            }
        }
        self.tell(&Event::Sharing { ticket, sharing }, Vec::new());
        self.prepare_roots(number);
    }
}
