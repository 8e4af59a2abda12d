//! Which entries are known to be damaged.

/// Ranges kept apart. With more than that neighbours become one, of which only the bounds are known and how many.
const RANGES_MAX: usize = 1024;

/// First and last, and how many of those in between.
type Range = (u64, u64, u64);

/// Entries that cannot be read although entries around them can, or what is known of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DamagedEntries {
    /// Ascending; between two there is at least one entry that is not known to be damaged.
    ranges: Vec<Range>,
}

impl DamagedEntries {
    /// All as one range; zeros for none.
    pub fn sum(&self) -> Range {
        self.ranges.iter().fold((0, 0, 0), |sum, range| joined(sum, *range))
    }

    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Entries that were known before do not count again.
    pub fn add(&mut self, first: u64, last: u64) {
        if first <= last {
            self.insert((first, last, last - first + 1));
        }
    }

    pub fn add_all(&mut self, others: DamagedEntries) {
        others.ranges.into_iter().for_each(|range| self.insert(range));
    }

    fn insert(&mut self, (first, last, count): Range) {
        let from = self.ranges.partition_point(|r| r.1 < first.saturating_sub(1));
        let to = self.ranges.partition_point(|r| r.0 <= last.saturating_add(1));
        let known = |r: &Range| (r.1.min(last) + 1).saturating_sub(r.0.max(first));
        let touched: Vec<Range> = self.ranges.drain(from..to).collect();
        let more = count.saturating_sub(touched.iter().map(known).sum());
        let bounds = touched.iter().fold((first, last), |b, r| (b.0.min(r.0), b.1.max(r.1)));
        let count = touched.iter().map(|r| r.2).sum::<u64>() + more;
        self.ranges.insert(from, (bounds.0, bounds.1, count));
        if self.ranges.len() > RANGES_MAX {
            let next = self.ranges.remove(from.max(1));
            let before = self.ranges.get_mut(from.max(1) - 1);
            before.into_iter().for_each(|range| *range = joined(*range, next));
        }
    }

    /// Without the entries from `index` on, which are replaced.
    pub fn below(mut self, index: u64) -> DamagedEntries {
        self.ranges.retain(|r| r.0 < index);
        for range in self.ranges.iter_mut().filter(|r| r.1 >= index) {
            *range = (range.0, index - 1, range.2.min(index - range.0));
        }
        self
    }

    /// Entries up to here are compacted.
    pub fn compact(&mut self, index: u64) {
        self.ranges.retain(|r| r.1 > index);
        for range in self.ranges.iter_mut().filter(|r| r.0 <= index) {
            *range = (index + 1, range.1, range.2.min(range.1 - index));
        }
    }
}

fn joined(a: Range, b: Range) -> Range {
    match (a.2, b.2) {
        (0, _) => b,
        (_, 0) => a,
        _ => (a.0.min(b.0), a.1.max(b.1), a.2 + b.2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn noted(ranges: &[(u64, u64)]) -> DamagedEntries {
        let mut damaged = DamagedEntries::default();
        ranges.iter().for_each(|(first, last)| damaged.add(*first, *last));
        damaged
    }

    #[test]
    fn one_between_two_counts_and_one_that_is_known_does_not() {
        assert_eq!(noted(&[]).sum(), (0, 0, 0));
        assert_eq!(noted(&[(10, 10), (20, 20)]).sum(), (10, 20, 2));
        assert_eq!(noted(&[(10, 10), (20, 20), (15, 15)]).sum(), (10, 20, 3));
        assert_eq!(noted(&[(10, 12), (11, 20), (5, 10), (20, 20), (3, 2)]).ranges, [(5, 20, 16)]);
        let mut damaged = noted(&[(10, 12), (20, 20)]);
        damaged.compact(10);
        assert_eq!(damaged.sum(), (11, 20, 3));
        damaged.compact(20);
        assert!(damaged.is_empty());
        let damaged = noted(&[(10, 12), (20, 22), (30, 30)]);
        assert_eq!(damaged.clone().below(22).ranges, [(10, 12, 3), (20, 21, 2)]);
        assert!(damaged.below(10).is_empty());
    }

    #[test]
    fn any_order_comes_to_the_same() {
        let mut at = 1u64;
        for _ in 0..200 {
            let (mut damaged, mut model) = (DamagedEntries::default(), BTreeSet::new());
            for _ in 0..30 {
                at = at.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let first = (at >> 33) % 60 + 1;
                let last = first + (at >> 50) % 5;
                damaged.add(first, last);
                model.extend(first..=last);
                if at >> 60 == 0 {
                    damaged.compact(first);
                    model.retain(|i| *i > first);
                }
                let bounds = (model.first().copied().unwrap_or(0), model.last().copied().unwrap_or(0));
                assert_eq!(damaged.sum(), (bounds.0, bounds.1, model.len() as u64));
            }
        }
    }

    #[test]
    fn what_it_takes_is_bounded() {
        let count = 4 * RANGES_MAX as u64;
        let mut up = noted(&[]);
        (1..=count).for_each(|i| up.add(2 * i, 2 * i));
        let mut down = noted(&[]);
        (1..=count).rev().for_each(|i| down.add(2 * i, 2 * i));
        for damaged in [up, down] {
            assert_eq!((damaged.ranges.len(), damaged.sum().0, damaged.sum().1), (RANGES_MAX, 2, 2 * count));
            assert!(damaged.sum().2 <= count, "{:?}", damaged.sum());
        }
    }
}
