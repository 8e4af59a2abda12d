//! Recovery by call: what failed is abandoned, a new segment takes over, and it is read back from the medium before anything is
//! acknowledged again. The failed file is never written or synced again.

use super::append::{extent, record_bytes};
use super::log::{encode_record, Group, Live, Log, Tail};
use super::types::{Entry, Mode, State};
use super::{random_id, Partition};
use crate::error::{Cause, Error, Op, Result, Status};
use crate::format::{BeginData, RecordHeader, RecordType, BEGIN_DATA_BYTES, RECORD_HEADER_BYTES};
use crate::io::{write_durable_at, Access, AlignedBuf, File};
use crate::segment::{read_records, scan, ReadError, Segment};
use crate::sync::MutexGuard;
use std::sync::Arc;

/// What a new segment has to hold: entries that are acknowledged and not on the medium, and what they continue.
pub(super) struct Rescue {
    entries: Vec<Entry>,
    first: u64,
    end: BeginData,
}

impl Partition {
    /// Makes a ReadOnly or Unavailable partition ReadWrite again, if the disk allows it. A partition that is ReadWrite stays so.
    ///
    /// Errors: `Busy` while an operation hangs in the kernel; `LostEntries` if acknowledged entries are gone (status says which; the
    /// partition stays Unavailable: the owner decides whether to rejoin as an empty replica); otherwise what failed this time.
    pub fn recover(&self) -> Result<()> {
        let _operation = self.operation.lock();
        let (state, sound) = {
            let mut log = self.log.lock();
            if log.state == State::ReadWrite {
                return Ok(());
            }
            if log.state == State::Closed {
                return Err(self.fault_error(&log, Op::Recover));
            }
            self.wait_for_kernel(&mut log)?;
            let state = log.state;
            self.set_state(&mut log, State::Recovering, Cause::None, Op::Recover, 0, (0, 0));
            (state, log.sound)
        };
        let result = if sound { self.heal() } else { self.load(false).map_err(|e| e.partition(self.id)) };
        let mut log = self.log.lock();
        match result {
            Ok(()) => {
                log.fault = None;
                // A reset that a panic ended has not taken it back.
                log.exclusive = false;
                self.set_state(&mut log, State::ReadWrite, Cause::None, Op::Recover, 0, (0, 0));
                Ok(())
            }
            Err(error) => {
                log.counters.errors += 1;
                if error.status == Status::LostEntries || log.fault.is_none() {
                    log.fault = Some(error.clone());
                }
                let back = if error.cause() == Cause::NoSpace { state } else { State::Unavailable };
                self.set_state(&mut log, back, error.cause(), Op::Recover, error.errno, error.range);
                Err(error)
            }
        }
    }

    /// Waits until no operation of this partition is in the kernel: there is never a second attempt beside the first.
    fn wait_for_kernel(&self, log: &mut MutexGuard<'_, Log>) -> Result<()> {
        let deadline = self.stall_deadline();
        while log.in_flight.is_some() && !self.wait(log, deadline) {}
        let free = MutexGuard::unlocked(log, || {
            self.root.try_lock_until(deadline).is_some() && self.allocation.try_lock_until(deadline).is_some()
        });
        if free && log.in_flight.is_none() {
            return Ok(());
        }
        let message = "an operation of this partition has not come back from the kernel; try again when it has";
        Err(Error::new(Status::Busy, Op::Recover, message).partition(self.id).at(&self.path))
    }

    fn heal(&self) -> Result<()> {
        let rescue = self.rescue()?;
        self.heal_with(rescue)
    }

    /// A new segment with what has to be rescued takes over from what failed.
    pub(super) fn heal_with(&self, rescue: Rescue) -> Result<()> {
        let need =
            rescue.entries.iter().map(|e| record_bytes(e.data.len())).sum::<u64>() + record_bytes(BEGIN_DATA_BYTES);
        let segment = {
            let mut log = self.log.lock();
            // Whatever the failed attempt had prepared is not used.
            log.spares.clear();
            log.unbacked.clear();
            log.newest_begun =
                log.stored.last_segment.max(log.tried_sequence).max(log.stored.first_segment.saturating_sub(1));
            log.next_sequence = log.newest_begun + 1;
            log.forget_wishes();
            let block = u64::from(log.block_bytes);
            let segment = log.plan_segment(need + block, random_id());
            log.unbacked.clear();
            segment
        };
        let _one_at_a_time = self.allocation.lock();
        let access = if self.mode == Mode::None { Access::Buffered } else { Access::Durable };
        let file = segment
            .create(&*self.dir(Op::Recover)?, access, None)
            .map_err(|e| self.io_error(Op::Recover, &e, "creating a segment", &segment.name()))?;
        let group = self.write_rescue(&segment, &*file, &rescue)?;
        self.read_back(&segment, &group)?;
        // Named only now: a segment that a crash left half written must not supersede what it was to replace.
        self.name_segment(&segment)?;
        segment.publish(file);
        self.take_over(segment, rescue, &group);
        Ok(())
    }

    /// Mode sync has nothing at risk. Mode interval has it in memory. Mode none compares the medium with what was acknowledged.
    fn rescue(&self) -> Result<Rescue> {
        let log = self.log.lock();
        let nothing = Rescue { entries: Vec::new(), first: log.last.0 + 1, end: log.acked.end };
        match self.mode {
            Mode::Sync => Ok(nothing),
            Mode::Interval => {
                let entries = entries_of(&log);
                match entries.first() {
                    Some(first) => Ok(Rescue { first: first.index, end: log.durable.end, entries }),
                    None => Ok(Rescue { end: log.durable.end, ..nothing }),
                }
            }
            Mode::None => {
                let (from, last, live) = (log.durable.index.max(log.compaction.0) + 1, log.last.0, log.live.clone());
                let end = log.durable.end;
                drop(log);
                self.rescue_unsynced(from, last, &live, end)
            }
        }
    }

    /// Everything that was never synced is written anew: a file on which an operation failed is not synced again, so nothing in it becomes
    /// durable. It is read from the medium, or, where the medium has not got it, from the page cache: every entry is checked, so it does
    /// not matter who kept the bytes.
    pub(super) fn rescue_unsynced(&self, from: u64, last: u64, live: &[Live], end: BeginData) -> Result<Rescue> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut failed = None;
        for access in [Access::ReadDirect, Access::Read] {
            let next = from + entries.len() as u64;
            failed = self.read_rest(next, last, live, access, &mut entries)?;
        }
        let gone = from + entries.len() as u64;
        if let (Some(e), true) = (failed, gone <= last) {
            // What cannot be read now is not known to be lost.
            return Err(self.io_error(Op::Recover, &e, "reading entries to write them anew", "").range(gone, last));
        }
        if gone <= last {
            self.log.lock().lost = (gone, last);
            let message = format!(
                "entries {gone} to {last} were acknowledged and are neither on the disk nor in memory; close the partition and rejoin as an empty replica"
            );
            let error = Error::new(Status::LostEntries, Op::Recover, message);
            return Err(error.partition(self.id).at(&self.path).range(gone, last));
        }
        Ok(Rescue { entries, first: from, end })
    }

    /// Adds entries from `next` on, up to the first that is damaged or cannot be read; then the read's error is returned.
    fn read_rest(
        &self,
        next: u64,
        last: u64,
        live: &[Live],
        access: Access,
        entries: &mut Vec<Entry>,
    ) -> Result<Option<std::io::Error>> {
        let mut next = next;
        let dir = self.dir(Op::Recover)?;
        for part in live {
            if part.last < next {
                continue;
            }
            if next > last || part.first > next {
                break;
            }
            let file = match dir.open(&part.segment.name(), access) {
                Ok(file) => file,
                Err(e) => return Ok(Some(e)),
            };
            let mut cursor = part.segment.cursor(&*file, part.end);
            let start = u64::from(part.segment.header.header_bytes);
            let place = part.segment.index.lock().place(next).map_or(start, |p| p.1);
            let read = read_records(&mut cursor, place, next, part.last.min(last), &mut |index, term, kind, data| {
                entries.push(Entry { index, term, kind, data: data.to_vec() });
                next = index + 1;
                true
            });
            match read {
                Ok(_) => {}
                Err(ReadError::Io(e)) => return Ok(Some(e)),
                Err(ReadError::Damaged { .. }) => break,
            }
        }
        Ok(None)
    }

    /// Writes the begin record and the rescued entries in one go and makes them durable.
    fn write_rescue(&self, segment: &Arc<Segment>, file: &dyn File, rescue: &Rescue) -> Result<Group> {
        let offset = u64::from(segment.header.header_bytes);
        let begin = rescue.end.encode();
        let mut buf = AlignedBuf::new();
        let mut log = self.log.lock();
        let term = self.term_locked(&log, rescue.first - 1).unwrap_or(0);
        let first =
            log.record(RecordType::Begin, 0, rescue.first, term, BEGIN_DATA_BYTES as u32, crc32fast::hash(&begin));
        encode_record(&mut buf, offset, &segment.salt, &first, &begin);
        let mut last = (rescue.first - 1, log.last.1);
        for e in &rescue.entries {
            let header =
                log.record(RecordType::Entry, e.kind, e.index, e.term, e.data.len() as u32, crc32fast::hash(&e.data));
            let at = encode_record(&mut buf, offset, &segment.salt, &header, &e.data);
            segment.index.lock().note(e.index, e.term, at);
            last = (e.index, e.term);
        }
        let last_lsn = log.next_lsn - 1;
        let end = BeginData { segment: segment.sequence(), end_offset: offset + buf.len() as u64, last_lsn };
        let block = log.block_bytes as usize;
        drop(log);
        buf.resize(buf.len().next_multiple_of(block));
        let name = segment.name();
        write_durable_at(file, &buf, offset)
            .map_err(|e| self.io_error(Op::Recover, &e, "writing the new segment", &name))?;
        Ok(Group {
            segment: segment.clone(),
            offset,
            buf,
            first,
            last_lsn,
            last,
            entries: (rescue.first, last.0),
            end,
            tokens: Vec::new(),
        })
    }

    /// What the medium holds, not what the cache says it holds.
    fn read_back(&self, segment: &Segment, group: &Group) -> Result<()> {
        let name = segment.name();
        let fail = |e: &std::io::Error| self.io_error(Op::Recover, e, "reading the new segment back", &name);
        let file = self.dir(Op::Recover)?.open(&name, Access::ReadDirect).map_err(|e| fail(&e))?;
        let mut cursor = segment.cursor(&*file, group.end.end_offset);
        let scanned = scan(&mut cursor, group.offset);
        let whole = scanned.runs.len() == 1 && scanned.runs.first().is_some_and(|r| r.last_lsn == group.last_lsn);
        if let Some(e) = scanned.unreadable {
            return Err(fail(&e));
        }
        if whole {
            return Ok(());
        }
        let message =
            "the new segment reads back differently from what was written; the disk loses or misplaces writes";
        Err(Error::new(Status::IoError, Op::Recover, message).partition(self.id).at(&self.path.join(&name)))
    }

    fn take_over(&self, segment: Arc<Segment>, rescue: Rescue, group: &Group) {
        let mut log = self.log.lock();
        let log = &mut *log;
        log.lost = (0, 0);
        log.groups.clear();
        log.undo.clear();
        log.sealed.clear();
        log.cut_live(rescue.first);
        for e in &rescue.entries {
            log.push_entry(&segment, e.index, e.term, group.end.end_offset);
        }
        log.end = group.end;
        let offset = group.offset + group.buf.len() as u64;
        log.newest_begun = segment.sequence();
        log.spares.retain(|s| s.sequence() > segment.sequence());
        log.tail = Some(Tail { segment, offset, since: self.host.now() });
        let extent = extent(log);
        log.acked = extent;
        log.durable = extent;
    }
}

/// The entries of the groups in memory, as the log has them now: a later group may replace what an earlier one holds.
fn entries_of(log: &Log) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for group in &log.groups {
        let mut at = 0usize;
        while let Some(header) =
            RecordHeader::decode(group.buf.get(at..).unwrap_or(&[]), &group.segment.salt, group.offset + at as u64)
        {
            let data = at + RECORD_HEADER_BYTES;
            at += header.total_bytes() as usize;
            if header.record_type != RecordType::Entry {
                continue;
            }
            let Some(bytes) = group.buf.get(data..data + header.length as usize) else { break };
            while entries.last().is_some_and(|e| e.index >= header.index) {
                entries.pop();
            }
            entries.push(Entry { index: header.index, term: header.term, kind: header.kind, data: bytes.to_vec() });
        }
    }
    entries.retain(|e| e.index > log.compaction.0);
    entries
}
