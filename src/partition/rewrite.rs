//! Writes what is to be rescued into new segments, piece by piece: memory is bounded, and no system call takes long because there is much.
//! No root names them meanwhile, so a crash at any moment leaves the log as it was.

use super::accept::record_bytes;
use super::limits::Limit;
use super::log::Log;
use super::parts::{encode_record, Live};
use super::rescue::Rescue;
use super::types::EntryRef;
use super::Partition;
use crate::error::{Cause, Error, Op, Result, Status};
use crate::format::{BeginData, RecordType, BEGIN_DATA_BYTES};
use crate::io::{write_durable_at, Access, AlignedBuf, File};
use crate::segment::{remove_if_there, scan, Segment};
use crate::sync::MutexGuard;
use std::sync::Arc;

/// Most bytes of one write, and what is gathered before there is one.
const PIECE_BYTES: usize = 1 << 20;

/// A new segment, durable.
pub(super) struct Rewritten {
    pub segment: Arc<Segment>,
    pub file: Arc<dyn File>,
    /// Entries in it; none if `first > last`.
    pub first: u64,
    pub last: (u64, u64),
    pub end: BeginData,
    /// Behind the padding: where the next record goes.
    pub offset: u64,
}

impl Rewritten {
    pub fn live(&self) -> Option<Live> {
        let part =
            Live { segment: self.segment.clone(), first: self.first, last: self.last.0, end: self.end.end_offset };
        (part.first <= part.last).then_some(part)
    }
}

/// The segment that is being written.
struct Current {
    made: Rewritten,
    /// Records that are not written yet; they go to `made.offset`.
    buf: AlignedBuf,
}

struct Rewriter<'a> {
    partition: &'a Partition,
    /// After the next fault nobody wants it any more.
    faults: u64,
    from_reserve: bool,
    /// Most bytes that the records to come take.
    left: u64,
    done: Vec<Rewritten>,
    current: Option<Current>,
    /// The last entry before what is to be written next, and the position behind its record.
    last: (u64, u64),
    end: BeginData,
}

impl Partition {
    /// Writes the rescue, flushes it, and reads it back from the medium. `last` is the entry before it.
    ///
    /// On a full disk a file of the reserve takes it, if the caller may use that and it fits into one.
    pub(super) fn rewrite(
        &self,
        rescue: &Rescue,
        last: (u64, u64),
        faults: u64,
        use_reserve: bool,
    ) -> Result<Vec<Rewritten>> {
        match self.rewrite_once(rescue, last, faults, false) {
            Err(e) if use_reserve && e.cause() == Cause::NoSpace => {
                self.rewrite_once(rescue, last, faults, true).map_err(|_| e)
            }
            written => written,
        }
    }

    fn rewrite_once(
        &self,
        rescue: &Rescue,
        last: (u64, u64),
        faults: u64,
        from_reserve: bool,
    ) -> Result<Vec<Rewritten>> {
        self.restart_numbers(faults)?;
        let mut rewriter = Rewriter {
            partition: self,
            faults,
            from_reserve,
            left: rescue.need(),
            done: Vec::new(),
            current: None,
            last,
            end: rescue.end,
        };
        let written = rewriter.write(rescue);
        if written.as_ref().is_err_and(|e| !matches!(e.cause(), Cause::IoError | Cause::Stalled | Cause::Panic)) {
            rewriter.remove();
        }
        written.map(|()| rewriter.done)
    }

    /// Whatever a failed attempt had prepared is not used.
    fn restart_numbers(&self, faults: u64) -> Result<()> {
        let mut log = self.unfaulted(faults)?;
        log.spares.clear();
        log.unbacked.clear();
        log.newest_begun =
            log.stored.last_segment.max(log.tried_sequence).max(log.stored.first_segment.saturating_sub(1));
        log.next_sequence = log.newest_begun + 1;
        Ok(())
    }

    /// The log, unless there was a fault since it was decided to heal: then whoever heals that one may be quicker.
    fn unfaulted(&self, faults: u64) -> Result<MutexGuard<'_, Log>> {
        let log = self.log.lock();
        if log.fault_count == faults {
            Ok(log)
        } else {
            Err(self.fault_error(&log, Op::Recover))
        }
    }

    /// What the medium holds, not what the cache says it holds.
    fn read_back(&self, made: &Rewritten) -> Result<()> {
        let name = made.segment.name();
        let fail = |e: &std::io::Error| self.io_error(Op::Recover, e, "reading the new segment back", &name);
        let file = self.dir(Op::Recover)?.open(&name, Access::ReadDirect).map_err(|e| fail(&e))?;
        file.drop_cache();
        let mut cursor = made.segment.cursor(&*file, made.end.end_offset);
        let scanned = scan(&mut cursor, u64::from(made.segment.header.header_bytes));
        let whole = scanned.runs.len() == 1 && scanned.runs.first().is_some_and(|r| r.last_lsn == made.end.last_lsn);
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
}

impl Rewriter<'_> {
    fn write(&mut self, rescue: &Rescue) -> Result<()> {
        let mut failed = None;
        self.partition.each_rescued(rescue, &mut |index, term, kind, data| {
            let written = self.entry(&EntryRef { index, term, kind, data });
            failed = written.err();
            failed.is_none()
        })?;
        failed.map_or(Ok(()), Err)?;
        if self.current.is_none() {
            self.begin(rescue.first, 0)?;
        }
        self.finish()?;
        self.done.iter().try_for_each(|made| self.partition.read_back(made))
    }

    /// Starts a segment that holds or supersedes the log from entry `first` on, whose record takes `need` bytes.
    fn begin(&mut self, first: u64, need: u64) -> Result<()> {
        let partition = self.partition;
        let max = partition.limits.get(Limit::SegmentMaxBytes).max(need + record_bytes(BEGIN_DATA_BYTES));
        let planned = {
            let mut log = partition.unfaulted(self.faults)?;
            let block = u64::from(log.block_bytes);
            let bytes = partition.heal_bytes(&log);
            let segment = log.plan_segment_of(bytes, self.left.min(max) + block, partition.host.random_id());
            log.unbacked.clear();
            segment
        };
        let (segment, file) = if self.from_reserve {
            let no_space = || std::io::Error::from_raw_os_error(libc::ENOSPC);
            let made = partition.create_from_reserve(&planned, self.left);
            made.ok_or_else(|| partition.io_error(Op::Recover, &no_space(), "creating a segment", &planned.name()))?
        } else {
            let file = partition.create_file(&planned, None, Op::Recover)?;
            (planned, file)
        };
        let offset = u64::from(segment.header.header_bytes);
        let made = Rewritten { segment, file, first, last: (first - 1, self.last.1), end: self.end, offset };
        self.current = Some(Current { made, buf: AlignedBuf::new() });
        let begin = self.end.encode();
        self.record(RecordType::Begin, &EntryRef { index: first, term: self.last.1, kind: 0, data: &begin })
    }

    fn entry(&mut self, e: &EntryRef<'_>) -> Result<()> {
        let need = record_bytes(e.data.len());
        let fits = |c: &Current| {
            let end = c.made.offset + c.buf.len() as u64 + need;
            end.next_multiple_of(u64::from(c.made.segment.header.block_bytes)) <= c.made.segment.capacity
        };
        if !self.current.as_ref().is_some_and(fits) {
            if self.current.is_some() {
                self.finish()?;
                // The begin record was not counted.
                self.left += record_bytes(BEGIN_DATA_BYTES);
            }
            self.begin(e.index, need)?;
        }
        self.record(RecordType::Entry, e)
    }

    fn record(&mut self, record_type: RecordType, e: &EntryRef<'_>) -> Result<()> {
        let Some(current) = self.current.as_mut() else { return Ok(()) };
        let (made, buf) = (&mut current.made, &mut current.buf);
        let crc = crc32fast::hash(e.data);
        let header = self.partition.log.lock().record(record_type, e.kind, e.index, e.term, e.data.len() as u32, crc);
        let at = encode_record(buf, made.offset, &made.segment.salt, &header, e.data);
        if record_type == RecordType::Entry {
            made.segment.index.lock().note(e.index, e.term, at);
            made.last = (e.index, e.term);
            self.last = made.last;
        }
        let end_offset = made.offset + buf.len() as u64;
        made.end = BeginData { segment: made.segment.sequence(), end_offset, last_lsn: header.lsn };
        self.end = made.end;
        self.left = self.left.saturating_sub(header.total_bytes());
        if buf.len() >= PIECE_BYTES {
            return self.write_out(false);
        }
        Ok(())
    }

    /// Makes whole blocks of what is gathered durable; all of it, padded, at the segment's end.
    fn write_out(&mut self, all: bool) -> Result<()> {
        let Some(current) = self.current.as_mut() else { return Ok(()) };
        let (made, buf) = (&mut current.made, &mut current.buf);
        let block = made.segment.header.block_bytes as usize;
        if all {
            buf.resize(buf.len().next_multiple_of(block));
        }
        let whole = buf.len() / block * block;
        let mut at = made.offset;
        for piece in buf.get(..whole).unwrap_or(&[]).chunks(PIECE_BYTES) {
            drop(self.partition.unfaulted(self.faults)?);
            write_durable_at(&*made.file, piece, at).map_err(|e| {
                self.partition.io_error(Op::Recover, &e, "writing the new segment", &made.segment.name())
            })?;
            at += piece.len() as u64;
        }
        made.offset = at;
        let rest = buf.len() - whole;
        buf.copy_within(whole.., 0);
        buf.resize(rest);
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.write_out(true)?;
        self.done.extend(self.current.take().map(|c| c.made));
        Ok(())
    }

    /// Gives back the space of segments that nobody will ever name.
    fn remove(&mut self) {
        let Ok(dir) = self.partition.dir(Op::Recover) else { return };
        for made in self.done.drain(..).chain(self.current.take().map(|c| c.made)) {
            // One that stays costs space, until the next file of its number takes its place.
            let _ = remove_if_there(&*dir, &made.segment.name());
        }
    }
}
