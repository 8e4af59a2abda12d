//! Housekeeping of one partition, off the append path: spare segments, syncing what mode none has filled, removing files, last marks.

use super::append::{extent, fits, record_bytes};
use super::heal::BAD_FILE_PREFIX;
use super::log::{encode_record, Log};
use super::types::{EntryRef, Mode, State};
use super::Partition;
use crate::error::{Cause, Op};
use crate::format::{BeginData, RecordType};
use crate::io::{write_all_at, AlignedBuf, Dir};
use crate::segment::{remove_if_there, Segment};
use std::time::Duration;

/// A log without appends for this long writes its last mark out.
const IDLE: Duration = Duration::from_secs(1);

impl Partition {
    /// Called by the disk's housekeeping thread when there may be something to do.
    pub fn maintain(&self) {
        let _files = self.maintenance.lock();
        self.sweep();
        self.make_spares();
        self.sync_sealed();
        self.remove_trash();
    }

    /// Lends the directory of a partition that nothing is wrong with, as a place on its disk. False if it has none to lend.
    pub fn lend_dir(&self, user: impl FnOnce(&dyn Dir)) -> bool {
        // Close waits for this lock: nobody holds the directory after it.
        let Some(_files) = self.maintenance.try_lock() else { return false };
        if self.log.lock().state != State::ReadWrite {
            return false;
        }
        self.dir(Op::Allocate).map(|dir| user(&*dir)).is_ok()
    }

    /// Called about once a second.
    pub fn tick(&self) {
        let mut log = self.log.lock();
        let idle = log.state == State::ReadWrite
            && !log.exclusive
            && !log.busy()
            && self.host.now() - log.last_append > IDLE
            && log.tail.is_some();
        let mark_is_old = log.last_entry_lsn > log.logged_mark && log.durable.lsn >= log.last_entry_lsn;
        if !idle || !(mark_is_old || log.commit > log.logged_commit) || !fits(&log, record_bytes(0)) {
            return;
        }
        let (index, term) = log.last;
        let mark = EntryRef { index, term, kind: 0, data: &[] };
        if self.mode == Mode::None {
            self.write_mark(&mut log, &mark);
        } else if self.ensure_group(&mut log, index + 1).is_ok() {
            self.push_record(&mut log, RecordType::Mark, &mark, crc32fast::hash(&[]));
            self.schedule(&mut log);
        }
    }

    fn write_mark(&self, log: &mut Log, mark: &EntryRef<'_>) {
        let Some((segment, offset)) = log.tail.as_ref().map(|t| (t.segment.clone(), t.offset)) else { return };
        let Some(file) = segment.file() else { return };
        let header = log.record(RecordType::Mark, 0, mark.index, mark.term, 0, crc32fast::hash(&[]));
        let mut buf = AlignedBuf::new();
        encode_record(&mut buf, offset, &segment.salt, &header, &[]);
        match write_all_at(&*file, &[&buf], offset) {
            Ok(()) => {
                let end = offset + buf.len() as u64;
                log.end = BeginData { segment: segment.sequence(), end_offset: end, last_lsn: header.lsn };
                if let Some(tail) = log.tail.as_mut() {
                    tail.offset = end;
                }
                log.acked = extent(log);
            }
            Err(e) => {
                let error = self.io_error(Op::Append, &e, "writing a mark", &segment.name());
                log.end = log.acked.end;
                self.latch_io(log, error, false);
            }
        }
    }

    /// Removes files that an earlier opening left behind: the root does not name them.
    fn sweep(&self) {
        let below = {
            let mut log = self.log.lock();
            if log.state != State::ReadWrite {
                return;
            }
            std::mem::take(&mut log.sweep_below)
        };
        if below == 0 {
            return;
        }
        let Ok(dir) = self.dir(Op::Open) else { return };
        let names = dir.list().unwrap_or_default();
        let stale = names.into_iter().filter(|n| match Segment::parse_name(n) {
            Some(sequence) => sequence < below,
            None => n.starts_with(BAD_FILE_PREFIX),
        });
        self.log.lock().trash.extend(stale);
    }

    fn make_spares(&self) {
        loop {
            let (sequence, faults) = {
                let mut log = self.log.lock();
                let faults = log.fault_count;
                if log.state != State::ReadWrite
                    || log.exclusive
                    || log.tail.is_none()
                    || log.trouble.is_some()
                    || log.spares.len() >= log.spare_target
                {
                    return;
                }
                let sequence = match log.unbacked.back() {
                    Some(planned) if log.ahead() >= log.spare_target => planned.sequence(),
                    _ => log.plan_segment(0, self.host.random_id()).sequence(),
                };
                (sequence, faults)
            };
            if let Err(error) = self.back_segments(sequence) {
                // Nothing is at stake while the current segment has room: too little space or too few descriptors may pass.
                // A late failure of something that a fault has ended says nothing of what recovered since.
                let mut log = self.log.lock();
                if !matches!(error.cause(), Cause::NoSpace | Cause::Resource) && log.fault_count == faults {
                    self.latch(&mut log, error, State::Unavailable);
                }
                return;
            }
        }
    }

    /// Mode none: makes filled segments durable, oldest first. It bounds what a power cut can cost and what the next open has to scan.
    fn sync_sealed(&self) {
        loop {
            let (segment, extent, faults) = {
                let log = self.log.lock();
                match log.sealed.first() {
                    Some(s) if log.state == State::ReadWrite => (s.segment.clone(), s.extent, log.fault_count),
                    _ => return,
                }
            };
            let result = segment.file().map_or(Ok(()), |file| file.sync());
            let mut log = self.log.lock();
            if log.fault_count != faults {
                return;
            }
            if let Err(e) = result {
                let error = self
                    .io_error(Op::Sync, &e, "syncing a filled segment", &segment.name())
                    .range(log.durable.index + 1, log.last.0);
                self.latch(&mut log, error, State::Unavailable);
                return;
            }
            log.sealed.retain(|s| s.segment.sequence() != segment.sequence());
            if extent.lsn > log.durable.lsn {
                // What a later segment has replaced since is durable in a version that does not count any more.
                let later = log.live.iter().filter(|l| l.segment.sequence() > segment.sequence()).map(|l| l.first);
                let replaced = later.min().unwrap_or(u64::MAX);
                log.durable = extent;
                log.durable.index = extent.index.min(replaced - 1);
            }
            segment.seal();
            drop(log);
            // A sync takes its time: whoever appends meanwhile must not wait for a segment.
            self.make_spares();
        }
    }

    fn remove_trash(&self) {
        let names = std::mem::take(&mut self.log.lock().trash);
        let Ok(dir) = self.dir(Op::Compact) else { return };
        for name in names {
            // A file that cannot be removed now costs space, nothing else; the next opening tries again.
            let _ = remove_if_there(&*dir, &name);
        }
    }
}
