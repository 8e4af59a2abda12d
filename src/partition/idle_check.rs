//! A look whether a log that nobody writes to could be written: a block of zeros behind its last record, where the next flush goes, durable
//! like that. Nothing is to be read there, before and after. Where it fails, the next flush would have: that is what is made of it.

use super::accept::fits;
use super::log::Log;
use super::types::{EntryRef, Mode, State};
use super::Partition;
use crate::error::{Cause, Op, Result};
use crate::format::RecordType;
use crate::io::{write_durable_at, AlignedBuf, File};
use crate::segment::Segment;
use crate::sync::MutexGuard;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::Instant;

impl Partition {
    /// Has a worker look. False if there is nothing to look at: entries are on their way, no segment is written to since it was opened, or
    /// nothing would be told of (mode none).
    pub fn check_idle(&self) -> bool {
        let Some(mut log) = self.log.try_lock() else { return false };
        if self.mode == Mode::None || log.scheduled || idle_place(&log).is_none() {
            return false;
        }
        log.check = Check::Wanted;
        self.schedule(&mut log);
        true
    }

    /// True while a look that `check_idle` began is to come, or has not come back.
    pub fn is_checking(&self) -> bool {
        self.log.try_lock().map_or(true, |log| match log.check {
            Check::None => false,
            Check::Wanted => log.state == State::ReadWrite,
            Check::UnderWay(_) => true,
        })
    }

    /// A wait for a worker; true if nothing has happened before the deadline, which begins anew when a look in front is over.
    pub(super) fn wait_behind_check(&self, log: &mut MutexGuard<'_, Log>, deadline: &mut Instant) -> bool {
        let checked = log.checked_segment().is_some();
        let timed_out = self.wait(log, *deadline);
        if checked && log.checked_segment().is_none() {
            *deadline = self.stall_deadline();
            return false;
        }
        timed_out
    }

    /// The worker's part. False if no look is wanted any more.
    pub(super) fn check_if_wanted(&self, log: &mut MutexGuard<'_, Log>) -> bool {
        if log.check != Check::Wanted {
            return false;
        }
        log.check = Check::None;
        let Some((segment, file, offset)) = idle_place(log) else { return false };
        log.check = Check::UnderWay(segment.sequence());
        let zeros = AlignedBuf::zeroed(log.block_bytes as usize);
        let result = MutexGuard::unlocked(log, || {
            write_durable_at(&*file, &zeros, offset)
                .map_err(|e| self.io_error(Op::Append, &e, "checking an idle log", &segment.name()))
        });
        self.checked(log, &segment, result);
        true
    }

    fn checked(&self, log: &mut Log, segment: &Arc<Segment>, result: Result<()>) {
        log.check = Check::None;
        self.changed.notify_all();
        let Err(error) = result else {
            self.disk_counts.idle_checks_passed.fetch_add(1, Ordering::Relaxed);
            return;
        };
        if error.cause() == Cause::NoSpace {
            // Blocks that are written anew elsewhere (reflinks): there is no space for what nobody wants written.
            return;
        }
        let next = log.groups.front().map(|g| &g.segment).or(log.tail.as_ref().map(|t| &t.segment));
        if log.state != State::ReadWrite || log.exclusive || !next.is_some_and(|s| Arc::ptr_eq(s, segment)) {
            // Nothing goes there next, or it is about to go as a whole.
            segment.use_up();
            return;
        }
        // As the flush of what comes next would: a mark, where nothing waits.
        if log.groups.is_empty() {
            let (index, term) = log.last;
            let mark = EntryRef { index, term, kind: 0, data: &[] };
            if self.ensure_group(log, index + 1).is_err() {
                return;
            }
            self.push_record(log, RecordType::Mark, &mark, crc32fast::hash(&[]));
        }
        if let Some(group) = self.take_group(log) {
            self.flushed(log, group, Err(error));
        }
    }
}

/// A look at an idle log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    None,
    Wanted,
    /// In the kernel, on the segment of this sequence.
    UnderWay(u64),
}

/// Where an idle log's next flush goes, if a segment is open for it and has room.
fn idle_place(log: &Log) -> Option<(Arc<Segment>, Arc<dyn File>, u64)> {
    let busy = log.busy() || log.trouble.is_some() || log.root.wanted > log.root.done;
    if log.state != State::ReadWrite || log.exclusive || log.fence.is_some() || busy {
        return None;
    }
    let tail = log.tail.as_ref().filter(|t| t.offset % u64::from(log.block_bytes) == 0)?;
    let file = tail.segment.file().filter(|_| fits(log, u64::from(log.block_bytes)))?;
    Some((tail.segment.clone(), file, tail.offset))
}
