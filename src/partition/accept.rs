//! Taking entries in: into the view, and encoded into the group that the next flush takes, in the segment where they belong.

use super::append::Checksums;
use super::limits::Limit;
use super::log::Log;
use super::parts::{encode_record, Extent, Group, Sealed, Tail, Undo};
use super::types::{EntryRef, Mode};
use super::Partition;
use crate::error::{Error, Op, Result, Status};
use crate::format::{BeginData, RecordHeader, RecordType, BEGIN_DATA_BYTES, RECORD_HEADER_BYTES};
use std::time::Duration;

/// Space a begin record takes.
const BEGIN_BYTES: u64 = (RECORD_HEADER_BYTES + BEGIN_DATA_BYTES) as u64;
/// A segment that fills faster than this is followed by one of twice the size.
const FILL_FAST: Duration = Duration::from_secs(10);
/// One that fills slower than this, by one of half the size.
const FILL_SLOW: Duration = Duration::from_secs(600);

impl Partition {
    /// Puts the entries into the group that the next flush takes. Returns the last lsn.
    pub(super) fn accept(&self, log: &mut Log, entries: &[EntryRef<'_>], sums: &Checksums) -> Result<u64> {
        let need = entries.iter().map(|e| record_bytes(e.data.len())).sum::<u64>();
        let first = entries.first().map_or(0, |e| e.index);
        let replaces = self.replace_suffix(log, first);
        if replaces || !fits(log, need) {
            self.switch_segment(log, need, !replaces);
        }
        self.ensure_group(log, first)?;
        for (i, e) in entries.iter().enumerate() {
            self.push_record(log, RecordType::Entry, e, sums.get(i));
        }
        self.counts.add_append(entries);
        if let Some(group) = log.groups.back_mut() {
            group.since.get_or_insert_with(|| self.host.now());
        }
        if self.mode == Mode::Interval {
            log.acked = extent(log);
        }
        Ok(log.next_lsn - 1)
    }

    /// The term of the entry before `first`, which is known by now.
    pub(super) fn term_before(&self, log: &Log, first: u64) -> u64 {
        if first > log.last.0 {
            log.last.1
        } else if first - 1 <= log.compaction.0 {
            log.compaction.1
        } else {
            self.term_locked(log, first - 1).unwrap_or(0)
        }
    }

    /// Takes entries from `first` on out of the view, to be put back if their replacement fails. True if there were any.
    pub(super) fn replace_suffix(&self, log: &mut Log, first: u64) -> bool {
        if first > log.last.0 {
            return false;
        }
        let undo = Undo { lsn: log.next_lsn, live: log.live.clone() };
        log.undo.push(undo);
        log.cut_live(first);
        log.last = (first - 1, self.term_before(log, first));
        if self.mode != Mode::Sync {
            log.durable.index = log.durable.index.min(first - 1);
        }
        while log.cache.back().is_some_and(|g| g.entries.1 >= first) {
            if let Some(group) = log.cache.pop_back() {
                log.cache_bytes -= group.buf.capacity();
                self.host.cache_released(group.buf.capacity());
            }
        }
        true
    }

    /// Ends the tail, which is `full` or not wanted any more; the next record begins a segment.
    pub(super) fn switch_segment(&self, log: &mut Log, need: u64, full: bool) {
        if let Some(tail) = log.tail.take() {
            if full && !tail.healed {
                self.resize_segments(log, self.host.now() - tail.since);
            }
            if self.mode == Mode::None {
                let extent = extent(log);
                log.sealed.push(Sealed { segment: tail.segment, extent });
            } else if !log.is_flushing(&tail.segment) {
                tail.segment.seal();
            }
        }
        let block = u64::from(log.block_bytes);
        let segment = log.take_segment(block.max(4096) + BEGIN_BYTES + need + block, self.mode, self.host.random_id());
        let offset = u64::from(segment.header.header_bytes);
        log.tail = Some(Tail { segment, offset, since: self.host.now(), healed: false });
        self.maintain_soon();
    }

    fn resize_segments(&self, log: &mut Log, filled_in: Duration) {
        let (low, high) = (self.limits.get(Limit::SegmentMinBytes), self.limits.get(Limit::SegmentMaxBytes));
        let wanted = match filled_in {
            fast if fast < FILL_FAST => log.segment_bytes * 2,
            slow if slow > FILL_SLOW => log.segment_bytes / 2,
            _ => log.segment_bytes,
        };
        log.segment_bytes = wanted.min(high).max(low);
        log.spare_target = match filled_in.as_millis() {
            0..=99 => 4,
            100..=999 => 2,
            _ => 1,
        };
    }

    /// Makes sure that the last group takes records of the tail; a segment's first group starts with its begin record.
    pub(super) fn ensure_group(&self, log: &mut Log, first: u64) -> Result<()> {
        if log.open_group().is_some() {
            return Ok(());
        }
        let Some(tail) = log.tail.as_ref() else {
            return Err(Error::new(Status::Panic, Op::Append, "no tail segment; this is a bug of the library")
                .partition(self.id));
        };
        let (segment, offset) = (tail.segment.clone(), tail.offset);
        let begins = offset == u64::from(segment.header.header_bytes);
        let placeholder = RecordHeader {
            record_type: RecordType::Mark,
            kind: 0,
            length: 0,
            data_crc: 0,
            lsn: 0,
            index: 0,
            term: 0,
            mark: 0,
            commit: 0,
        };
        let buf = self.take_buffer(log);
        let group = Group {
            segment,
            offset,
            buf,
            first: placeholder,
            last_lsn: 0,
            last: log.last,
            entries: (1, 0),
            end: log.end,
            tokens: Vec::new(),
            since: None,
        };
        log.groups.push_back(group);
        if begins {
            let begin = log.end.encode();
            let record = EntryRef { index: first, term: log.last.1, kind: 0, data: &begin };
            self.push_record(log, RecordType::Begin, &record, crc32fast::hash(&begin));
        }
        Ok(())
    }

    /// Encodes one record at the end of the last group and takes it into the view.
    pub(super) fn push_record(&self, log: &mut Log, record_type: RecordType, e: &EntryRef<'_>, crc: u32) {
        let header = log.record(record_type, e.kind, e.index, e.term, e.data.len() as u32, crc);
        let Some(group) = log.groups.back_mut() else { return };
        if group.buf.is_empty() {
            group.first = header;
        }
        let segment = group.segment.clone();
        let offset = encode_record(&mut group.buf, group.offset, &segment.salt, &header, e.data);
        let end = group.offset + group.buf.len() as u64;
        group.last_lsn = header.lsn;
        group.end = BeginData { segment: segment.sequence(), end_offset: end, last_lsn: header.lsn };
        if record_type == RecordType::Entry {
            if group.entries.0 > group.entries.1 {
                group.entries.0 = e.index;
            }
            group.entries.1 = e.index;
            group.last = (e.index, e.term);
            segment.index.lock().note(e.index, e.term, offset);
        }
        log.end = group.end;
        if record_type == RecordType::Entry {
            log.push_entry(&segment, e.index, e.term, end);
        }
        if let Some(tail) = log.tail.as_mut() {
            tail.offset = end;
        }
    }
}

pub(super) fn record_bytes(data: usize) -> u64 {
    crate::format::align8((RECORD_HEADER_BYTES + data) as u64)
}

/// The log as accepted, as an extent.
pub(super) fn extent(log: &Log) -> Extent {
    Extent { lsn: log.next_lsn - 1, index: log.last.0, term: log.last.1, end: log.end }
}

/// True if the tail has room for records of `need` bytes.
pub(super) fn fits(log: &Log, need: u64) -> bool {
    let block = u64::from(log.block_bytes);
    log.tail.as_ref().is_some_and(|t| (t.offset + need).next_multiple_of(block) <= t.segment.capacity)
}
