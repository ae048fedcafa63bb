//! One CPU weight for all sandboxes of one owner, however many there are: without it a function with fifty instances
//! would have fifty times the share of a function with one on a busy machine.
//!
//! The weight of each is the owner's divided by their number, rounded up to a power of two: so only one start in a while
//! changes the weights of others, and an owner has at least half of what is its.

use super::serve::Broker;

// === impl Broker ===

impl Broker {
    /// Shares the weight of an owner out among its sandboxes, after one has come or gone. 0 is nobody.
    pub(super) fn share_out(&mut self, owner: u64) {
        let mut all: Vec<_> = self
            .instances
            .values_mut()
            .filter(|instance| owner != 0 && instance.owner() == Some(owner))
            .collect();
        let parts = parts(all.len());
        for instance in all.iter_mut().filter(|instance| instance.parts != parts) {
            if let (Some(limits), Some(group)) = (&instance.limits, &instance.group) {
                group.weigh(limits.cpu_weight, parts);
                instance.parts = parts;
            }
        }
    }
}

/// Into how many parts a weight is divided for so many sandboxes.
fn parts(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX).max(1).checked_next_power_of_two().unwrap_or(1 << 31)
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn many_have_together_between_half_of_the_weight_and_all_of_it() {
        assert_eq!((parts(0), parts(1), parts(2), parts(usize::MAX)), (1, 1, 2, 1 << 31));
        let mut changes = 0;
        for count in 1..1000_usize {
            let parts_now = parts(count) as usize;
            assert!((count..2 * count).contains(&parts_now), "{count} share {parts_now} parts");
            changes += usize::from(parts(count + 1) != parts(count));
        }
        assert_eq!(changes, 10, "most starts change nobody else's weight");
    }
}
