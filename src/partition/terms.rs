//! Terms of entries: from memory, or from a segment's index, which is read where it is not known yet.

use super::limits::Limit;
use super::log::Log;
use super::parts::Live;
use super::types::Mode;
use super::Partition;
use crate::error::{Error, Op, Result, Status};
use crate::sync::thread::Builder;
use crate::sync::{Mutex, MutexGuard};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;

/// Whether the partition takes a call.
type Check = fn(&Partition, &Log, Op) -> Result<()>;

/// A segment that a thread of its own reads, to know where its entries are.
pub struct Indexing {
    sequence: u64,
    result: Mutex<Option<Result<()>>>,
}

impl Indexing {
    fn result(&self) -> Option<Result<()>> {
        self.result.lock().clone()
    }
}

impl Partition {
    /// The term of an entry, or of the compaction point. Errors: `Compacted` below it, `OutOfRange` beyond the last entry; `Damaged` if the
    /// record of this very entry, data included, was not whole when its segment was read; I/O errors of this read alone.
    pub fn term(&self, index: u64) -> Result<u64> {
        let live = {
            let log = self.log.lock();
            self.check_readable(&log, Op::Read)?;
            self.check_index(&log, index, index)?;
            if let Some(term) = self.term_in_memory(&log, index) {
                return Ok(term);
            }
            log.locate(index).cloned()
        };
        let Some(live) = live else { return Err(self.damage_at(index)) };
        self.term_from(&live, index)
    }

    /// What could not be read is not known to be damaged: the next call that needs it reads it again.
    fn term_from(&self, live: &Live, index: u64) -> Result<u64> {
        let indexed = self.index_segment(live);
        let term = live.segment.index.lock().term(index);
        match term {
            Some(term) => Ok(term),
            None => indexed.and_then(|()| Err(self.damage_at(index))),
        }
    }

    pub(super) fn term_in_memory(&self, log: &Log, index: u64) -> Option<u64> {
        if index == log.compaction.0 {
            return Some(log.compaction.1);
        }
        if index == log.last.0 {
            return Some(log.last.1);
        }
        let live = log.locate(index)?;
        let term = live.segment.index.lock().term(index);
        term
    }

    /// Has the segment indexed that holds `index`, so that `term_locked` need not read it under the lock. The log is free meanwhile. A call that
    /// does not pass `check` hears so before anything is read for it: what the read would meet is not its reason. In modes sync and interval
    /// nobody waits for longer than the stall limit: then `Stalled`, with `Op::Read`, and nothing is latched.
    pub(super) fn know_term(&self, log: &mut MutexGuard<'_, Log>, index: u64, op: Op, check: Check) -> Result<()> {
        let mut deadline = None;
        let mut read: Option<Arc<Indexing>> = None;
        loop {
            let is_there = (log.compaction.0..=log.last.0).contains(&index);
            if !is_there || self.term_in_memory(log, index).is_some() {
                return Ok(());
            }
            check(self, log, op)?;
            let Some(live) = log.locate(index).cloned() else { return Ok(()) };
            match read.as_ref().filter(|r| r.sequence == live.segment.sequence()).and_then(|r| r.result()) {
                Some(Ok(())) => return Ok(()), // its entry is damaged
                Some(Err(error)) => return Err(error),
                None => {}
            }
            let elsewhere = self.mode != Mode::None && self.host.has_threads();
            let under_way =
                elsewhere.then(|| log.indexing.clone().or_else(|| self.index_elsewhere(log, &live))).flatten();
            let Some(under_way) = under_way else {
                return match MutexGuard::unlocked(log, || self.term_from(&live, index)) {
                    Err(error) if error.status != Status::Damaged => Err(error),
                    _ => Ok(()),
                };
            };
            let deadline = *deadline.get_or_insert_with(|| self.stall_deadline());
            if self.wait(log, deadline) && under_way.result().is_none() {
                return Err(self.read_stalled(log, &live));
            }
            read = Some(under_way);
        }
    }

    /// A thread of its own reads the segment: one at a time, which stays behind if the disk hangs. None if the system has no thread to give.
    fn index_elsewhere(&self, log: &mut Log, live: &Live) -> Option<Arc<Indexing>> {
        let read = Arc::new(Indexing { sequence: live.segment.sequence(), result: Mutex::default() });
        let partition = self.me.upgrade()?;
        let (under_way, live) = (read.clone(), live.clone());
        let run = move || {
            let result = catch_unwind(AssertUnwindSafe(|| partition.index_segment(&live))).unwrap_or_else(|_| {
                partition.latch_panic(Op::Read);
                Ok(())
            });
            let mut log = partition.log.lock();
            *under_way.result.lock() = Some(result);
            log.indexing = None;
            partition.changed.notify_all();
        };
        Builder::new().name("bulkhead-read".into()).spawn(run).ok()?;
        log.indexing = Some(read.clone());
        Some(read)
    }

    fn read_stalled(&self, log: &Log, live: &Live) -> Error {
        let message = format!(
            "the disk has not come back from reading {} within {} ms; try again when it has",
            live.segment.name(),
            self.limits.get(Limit::StallLimitMs)
        );
        let error = Error::new(Status::Stalled, Op::Read, message).partition(self.id).at(&self.path);
        self.count_error(&error);
        self.tell(log, error.cause(), &error);
        error
    }

    /// `term` for callers that hold the lock; reads the segment under it in the rare case that it was never indexed.
    pub(super) fn term_locked(&self, log: &Log, index: u64) -> Result<u64> {
        if let Some(term) = self.term_in_memory(log, index) {
            return Ok(term);
        }
        let Some(live) = log.locate(index) else { return Err(self.damage_at(index)) };
        self.term_from(live, index)
    }
}
