//! Close: what is accepted becomes durable, the root says where the log ends, the directory is free.

use super::limits::Limit;
use super::log::Log;
use super::maintain::note_synced;
use super::parts::Wish;
use super::types::{Mode, State};
use super::Partition;
use crate::error::{Cause, Error, Op, Result, Status};
use crate::format::LogEnd;
use crate::sync::MutexGuard;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::time::{Duration, Instant};

/// How often a close looks whether the calls of others have come back.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// How long the close of a faulted partition waits for housekeeping: well below one raft tick.
const FAULTED_PATIENCE: Duration = Duration::from_millis(50);

impl Partition {
    /// Closes the partition. A healthy one is flushed in every mode; a faulted one is closed at once. Afterwards the directory may be
    /// renamed, copied or deleted, and every call answers `Closed`. Closing again is fine, and says `Busy` until the directory is free.
    ///
    /// Errors: what failed while flushing, also earlier if acknowledged entries of mode interval wait in memory and go with it; `Busy` if an operation, or a recovery, is still under way and may touch the directory later. The
    /// partition is closed in any case.
    pub fn close(&self) -> Result<()> {
        self.shut(false)
    }

    fn shut(&self, on_this_thread: bool) -> Result<()> {
        let patience = self.limits.time(Limit::StallLimitMs);
        // The owner of a faulted one does not wait for a probe, which may hang.
        let faulted = self.log.lock().shown_state() == State::Unavailable;
        let operation = self.lock_within(&self.operation, if faulted { FAULTED_PATIENCE } else { patience });
        {
            let mut log = self.log.lock();
            if log.state == State::Closed {
                drop((log, operation));
                return self.close_again();
            }
            log.exclusive = true;
            log.closing = true;
        }
        let flushed = self.flush_for_close(on_this_thread);
        let (healthy, hangs) = {
            let mut log = self.log.lock();
            let healthy = log.state == State::ReadWrite;
            if !healthy {
                self.leave_orphan(&log);
            }
            // A fence ends with the close.
            let fault = log.fault.clone().filter(|f| !healthy && f.cause() != Cause::Fenced);
            log.state = State::Closed;
            let closed = self.fault_error(&log, Op::Close);
            log.end_waits(closed);
            self.changed.notify_all();
            release(&mut log);
            self.forget_cache(&mut log);
            self.show_closed(fault.as_ref());
            (healthy, log.is_being_written())
        };
        let wait = if healthy { patience } else { FAULTED_PATIENCE };
        // Held until the directory is let go: whoever comes later finds none.
        let maintenance = self.lock_within(&self.maintenance, wait);
        let allocation = self.lock_within(&self.allocation, wait);
        let root = self.root.try_lock_until(self.lock_until(Instant::now() + wait));
        // A recovery that is under way has a look at the state before it ends, and has written before that.
        let quiet = operation.is_some() && maintenance.is_some() && allocation.is_some() && root.is_some();
        // Syncs of other callers, in mode none, take a moment.
        let deadline = self.host.now() + wait;
        while !self.calls.is_quiet() && self.host.now() < deadline {
            self.host.pause(LOOK_AGAIN);
        }
        if hangs || !quiet || !self.calls.is_quiet() {
            return Err(self.closed_busy());
        }
        self.free_dir();
        flushed
    }

    /// What hung may just be coming back.
    fn close_again(&self) -> Result<()> {
        let deadline = self.host.now() + FAULTED_PATIENCE;
        while !self.let_go() {
            if self.host.now() >= deadline {
                return Err(self.closed_busy());
            }
            self.host.pause(LOOK_AGAIN);
        }
        Ok(())
    }

    fn closed_busy(&self) -> Error {
        let message = "closed, but an operation is still under way; do not rename, copy or delete the directory before it has come back";
        Error::new(Status::Busy, Op::Close, message).partition(self.id).at(&self.path)
    }

    /// Of all who come here one tells the host.
    fn free_dir(&self) {
        if self.dir.lock().take().is_some() {
            self.host.closed();
        }
    }

    /// After a close that left something hanging: lets the directory go once the kernel has. Until then it stays locked, because what
    /// comes back late must not meet another opening of it. True if the directory is free.
    pub fn let_go(&self) -> bool {
        if self.dir.lock().is_none() {
            return true;
        }
        let locks = [&self.operation, &self.maintenance, &self.allocation].map(|lock| lock.try_lock());
        let root = self.root.try_lock();
        let log = self.log.lock();
        let quiet = locks.iter().all(Option::is_some) && root.is_some() && self.calls.is_quiet();
        let free = log.state == State::Closed && quiet && !log.is_being_written();
        drop(log);
        if free {
            self.free_dir();
        }
        free
    }

    fn flush_for_close(&self, on_this_thread: bool) -> Result<()> {
        {
            let mut log = self.log.lock();
            if log.state != State::ReadWrite {
                let unflushed = self.mode == Mode::Interval && log.has_pending_entries();
                return if unflushed { Err(self.fault_error(&log, Op::Close)) } else { Ok(()) };
            }
            if on_this_thread {
                MutexGuard::unlocked(&mut log, || self.flush_all());
                if log.busy() {
                    // The root is not to say that the log ends cleanly before these.
                    return Err(self.fault_error(&log, Op::Close));
                }
            } else {
                self.wait_idle(&mut log, Op::Close);
                self.wait_written(&mut log, Op::Close)?;
            }
        }
        if self.mode == Mode::None {
            self.sync_all(Op::Close)?;
        }
        // A segment that is being made right now would take the clean mark off again.
        let _made = self.allocation.try_lock_until(self.lock_until(self.stall_deadline()));
        let store = |wish| match on_this_thread {
            true => self.write_root(wish),
            false => self.store_root(wish, Op::Close),
        };
        // The next open believes a clean root as it is, also one whose write failed. So it says nothing that others still wait for: a vote
        // that was refused would be shown.
        let asked = {
            let log = self.log.lock();
            (log.root.done < log.root.wanted).then_some(Wish { version: log.root.wanted, faults: log.fault_count })
        };
        asked.map_or(Ok(()), store)?;
        let version = {
            let mut log = self.log.lock();
            if log.state != State::ReadWrite {
                return Err(self.fault_error(&log, Op::Close));
            }
            let end = LogEnd {
                segment: log.end.segment,
                offset: log.end.end_offset,
                lsn: log.end.last_lsn,
                index: log.last.0,
                term: log.last.1,
            };
            if log.stored.clean && log.stored.end == end && log.stored.commit == log.commit {
                return Ok(());
            }
            self.want_root(&mut log, |root| {
                root.clean = true;
                root.end = end;
            })
        };
        store(version)
    }

    /// Returns when all accepted entries are durable, in every mode. In mode none it syncs on the caller's thread and takes as long as the
    /// disk does, like its writes; the owner hears of a stall by the event.
    pub fn sync(&self) -> Result<()> {
        if self.mode == Mode::None {
            // What heals it makes everything durable.
            let mut faults = 0;
            let mut call = |faults: &mut u64| {
                *faults = self.log.lock().fault_count;
                self.sync_all(Op::Sync)
            };
            return match call(&mut faults) {
                Err(error) => self.healed_on_this_thread(error, faults, &mut call),
                done => done,
            };
        }
        let (lsn, faults) = {
            let mut log = self.log.lock();
            self.check_writable(&log, Op::Sync)?;
            self.schedule(&mut log);
            (
                log.groups.back().map(|g| g.last_lsn).or(log.in_flight.as_ref().map(|g| g.last_lsn)).unwrap_or(0),
                log.fault_count,
            )
        };
        self.wait_durable(lsn, faults)
    }

    /// Mode none: syncs what is not known durable, oldest segment first.
    pub(super) fn sync_all(&self, op: Op) -> Result<()> {
        let _alone = self.lock_for(&self.syncing, op)?;
        let (files, extent, faults) = {
            let log = self.log.lock();
            if log.state != State::ReadWrite {
                return Err(self.fault_error(&log, op));
            }
            if log.durable.lsn >= log.acked.lsn {
                return Ok(());
            }
            let tail = log.tail.iter().map(|t| t.segment.clone());
            (log.sealed.iter().map(|s| s.segment.clone()).chain(tail).collect::<Vec<_>>(), log.acked, log.fault_count)
        };
        let newest = files.last().map_or(0, |segment| segment.sequence());
        for segment in files {
            let result = segment.file().map_or(Ok(()), |f| f.sync());
            if let Err(e) = result {
                let mut log = self.log.lock();
                let error = self
                    .io_error(op, &e, "syncing a segment", &segment.name())
                    .range(log.durable.index + 1, extent.index);
                if log.fault_count == faults {
                    self.latch(&mut log, error, State::Unavailable);
                }
                // Housekeeping may have met the fault first: every call gets that one.
                return Err(self.fault_error(&log, op));
            }
            if self.log.lock().fault_count != faults {
                break; // nothing of an abandoned segment is touched any more
            }
        }
        let mut log = self.log.lock();
        if log.fault_count != faults {
            return Err(self.fault_error(&log, op));
        }
        note_synced(&mut log, newest, extent);
        Ok(())
    }
}

/// Closes every file.
fn release(log: &mut Log) {
    if let Some(tail) = log.tail.take() {
        tail.segment.seal();
    }
    for segment in
        log.spares.drain(..).chain(log.sealed.drain(..).map(|s| s.segment)).chain(log.live.drain(..).map(|l| l.segment))
    {
        segment.seal();
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        // Nobody is left to tell; what failed is found at the next open. A panic must not leave a destructor: it would end the process.
        let _ = catch_unwind(AssertUnwindSafe(|| self.shut(true)));
        // A close that left something hanging has kept it.
        self.free_dir();
    }
}

#[cfg(test)]
#[path = "close_test.rs"]
mod tests;
