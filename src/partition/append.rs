//! Append: check, hand to the disk, wait.

use super::limits::Limit;
use super::log::Log;
use super::parts::Submitted;
use super::types::{Completion, EntryRef, Mode, State};
use super::Partition;
use crate::error::{Error, Op, Result, Status};
use crate::format::{MAX_COUNTER, MAX_DATA_BYTES, RECORD_HEADER_BYTES};
use crate::sync::MutexGuard;

/// Most accepted bytes of one partition that wait for a flush; more wait in the call.
const PENDING_MAX_BYTES: usize = 8 << 20;
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
    /// `stall_limit_ms`, and before that, if more than 8 MiB wait for the disk, for room: as long as the disk gets on with them, and at most
    /// `stall_limit_ms` if it does not. In mode none it writes on this thread and takes as long as the kernel does, but at most that long
    /// behind others.
    /// Thread-safe; entries of concurrent calls must still arrive in order.
    ///
    /// Errors: `NoEntries`, `OutOfOrder`, `Gap`, `Compacted`, `CommitOutOfRange` (it would replace committed entries), `TermRegression`,
    /// `EntryTooLarge`, `BatchTooLarge`; `Stalled` or an I/O error, with `Op::Read`, if the term before the first entry cannot be read: nothing changed.
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

    /// `append` without the wait for the flush: `Ok` means accepted, and a completion with `token` follows exactly once. It waits for room, and
    /// while a fault is being healed. In modes none and interval it is an append.
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
        self.schedule(&mut log);
        // Last: after a panic before it none follows.
        if let Some(group) = log.groups.back_mut() {
            group.tokens.push(Submitted { token, at });
        }
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
            if e.index >= MAX_COUNTER - 1 || e.index != index + 1 {
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

    /// Waits for room, and learns the term before `first`: that may free the lock, and then a flush may fail meanwhile. A fault that came and
    /// went in this time has taken entries with it that this call was to follow: it is told the fault, not a gap.
    fn make_ready(&self, log: &mut MutexGuard<'_, Log>, first: u64) -> Result<()> {
        let faults = log.fault_count;
        loop {
            self.wait_for_room(log)?;
            self.know_term(log, first.saturating_sub(1), Op::Append, Partition::check_writable)?;
            if log.trouble.is_none() {
                return log.ended_wait(faults, |_| false).unwrap_or(Ok(()));
            }
        }
    }

    /// Waits while too much is accepted and not flushed: memory is bounded, whatever the disk does.
    fn wait_for_room(&self, log: &mut MutexGuard<'_, Log>) -> Result<()> {
        let full = |log: &Log| log.trouble.is_some() || log.pending_bytes() > PENDING_MAX_BYTES;
        self.wait_in_line(log, Op::Append, |log| full(log) && log.state == State::ReadWrite);
        self.check_writable(log, Op::Append)
    }

    /// Waits until `lsn` is durable, or a fault after `faults` ends the wait.
    pub(super) fn wait_durable(&self, lsn: u64, faults: u64) -> Result<()> {
        let mut deadline = self.stall_deadline();
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
            if self.wait_behind_check(&mut log, &mut deadline) && log.durable.lsn < lsn && log.fault_count == faults {
                self.latch_stalled(&mut log, Op::Append);
            }
        }
    }
}

pub(super) fn first_index(entries: &[EntryRef<'_>]) -> u64 {
    entries.first().map_or(0, |e| e.index)
}

#[cfg(test)]
#[path = "append_test.rs"]
mod tests;
