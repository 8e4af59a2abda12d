//! Where a read finds its next entries, and how it takes them from there.

use super::log::Log;
use super::parts::{Group, Live};
use super::types::Entry;
use crate::format::{RecordHeader, RecordType, RECORD_HEADER_BYTES};
use crate::io::File;
use crate::segment::{read_records, ReadError, Take};
use std::sync::Arc;

/// Where the next entry of a read comes from.
pub(super) enum Source {
    Memory(Arc<Group>),
    /// Copied out of a group that may still grow.
    Copied(Vec<Entry>),
    Segment(Live),
}

/// Reads from `from` on what is wanted next of a segment.
pub(super) fn read_file(
    file: &dyn File,
    live: &Live,
    from: u64,
    reading: &mut Reading<'_, '_>,
) -> std::result::Result<(), ReadError> {
    let mut cursor = live.segment.cursor(file, live.end);
    cursor.expect(reading.max_bytes);
    let (lo, hi) = (reading.next, live.last.min(reading.end.saturating_sub(1)));
    read_records(&mut cursor, from, lo, hi, &mut |index, term, kind, data| reading.give(index, term, kind, data))
        .map(|_| ())
}

/// Where a read stands.
pub(super) struct Reading<'t, 'f> {
    pub next: u64,
    /// Behind the last index wanted from the source at hand.
    pub end: u64,
    pub bytes: u64,
    pub max_bytes: u64,
    pub stopped: bool,
    pub take: &'t mut Take<'f>,
}

impl Reading<'_, '_> {
    /// The read goes through all that counts of a segment: it finds its entries without an index.
    pub fn takes_all_of(&self, live: &Live) -> bool {
        self.next == live.first && self.end > live.last && self.max_bytes.saturating_sub(self.bytes) >= live.end
    }

    /// True if the read goes on.
    pub fn give(&mut self, index: u64, term: u64, kind: u8, data: &[u8]) -> bool {
        if self.stopped || index >= self.end {
            return false;
        }
        if !(self.take)(index, term, kind, data) {
            self.stopped = true;
            return false;
        }
        self.next = index + 1;
        self.bytes = self.bytes.saturating_add(data.len() as u64);
        self.stopped = self.bytes > self.max_bytes;
        !self.stopped
    }
}

/// Where the next entry of a read is. Memory first: what raft reads is mostly what it has just written.
pub(super) fn source(log: &Log, wanted: &Reading<'_, '_>) -> Option<Source> {
    let index = wanted.next;
    let live = log.locate(index)?;
    let holds = |g: &Group| g.entries.0 <= index && index <= g.entries.1 && Arc::ptr_eq(&g.segment, &live.segment);
    if let Some(group) = log.groups.iter().rev().find(|g| holds(g)) {
        let mut entries = Vec::new();
        let mut copy = |i: u64, term: u64, kind: u8, data: &[u8]| {
            entries.push(Entry { index: i, term, kind, data: data.to_vec() });
            true
        };
        // No more than the read takes: this is under the lock.
        let max_bytes = wanted.max_bytes.saturating_sub(wanted.bytes);
        let (next, end) = (index, wanted.end);
        let mut copying = Reading { next, end, bytes: 0, max_bytes, stopped: false, take: &mut copy };
        return read_group(group, &mut copying).ok().map(|()| Source::Copied(entries));
    }
    if let Some(group) = log.in_flight.as_ref().filter(|g| holds(g)) {
        return Some(Source::Memory(group.clone()));
    }
    let after = log.cache.partition_point(|g| g.entries.0 <= index);
    let cached = after.checked_sub(1).and_then(|i| log.cache.get(i)).filter(|g| holds(g));
    if let Some(group) = cached {
        return Some(Source::Memory(group.clone()));
    }
    Some(Source::Segment(live.clone()))
}

/// Reads a group's buffer, with the same checks as a file.
pub(super) fn read_group(group: &Group, reading: &mut Reading<'_, '_>) -> std::result::Result<(), ReadError> {
    let mut at = 0usize;
    while reading.next < reading.end && reading.next <= group.entries.1 {
        let bytes = group.buf.get(at..).unwrap_or(&[]);
        let Some(header) = RecordHeader::decode(bytes, &group.segment.salt, group.offset + at as u64) else {
            return Err(damage(reading.next));
        };
        at += header.total_bytes() as usize;
        if header.record_type != RecordType::Entry || header.index < reading.next {
            continue;
        }
        let data = bytes.get(RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + header.length as usize).unwrap_or(&[]);
        if !header.data_matches(data) {
            return Err(damage(reading.next));
        }
        if !reading.give(header.index, header.term, header.kind, data) {
            break;
        }
    }
    Ok(())
}

pub(super) fn damage(index: u64) -> ReadError {
    ReadError::Damaged { first: index }
}
