//! Compaction and snapshot reset: one root write makes each of them true; files go afterwards.

use super::damaged::DamagedEntries;
use super::log::Log;
use super::parts::{Extent, Live, Wish};
use super::types::{Mode, State};
use super::Partition;
use crate::error::{Error, Op, Result, Status};
use crate::format::{BeginData, LogEnd, MAX_COUNTER};
use crate::segment::{Recycled, Segment};
use crate::sync::MutexGuard;

/// Files of a partition that wait to be used again.
const RECYCLABLE_MAX: usize = 2;
/// Numbers of segments that never counted, abandoned or not begun, whose files are removed at once; where there are more, the next opening
/// removes them.
const OTHERS_MAX: u64 = 1024;

impl Partition {
    /// Removes entries up to `index`, inclusive. At or below the compaction point it does nothing. Works in ReadOnly, too.
    /// In mode interval it first waits for entries on their way to the disk that were replaced meanwhile.
    ///
    /// Errors: `OutOfRange` for an index beyond the last entry; `Damaged`, `Stalled` or an I/O error, with `Op::Read`, if the term of `index` cannot be
    /// read: nothing changed, and nothing is latched; otherwise the fault that latched the partition.
    pub fn compact(&self, index: u64) -> Result<()> {
        let _operation = self.lock_operation(Op::Compact)?;
        let (version, term, commit) = {
            let mut log = self.log.lock();
            // A write under way may replace what is to go, also one that begins while the term is read.
            loop {
                self.wait_written(&mut log, Op::Compact)?;
                self.wait_in_line(&mut log, Op::Compact, |log| flushes_replaced(log, index, self.mode));
                self.know_term(&mut log, index, Op::Compact, Partition::check_root_changeable)?;
                if !log.writing && !flushes_replaced(&log, index, self.mode) {
                    break;
                }
            }
            self.check_root_changeable(&log, Op::Compact)?;
            if index <= log.compaction.0 {
                return Ok(());
            }
            let last = if self.mode == Mode::Sync {
                log.acked.index.min(log.last.0).min(log.first_pending() - 1)
            } else {
                log.last.0
            };
            if index > last {
                let message = format!("index {index} is beyond the last entry {last}");
                return Err(Error::new(Status::OutOfRange, Op::Compact, message).partition(self.id).at(&self.path));
            }
            let term = self.term_locked(&log, index)?;
            let first_segment = first_needed(&log, index, self.mode);
            let version = self.want_root(&mut log, |root| {
                root.compaction_index = index;
                root.compaction_term = term;
                root.first_segment = first_segment;
            });
            // From now on nothing up to `index` is replaced.
            let commit = log.commit;
            log.commit = commit.max(index);
            (version, term, commit)
        };
        let stored = self.store_root(version, Op::Compact);
        let mut log = self.log.lock();
        if let Err(error) = stored {
            log.commit = if log.commit == index { commit } else { log.commit };
            return Err(error);
        }
        log.compaction = (index, term);
        let first = log.stored.first_segment;
        let (live, gone): (Vec<_>, Vec<_>) = log.live.drain(..).partition(|l| l.segment.sequence() >= first);
        log.live = live;
        log.undo.iter_mut().for_each(|u| u.live.retain(|l| l.segment.sequence() >= first));
        log.damaged.compact(index);
        self.release_files(&mut log, &gone);
        Ok(())
    }

    /// Makes the log empty behind a snapshot: it continues at `index + 1`. Commit becomes `index`; term and vote stay.
    /// Atomic: after a crash either the old log is there or the new, empty one.
    ///
    /// Errors: `Compacted` for an index below the compaction point; `CommitOutOfRange` for one below the commit; `OutOfRange` for one of 2^62 - 2
    /// or more; `TermRegression` for a term lower than the compaction point's;
    /// otherwise the fault that latched the partition.
    pub fn reset(&self, index: u64, term: u64) -> Result<()> {
        let _operation = self.lock_operation(Op::Reset)?;
        let version = self.wish_reset(index, term).inspect_err(|_| self.log.lock().exclusive = false)?;
        let stored = self.store_root(version, Op::Reset);
        let mut log = self.log.lock();
        log.exclusive = false;
        stored?;
        log.opened_end = log.stored.end;
        log.compaction = (index, term);
        log.last = (index, term);
        log.commit = index;
        let gone = std::mem::take(&mut log.live);
        log.groups.clear();
        log.undo.clear();
        log.sealed.clear();
        log.tail = None;
        log.damaged = DamagedEntries::default();
        log.lost = (0, 0);
        self.forget_cache(&mut log);
        log.end = BeginData::default();
        let extent = Extent { lsn: log.next_lsn - 1, index, term, end: log.end };
        log.acked = extent;
        log.durable = extent;
        self.release_files(&mut log, &gone);
        Ok(())
    }

    /// Keeps appends away, waits for those before, and asks for the root that makes the reset true.
    fn wish_reset(&self, index: u64, term: u64) -> Result<Wish> {
        let mut log = self.log.lock();
        self.check_reset(&log, index, term)?;
        log.exclusive = true;
        self.wait_idle(&mut log, Op::Reset);
        self.wait_written(&mut log, Op::Reset)?;
        self.check_reset(&log, index, term)?;
        let fresh = log.spares.front().or_else(|| log.unbacked.front()).map(|s| s.sequence());
        let first_segment = fresh.unwrap_or(log.next_sequence);
        // What the old log had durable does not count as this one's.
        let lsn = log.next_lsn - 1;
        let wish = self.want_root(&mut log, |root| {
            root.compaction_index = index;
            root.compaction_term = term;
            root.first_segment = first_segment;
            root.end = LogEnd { lsn, index, term, ..LogEnd::default() };
        });
        Ok(wish)
    }

    fn check_reset(&self, log: &Log, index: u64, term: u64) -> Result<()> {
        self.check_root_changeable(log, Op::Reset)?;
        let refuse =
            |status, message: String| Err(Error::new(status, Op::Reset, message).partition(self.id).at(&self.path));
        if index >= MAX_COUNTER - 1 {
            return refuse(
                Status::OutOfRange,
                format!("index {index} is too large; the last one is {}", MAX_COUNTER - 2),
            );
        }
        if index < log.compaction.0 {
            return refuse(
                Status::Compacted,
                format!("index {index} is below the compaction point {}", log.compaction.0),
            );
        }
        if index < log.commit {
            let message =
                format!("index {index} is below the commit {}; committed entries are never undone", log.commit);
            return refuse(Status::CommitOutOfRange, message);
        }
        if term < log.compaction.1 {
            return refuse(
                Status::TermRegression,
                format!("term {term} is lower than the compaction point's {}", log.compaction.1),
            );
        }
        Ok(())
    }

    /// Waits until nothing that was accepted is still on its way to the disk. For who has kept others from appending.
    pub(super) fn wait_idle(&self, log: &mut MutexGuard<'_, Log>, op: Op) {
        self.wait_flushed(log, u64::MAX, op);
    }

    /// Waits until what has been accepted by now is not on its way any more, whatever comes after it.
    pub(super) fn wait_accepted(&self, log: &mut MutexGuard<'_, Log>, op: Op) {
        self.wait_flushed(log, log.next_lsn - 1, op);
    }

    fn wait_flushed(&self, log: &mut MutexGuard<'_, Log>, lsn: u64, op: Op) {
        self.wait_in_line(log, op, |log| log.busy() && log.durable.lsn < lsn && log.state == State::ReadWrite);
    }

    pub(super) fn forget_cache(&self, log: &mut Log) {
        log.cache.clear();
        self.host.cache_released(std::mem::take(&mut log.cache_bytes));
    }

    /// Hands the files below the root's first segment to housekeeping: some to be used again, the rest to be removed.
    fn release_files(&self, log: &mut Log, gone: &[Live]) {
        let first = log.stored.first_segment;
        log.sealed.retain(|s| s.segment.sequence() >= first);
        let numbers = log.released.max(1)..first;
        let few = first.saturating_sub(numbers.start) <= gone.len() as u64 + OTHERS_MAX;
        let known = gone.iter().map(|l| l.segment.sequence()).filter(|n| numbers.contains(n));
        let numbers: Vec<u64> = if few { numbers.clone().collect() } else { known.collect() };
        for sequence in numbers {
            let room = log.recyclable.len() < RECYCLABLE_MAX;
            let fit = |l: &&Live| {
                l.segment.sequence() == sequence && l.segment.capacity >= log.segment_bytes && !l.segment.is_abandoned()
            };
            match gone.iter().find(fit).filter(|_| room) {
                Some(Live { segment, .. }) => log.recyclable.push(Recycled {
                    name: segment.name(),
                    bytes: segment.capacity,
                    written: segment.is_written(),
                }),
                None => log.trash.push(Segment::name_of(sequence)),
            }
        }
        log.released = log.released.max(first);
        if !log.trash.is_empty() {
            self.maintain_soon();
        }
    }
}

/// The oldest segment that is still needed once entries up to `index` are gone: also one that is being written to.
fn first_needed(log: &Log, index: u64, mode: Mode) -> u64 {
    // What waits in memory after a fault goes to new segments, and the files that it was for are not used again.
    let groups = log.groups.iter().filter(|_| log.state == State::ReadWrite);
    let written = groups.chain(log.in_flight.iter().map(|g| &**g)).map(|g| g.segment.sequence());
    written.chain(log.checked_segment()).chain([first_live(log, index, mode)]).min().unwrap_or(log.next_sequence)
}

/// The oldest segment that counts once entries up to `index` are gone: also what a rollback would bring back.
fn first_live(log: &Log, index: u64, mode: Mode) -> u64 {
    let undone = log.undo.iter().filter(|_| mode == Mode::Sync);
    let parts = log.live.iter().chain(undone.flat_map(|u| &u.live));
    let live = parts.filter(|l| l.last > index).map(|l| l.segment.sequence());
    let tail = log.tail.iter().map(|t| t.segment.sequence());
    let ahead = log.spares.iter().chain(log.unbacked.iter()).map(|s| s.sequence());
    live.chain(tail).chain(ahead).min().unwrap_or(log.next_sequence)
}

/// Something is on its way to a segment that does not count any more once entries up to `index` are gone (mode interval). The root could not
/// leave that segment out: after a crash before what replaces it is durable, older entries, of lower terms, would follow the compaction point.
fn flushes_replaced(log: &Log, index: u64, mode: Mode) -> bool {
    let first = first_live(log, index, mode);
    let groups = log.groups.iter().chain(log.in_flight.iter().map(|g| &**g));
    let written = groups.map(|g| g.segment.sequence()).chain(log.checked_segment());
    log.state == State::ReadWrite && written.min().is_some_and(|sequence| sequence < first)
}
