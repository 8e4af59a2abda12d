//! When to look for what is gone among much that is there.

/// Least that is there before it is worth a look.
const LEAST: usize = 64;

/// A look goes through everything, so it is due when there is twice as much as the last one left: adding one costs the same however many there
/// are, and what is gone is never more than half.
pub struct Sweep {
    due_at: usize,
}

impl Default for Sweep {
    fn default() -> Sweep {
        Sweep { due_at: LEAST }
    }
}

impl Sweep {
    /// With so many there.
    pub fn is_due(&self, count: usize) -> bool {
        count >= self.due_at
    }

    pub fn done(&mut self, left: usize) {
        self.due_at = left.saturating_mul(2).max(LEAST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_few_and_what_is_gone_is_never_more_than_half() {
        let mut sweep = Sweep::default();
        let (mut count, mut looks) = (0, 0);
        for _ in 0..100_000 {
            if sweep.is_due(count) {
                looks += 1;
                sweep.done(count);
            }
            count += 1;
        }
        assert_eq!(looks, 11, "one for each doubling from 64 to 65,536");
        // All but 1,000 go, and one after the other is added that goes at once.
        let (mut count, mut most, mut looks) = (1_000, 0, 0);
        sweep.done(1_000);
        for _ in 0..100_000 {
            if sweep.is_due(count) {
                looks += 1;
                count = 1_000;
                sweep.done(count);
            }
            count += 1;
            most = most.max(count);
        }
        assert_eq!((most, looks), (2_000, 99));
    }
}
