//! Healing: what failed is abandoned, a new segment takes over, and it is read back from the medium before anything relies on it.
//! The failed file is never written or synced again.

use super::append::{extent, record_bytes};
use super::log::{encode_record, Group, Tail};
use super::rescue::Rescue;
use super::types::Mode;
use super::{Partition, Reserved};
use crate::error::{Cause, Error, Op, Result, Status};
use crate::format::{BeginData, RecordType, BEGIN_DATA_BYTES};
use crate::io::{write_durable_at, Access, AlignedBuf, Dir, File};
use crate::segment::{scan, Segment};
use std::sync::Arc;

/// Files tried for one segment: on a bad block the next file gets other blocks.
const FILES_MAX: u32 = 3;
/// Files with bad blocks that are kept until the next open, so that nothing else gets their blocks meanwhile.
const BAD_FILES_MAX: u64 = 8;
/// How their names begin.
pub(super) const BAD_FILE_PREFIX: &str = "bad-";

impl Partition {
    /// `faults` is the count at which it was decided to heal: after the next fault whoever heals that one may be quicker, and then entries
    /// are accepted that this rescue does not have.
    pub(super) fn heal(&self, use_reserve: bool, faults: u64) -> Result<()> {
        let rescue = self.rescue()?;
        self.heal_since(faults, rescue, use_reserve)
    }

    pub(super) fn heal_with(&self, rescue: Rescue, use_reserve: bool) -> Result<()> {
        let faults = self.log.lock().fault_count;
        self.heal_since(faults, rescue, use_reserve)
    }

    /// A new segment with what has to be rescued takes over from what failed. The disk's space reserve is for those that are Unavailable:
    /// one that waits for space would only use it up.
    fn heal_since(&self, faults: u64, rescue: Rescue, use_reserve: bool) -> Result<()> {
        let Some(_one_at_a_time) = self.allocation.try_lock_until(self.lock_until(self.stall_deadline())) else {
            let message = "a segment is being made and has not come back from the kernel; try again when it has";
            return Err(Error::new(Status::Busy, Op::Recover, message).partition(self.id).at(&self.path));
        };
        let need =
            rescue.entries.iter().map(|e| record_bytes(e.data.len())).sum::<u64>() + record_bytes(BEGIN_DATA_BYTES);
        // Before the lock is taken: it may have to be read.
        let term = self.term(rescue.first.saturating_sub(1)).unwrap_or(0);
        let segment = self.plan_heal(need, faults)?;
        let (segment, file) = match self.create_file(&segment, None, Op::Recover) {
            Err(e) if use_reserve && e.cause() == Cause::NoSpace => {
                self.create_from_reserve(&segment, need).ok_or(e)?
            }
            created => (segment, created?),
        };
        let group = self.write_rescue(&segment, &*file, &rescue, term)?;
        self.read_back(&segment, &group)?;
        // Named only now: a segment that a crash left half written must not supersede what it was to replace.
        self.name_segment(&segment)?;
        segment.publish(file);
        self.take_over(segment, rescue, &group, faults)
    }

    fn plan_heal(&self, need: u64, faults: u64) -> Result<Arc<Segment>> {
        let mut log = self.log.lock();
        if log.fault_count != faults {
            return Err(self.fault_error(&log, Op::Recover));
        }
        // Whatever the failed attempt had prepared is not used.
        log.spares.clear();
        log.unbacked.clear();
        log.newest_begun =
            log.stored.last_segment.max(log.tried_sequence).max(log.stored.first_segment.saturating_sub(1));
        log.next_sequence = log.newest_begun + 1;
        let block = u64::from(log.block_bytes);
        let segment = log.plan_segment(need + block, self.host.random_id());
        log.unbacked.clear();
        Ok(segment)
    }

    /// Creates a segment's file. Where writing it fails, another file is tried at once: nothing is at stake yet, and a new file lies on
    /// other blocks as long as the failed one keeps its own.
    pub(super) fn create_file(&self, segment: &Segment, recycled: Option<&str>, op: Op) -> Result<Arc<dyn File>> {
        let dir = self.dir(op)?;
        let access = if self.mode == Mode::None { Access::Buffered } else { Access::Durable };
        let files = if self.limits.heal_limit_ms == 0 { 1 } else { FILES_MAX };
        let mut attempt = 1;
        let mut first: Option<Error> = None;
        let mut told = false;
        loop {
            let error = match segment.create(&*dir, access, recycled.filter(|_| attempt == 1)) {
                Ok(file) => {
                    if told {
                        self.tell_end_of_trouble(&mut self.log.lock());
                    }
                    return Ok(file);
                }
                Err(e) => self.io_error(op, &e, "creating a segment", &segment.name()),
            };
            if attempt == files || !matches!(error.cause(), Cause::IoError | Cause::Resource) {
                return Err(first.unwrap_or(error));
            }
            attempt += 1;
            if first.is_none() {
                told = self.tell_before_retry(&error);
                first = Some(error);
            }
            self.set_bad_file_aside(&*dir, segment);
        }
    }

    /// The segment in a file of the reserve, if there is one and it is large enough.
    fn create_from_reserve(&self, planned: &Segment, need: u64) -> Option<(Arc<Segment>, Arc<dyn File>)> {
        let dir = self.dir(Op::Recover).ok()?;
        let reserved = dir.adopt(self.host.reserved(Reserved::Segment)?);
        let capacity = reserved.len().ok()?;
        let block = u64::from(planned.header.block_bytes);
        if u64::from(planned.header.header_bytes) + need.next_multiple_of(block) > capacity {
            return None;
        }
        let segment = Segment::new(planned.header, capacity);
        segment.index.lock().mark_complete();
        let access = if self.mode == Mode::None { Access::Buffered } else { Access::Durable };
        let file = segment.create_in(&*dir, &*reserved, access).ok()?;
        Some((Arc::new(segment), file))
    }

    fn set_bad_file_aside(&self, dir: &dyn Dir, segment: &Segment) {
        let number = {
            let mut log = self.log.lock();
            log.bad_files += 1;
            log.bad_files
        };
        if number <= BAD_FILES_MAX {
            // If it cannot be renamed the next attempt removes it.
            let _ = dir.rename(&segment.name(), &format!("{BAD_FILE_PREFIX}{:016x}-{number}", segment.sequence()));
        }
    }

    /// Writes the begin record and the rescued entries in one go and makes them durable.
    fn write_rescue(&self, segment: &Arc<Segment>, file: &dyn File, rescue: &Rescue, term: u64) -> Result<Group> {
        let offset = u64::from(segment.header.header_bytes);
        let begin = rescue.end.encode();
        let mut buf = AlignedBuf::new();
        let mut log = self.log.lock();
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
        file.drop_cache();
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

    /// From here on the new segment is the tail, and everything accepted is durable. Unless a fault has come between.
    fn take_over(&self, segment: Arc<Segment>, rescue: Rescue, group: &Group, faults: u64) -> Result<()> {
        let mut log = self.log.lock();
        if log.fault_count != faults || log.groups.len() != rescue.groups {
            segment.abandon();
            return Err(self.fault_error(&log, Op::Recover));
        }
        let log = &mut *log;
        log.lost = (0, 0);
        if log.trouble.take().is_some() {
            self.tell_end_of_trouble(log);
        }
        let tokens: Vec<u64> = log.groups.drain(..).flat_map(|g| g.tokens).collect();
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
        self.changed.notify_all();
        self.complete(&tokens, None);
        Ok(())
    }
}
