//! What memory keeps of a segment: a place every few KiB and where terms change. A few bytes per entry at most.

/// Bytes between two remembered places; a read scans at most this much to find its first entry.
const STRIDE_BYTES: u64 = 16 << 10;

#[derive(Clone, Debug, Default)]
pub struct SegmentIndex {
    /// (index, offset) of some entries, ascending.
    places: Vec<(u64, u64)>,
    /// (first index, term), ascending; a run ends where the next begins.
    terms: Vec<(u64, u64)>,
    /// True once all entries of the segment were seen.
    complete: bool,
}

impl SegmentIndex {
    pub fn note(&mut self, index: u64, term: u64, offset: u64) {
        if self.places.last().map_or(true, |(_, at)| offset - at >= STRIDE_BYTES) {
            self.places.push((index, offset));
        }
        if self.terms.last().map_or(true, |(_, t)| *t != term) {
            self.terms.push((index, term));
        }
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
        after.checked_sub(1).and_then(|i| self.terms.get(i)).map(|(_, term)| *term)
    }
}
