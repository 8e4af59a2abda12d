//! Housekeeping of one partition, off the append path: spare segments, syncing what mode none has filled, removing files, last marks.

use super::accept::{fits, record_bytes};
use super::append::Checksums;
use super::create::BAD_FILE_PREFIX;
use super::log::Log;
use super::parts::{Extent, PutOff};
use super::types::{EntryRef, Mode, State};
use super::Partition;
use crate::error::{Cause, Error, Op};
use crate::format::RecordType;
use crate::io::Dir;
use crate::segment::{remove_if_there, Segment};
use std::time::Duration;

/// How long the making of a spare is put off after a failure; the time doubles with each further one, this often at most.
const PUT_OFF_MIN: Duration = Duration::from_secs(1);
const PUT_OFF_DOUBLINGS_MAX: u32 = 6;

impl Partition {
    /// Called by the disk's housekeeping thread when there may be something to do.
    pub fn maintain(&self) {
        let _files = self.maintenance.lock();
        if self.mode == Mode::None {
            self.write_mark();
        }
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
        // Not as one of this partition's own calls: what is made there is for others.
        let dir = self.dir.lock().clone();
        dir.map(|dir| user(&*dir)).is_some()
    }

    /// Called about once a second.
    pub fn tick(&self) {
        let mut log = self.log.lock();
        self.show_levels(&log);
        log.note_tick();
        if log.put_off.is_some_and(|p| p.until <= self.host.now()) {
            self.maintain_soon();
        }
        if !self.mark_is_due(&log) {
            return;
        }
        if self.mode == Mode::None {
            // The timer's thread never does I/O.
            return self.maintain_soon();
        }
        let (index, term) = log.last;
        let mark = EntryRef { index, term, kind: 0, data: &[] };
        if self.ensure_group(&mut log, index + 1).is_ok() {
            self.push_record(&mut log, RecordType::Mark, &mark, crc32fast::hash(&[]));
            self.schedule(&mut log);
        }
    }

    fn mark_is_due(&self, log: &Log) -> bool {
        let idle = log.state == State::ReadWrite
            && !log.exclusive
            && !log.busy()
            && !log.writing
            && log.idle_lsn == Some(log.last_entry_lsn)
            && log.tail.is_some();
        let mark_is_old = log.last_entry_lsn > log.logged_mark && log.durable.lsn >= log.last_entry_lsn;
        idle && (mark_is_old || log.commit > log.logged_commit) && fits(log, record_bytes(0))
    }

    /// Mode none: the last mark of an idle log. A failure has latched the partition.
    fn write_mark(&self) {
        let mut log = self.log.lock();
        if self.mark_is_due(&log) {
            let (index, term) = log.last;
            let mark = [EntryRef { index, term, kind: 0, data: &[] }];
            let _ = self.write_records(&mut log, RecordType::Mark, &mark, &Checksums::of(&mark));
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
        let own_bad_files = self.log.lock().bad_files > 0;
        let stale = names.into_iter().filter(|n| match Segment::parse_name(n) {
            Some(sequence) => sequence < below,
            // Those of this opening keep their blocks from being used again.
            None => n.starts_with(BAD_FILE_PREFIX) && !own_bad_files,
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
                    || log.put_off.is_some_and(|p| p.until > self.host.now())
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
                // A late failure of something that a fault has ended says nothing of what recovered since.
                let mut log = self.log.lock();
                if log.fault_count == faults {
                    self.put_off(&mut log, &error);
                }
                return;
            }
        }
    }

    /// No segment can be made ahead. The files that failed are abandoned, nothing relied on them, and the tail has room: the owner is told
    /// once, and it is tried again with back-off. Whoever needs the segment tries at once, and latches if there is none to be had.
    fn put_off(&self, log: &mut Log, error: &Error) {
        let tries = log.put_off.map_or(0, |p| p.tries + 1);
        let heard = self.tries_other_files(error.cause()) || error.cause() == Cause::Stalled;
        if tries == 0 && !heard {
            self.count_error(error);
            self.tell(log, error.cause(), error);
        }
        let until = self.host.now() + PUT_OFF_MIN * (1 << tries.min(PUT_OFF_DOUBLINGS_MAX));
        log.put_off = Some(PutOff { tries, until });
    }

    /// Mode none: makes filled segments durable, oldest first. It bounds what a power cut can cost and what the next open has to scan.
    fn sync_sealed(&self) {
        loop {
            // Whoever holds it syncs on its own account; the next chore looks again.
            let Some(alone) = self.syncing.try_lock() else { return };
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
            note_synced(&mut log, segment.sequence(), extent);
            segment.seal();
            drop((log, alone));
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

/// Mode none: what the log held at `extent`, in segments up to `sequence`, is durable.
pub(super) fn note_synced(log: &mut Log, sequence: u64, extent: Extent) {
    if extent.lsn > log.durable.lsn {
        // What a later segment has replaced since is durable in a version that does not count any more.
        let later = log.live.iter().filter(|l| l.segment.sequence() > sequence).map(|l| l.first);
        let replaced = later.min().unwrap_or(u64::MAX);
        log.durable = extent;
        log.durable.index = extent.index.min(replaced - 1).min(log.last.0);
    }
}
