//! Numbers and sizes of segments to come.

use super::log::Log;
use super::types::Mode;
use crate::format::{Id, SegmentHeader};
use crate::segment::Segment;
use std::sync::Arc;

impl Log {
    /// A segment to begin at: a spare that is large enough, or a number without a file yet. Segments begin in the order of numbers.
    pub fn take_segment(&mut self, need: u64, mode: Mode, new_salt: Id) -> Arc<Segment> {
        let newest = self.newest_begun;
        // In mode none the capacity is only a rule for when to rotate.
        let fit = |s: &Arc<Segment>| s.sequence() > newest && (s.capacity >= need || mode == Mode::None);
        let ready = self.spares.iter().chain(self.unbacked.iter()).find(|s| fit(s)).cloned();
        let segment = ready.unwrap_or_else(|| self.plan_segment(need, new_salt));
        self.newest_begun = segment.sequence();
        self.spares.retain(|s| s.sequence() > segment.sequence());
        segment
    }

    /// Numbers that nobody begun yet, with a file or without.
    pub fn ahead(&self) -> usize {
        self.spares.len() + self.unbacked.iter().filter(|s| s.sequence() > self.newest_begun).count()
    }

    /// Gives a new segment its number; its file is created later, in the order of numbers.
    pub fn plan_segment(&mut self, need: u64, salt: Id) -> Arc<Segment> {
        self.plan_segment_of(self.segment_bytes, need, salt)
    }

    /// The same with at least this many bytes.
    pub fn plan_segment_of(&mut self, bytes: u64, need: u64, salt: Id) -> Arc<Segment> {
        let block = u64::from(self.block_bytes);
        let header_bytes = block.max(4096);
        let capacity = bytes.max(need.saturating_add(header_bytes)).next_multiple_of(block);
        let header = SegmentHeader {
            header_bytes: header_bytes as u32,
            partition_id: self.desired.partition_id,
            incarnation: self.desired.incarnation,
            epoch: self.desired.epoch,
            salt,
            sequence: self.next_sequence,
            block_bytes: self.block_bytes,
            zeroed: true,
        };
        self.next_sequence += 1;
        let segment = Arc::new(Segment::new(header, capacity));
        segment.index.lock().mark_complete();
        self.unbacked.push_back(segment.clone());
        segment
    }
}
