//! What memory keeps of a segment: a place every few KiB, where terms change, and which entries are missing. A few bytes per entry at most.

/// Bytes between two remembered places; a read scans at most this much to find its first entry.
const STRIDE_BYTES: u64 = 16 << 10;

#[derive(Clone, Debug, Default)]
pub struct SegmentIndex {
    /// (index, offset) of some entries, ascending.
    places: Vec<(u64, u64)>,
    /// (first index, term), ascending; a run ends where the next begins. No term: these entries are damaged or missing.
    terms: Vec<(u64, Option<u64>)>,
    /// Behind the last entry that was seen.
    next: u64,
    /// True once all entries of the segment were seen.
    complete: bool,
}

impl SegmentIndex {
    /// An entry that is whole: as it was written, or read and checked. In ascending order; one that was left out has no term.
    pub fn note(&mut self, index: u64, term: u64, offset: u64) {
        if index < self.next {
            return;
        }
        if self.places.last().map_or(true, |(_, at)| offset - at >= STRIDE_BYTES) {
            self.places.push((index, offset));
        }
        if self.next > 0 && index > self.next {
            self.terms.push((self.next, None));
        }
        if self.terms.last().map_or(true, |(_, t)| *t != Some(term)) {
            self.terms.push((index, Some(term)));
        }
        self.next = index + 1;
    }

    pub fn mark_complete(&mut self) {
        self.complete = true;
    }

    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// The last remembered place at or before `index`.
    pub fn place(&self, index: u64) -> Option<(u64, u64)> {
        let after = self.places.partition_point(|(i, _)| *i <= index);
        after.checked_sub(1).and_then(|i| self.places.get(i)).copied()
    }

    pub fn term(&self, index: u64) -> Option<u64> {
        let after = self.terms.partition_point(|(i, _)| *i <= index);
        let run = after.checked_sub(1).and_then(|i| self.terms.get(i)).filter(|_| index < self.next);
        run.and_then(|(_, term)| *term)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_seen_has_no_term() {
        let mut index = SegmentIndex::default();
        for (i, term) in [(3, 1), (4, 1), (6, 1), (9, 2), (10, 2)] {
            index.note(i, term, i * 100);
        }
        let terms: Vec<_> = (2..=11).map(|i| index.term(i)).collect();
        let (one, two) = (Some(1), Some(2));
        assert_eq!(terms, [None, one, one, None, one, None, None, two, two, None]);
    }
}
