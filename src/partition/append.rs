//! Append: check, encode, hand to the disk, wait.

use super::limits::Limit;
use super::log::Log;
use super::parts::{encode_record, Extent, Group, Sealed, Submitted, Tail, Undo};
use super::types::{Completion, EntryRef, Mode, State};
use super::Partition;
use crate::error::{Error, Op, Result, Status};
use crate::format::{
    BeginData, RecordHeader, RecordType, BEGIN_DATA_BYTES, MAX_COUNTER, MAX_DATA_BYTES, RECORD_HEADER_BYTES,
};
use crate::sync::MutexGuard;
use std::time::Duration;

/// Space a begin record takes.
const BEGIN_BYTES: u64 = (RECORD_HEADER_BYTES + BEGIN_DATA_BYTES) as u64;
/// Most accepted bytes of one partition that wait for a flush; more wait in the call.
const PENDING_MAX_BYTES: usize = 8 << 20;
/// A segment that fills faster than this is followed by one of twice the size.
const FILL_FAST: Duration = Duration::from_secs(10);
/// One that fills slower than this, by one of half the size.
const FILL_SLOW: Duration = Duration::from_secs(600);

/// Checksums of a batch, made before the lock is taken; the stack is enough for the batches raft makes.
pub(super) struct Checksums {
    few: [u32; 64],
    many: Vec<u32>,
}

impl Checksums {
    pub fn of(entries: &[EntryRef<'_>]) -> Checksums {
        let mut sums = Checksums { few: [0; 64], many: Vec::new() };
        if entries.len() <= sums.few.len() {
            for (sum, entry) in sums.few.iter_mut().zip(entries) {
                *sum = crc32fast::hash(entry.data);
            }
        } else {
            sums.many = entries.iter().map(|e| crc32fast::hash(e.data)).collect();
        }
        sums
    }

    pub fn get(&self, i: usize) -> u32 {
        self.many.get(i).or_else(|| self.few.get(i)).copied().unwrap_or(0)
    }
}

impl Partition {
    /// Appends entries, all or nothing; returns when they are as durable as the partition's mode says.
    ///
    /// A first index at or below the last entry replaces the suffix from there on. In modes sync and interval the call waits at most
    /// `stall_limit_ms`; in mode none it writes on this thread and takes as long as the kernel does, but at most that long behind others.
    /// Thread-safe; entries of concurrent calls must still arrive in order.
    ///
    /// Errors: `NoEntries`, `OutOfOrder`, `Gap`, `Compacted`, `CommitOutOfRange` (it would replace committed entries), `TermRegression`,
    /// `EntryTooLarge`, `BatchTooLarge`: nothing changed.
    /// Otherwise the fault that latched the partition, the same one every time until it has recovered.
    pub fn append(&self, entries: &[EntryRef<'_>]) -> Result<()> {
        let began = self.append_begins();
        let result = self.append_durably(entries);
        self.append_ended(began, result.is_ok());
        result
    }

    fn append_durably(&self, entries: &[EntryRef<'_>]) -> Result<()> {
        self.check_sizes(entries)?;
        let sums = Checksums::of(entries);
        if self.mode == Mode::None {
            let mut faults = 0;
            // Not as one closure for both: the call that succeeds would pay for it.
            return match self.append_unsynced(entries, &sums, &mut faults) {
                Ok(()) => Ok(()),
                Err(error) => self
                    .healed_on_this_thread(error, faults, &mut |faults| self.append_unsynced(entries, &sums, faults)),
            };
        }
        let mut log = self.log.lock();
        self.make_ready(&mut log, first_index(entries))?;
        self.check_entries(&log, entries)?;
        let lsn = self.accept(&mut log, entries, &sums)?;
        let faults = log.fault_count;
        if self.mode == Mode::Interval {
            self.schedule_later(&mut log);
            return Ok(());
        }
        self.schedule(&mut log);
        drop(log);
        self.wait_durable(lsn, faults)
    }

    /// `append` without the wait: `Ok` means accepted, and a completion with `token` follows exactly once.
    pub fn submit(&self, entries: &[EntryRef<'_>], token: u64) -> Result<()> {
        if self.mode != Mode::Sync {
            self.append(entries)?;
            self.host.complete(&[Completion { token, status: Status::Ok, errno: 0, tag: self.tag() }]);
            return Ok(());
        }
        let at = self.host.now();
        self.check_sizes(entries)?;
        let sums = Checksums::of(entries);
        let mut log = self.log.lock();
        self.make_ready(&mut log, first_index(entries))?;
        self.check_entries(&log, entries)?;
        self.accept(&mut log, entries, &sums)?;
        if let Some(group) = log.groups.back_mut() {
            group.tokens.push(Submitted { token, at });
        }
        self.schedule(&mut log);
        Ok(())
    }

    fn refuse(&self, status: Status, message: String) -> Error {
        Error::new(status, Op::Append, message).partition(self.id).at(&self.path)
    }

    fn check_sizes(&self, entries: &[EntryRef<'_>]) -> Result<()> {
        if entries.is_empty() {
            return Err(self.refuse(Status::NoEntries, "the batch is empty; give at least one entry".into()));
        }
        let limit = self.limits.get(Limit::MaxEntryBytes) as usize;
        let mut total = 0u64;
        for e in entries {
            if e.data.len() > limit {
                let message =
                    format!("entry {} has {} bytes; the engine's max_entry_bytes is {limit}", e.index, e.data.len());
                return Err(self.refuse(Status::EntryTooLarge, message).range(e.index, e.index));
            }
            total += e.data.len() as u64 + RECORD_HEADER_BYTES as u64 + 8;
        }
        let most = u64::from(MAX_DATA_BYTES) + (1 << 20);
        if total > most {
            let message = format!("the batch takes {total} bytes; at most {most} go into one append: split it");
            return Err(self.refuse(Status::BatchTooLarge, message));
        }
        Ok(())
    }

    pub(super) fn check_entries(&self, log: &Log, entries: &[EntryRef<'_>]) -> Result<()> {
        self.check_writable(log, Op::Append)?;
        let Some(first) = entries.first() else { return Ok(()) };
        if first.index <= log.compaction.0 {
            let message = format!(
                "entry {} is at or below the compaction point {}; append from {} on",
                first.index,
                log.compaction.0,
                log.compaction.0 + 1
            );
            return Err(self.refuse(Status::Compacted, message).range(first.index, first.index));
        }
        if first.index - 1 > log.last.0 {
            let message = format!(
                "entry {} leaves a gap: the last entry is {}; append from {} on",
                first.index,
                log.last.0,
                log.last.0 + 1
            );
            return Err(self.refuse(Status::Gap, message).range(log.last.0 + 1, first.index - 1));
        }
        if first.index <= log.commit {
            let message = format!(
                "entry {} is committed (commit is {}); committed entries are never replaced",
                first.index, log.commit
            );
            return Err(self.refuse(Status::CommitOutOfRange, message).range(first.index, log.commit));
        }
        let mut term = if first.index - 1 == log.last.0 { log.last.1 } else { self.term_locked(log, first.index - 1)? };
        let mut index = first.index - 1;
        for e in entries {
            if e.index >= MAX_COUNTER || e.index != index + 1 {
                let message =
                    format!("entry {} follows entry {index} in the batch; indexes must go up by one", e.index);
                return Err(self.refuse(Status::OutOfOrder, message).range(e.index, e.index));
            }
            if e.term < term {
                let message =
                    format!("entry {} has term {}, the one before it {term}; terms never go back", e.index, e.term);
                return Err(self.refuse(Status::TermRegression, message).range(e.index, e.index));
            }
            index = e.index;
            term = e.term;
        }
        Ok(())
    }

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

    /// Waits for room, and learns the term before `first`: that may free the lock, and then a flush may fail meanwhile.
    fn make_ready(&self, log: &mut MutexGuard<'_, Log>, first: u64) -> Result<()> {
        loop {
            self.wait_for_room(log)?;
            self.know_term(log, first.saturating_sub(1))?;
            if log.trouble.is_none() {
                return Ok(());
            }
        }
    }

    /// Waits while too much is accepted and not flushed: memory is bounded, whatever the disk does.
    fn wait_for_room(&self, log: &mut MutexGuard<'_, Log>) -> Result<()> {
        let deadline = self.stall_deadline();
        let faults = log.fault_count;
        while (log.trouble.is_some() || log.pending_bytes() > PENDING_MAX_BYTES) && log.state == State::ReadWrite {
            self.schedule(log);
            if self.wait(log, deadline) && log.fault_count == faults {
                self.latch_stalled(log, Op::Append);
            }
        }
        self.check_writable(log, Op::Append)
    }

    /// Waits until `lsn` is durable, or a fault after `faults` ends the wait.
    pub(super) fn wait_durable(&self, lsn: u64, faults: u64) -> Result<()> {
        let deadline = self.stall_deadline();
        let mut log = self.log.lock();
        loop {
            if let Some(outcome) = log.ended_wait(faults, |end| end.lsn >= lsn) {
                return outcome;
            }
            if log.durable.lsn >= lsn {
                return Ok(());
            }
            if matches!(log.state, State::Unavailable | State::Closed) {
                return Err(self.fault_error(&log, Op::Append));
            }
            if self.wait(&mut log, deadline) && log.durable.lsn < lsn && log.fault_count == faults {
                self.latch_stalled(&mut log, Op::Append);
            }
        }
    }
}

pub(super) fn first_index(entries: &[EntryRef<'_>]) -> u64 {
    entries.first().map_or(0, |e| e.index)
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
