//! What a faulted partition leaves behind when it is closed: raft closes its storage at the first error, and opens it again. The engine
//! keeps it, and the next open of the same directory in this process takes it in.

use super::append::Checksums;
use super::log::Log;
use super::rescue::{entries_of, Rescue};
use super::types::{Entry, EntryRef, Mode, State};
use super::Partition;
use crate::error::{Cause, Error, Op, Result, Status};
use crate::format::{Id, Root};

/// Acknowledged entries of a closed partition that the disk may not have.
pub struct Orphan {
    pub incarnation: Id,
    /// The opening that was the last to write the root: another one since, and this says nothing any more.
    epoch: Id,
    /// Mode interval: entries that are in memory only.
    entries: Vec<Entry>,
    /// The last entry that was acknowledged.
    last: u64,
}

impl Orphan {
    /// Bytes of memory it holds.
    pub fn bytes(&self) -> usize {
        self.entries.iter().map(|e| e.data.len() + std::mem::size_of::<Entry>()).sum()
    }
}

impl Partition {
    /// Called when a partition is closed that is not ReadWrite.
    pub(super) fn leave_orphan(&self, log: &Log) {
        let unflushed = self.mode == Mode::Interval && log.busy();
        let unsynced = self.mode == Mode::None && log.acked.lsn > log.durable.lsn;
        if !log.loaded || !log.sound || !(unflushed || unsynced) {
            return;
        }
        self.host.keep_orphan(Orphan {
            incarnation: log.stored.incarnation,
            epoch: log.stored.epoch,
            entries: if unflushed { entries_of(log) } else { Vec::new() },
            last: log.acked.index,
        });
    }

    /// Called by an open that knows what the disk has. What memory has besides is written to a new segment. What neither has is lost,
    /// and the partition says so.
    pub(super) fn take_orphan_in(&self, root: &Root) -> Result<()> {
        let Some(orphan) = self.host.orphan(&root.incarnation).filter(|o| o.epoch == root.epoch) else {
            return Ok(());
        };
        let (found, compaction, end) = {
            let mut log = self.log.lock();
            // Until this is done a recovery has to begin at the beginning.
            log.sound = false;
            log.state = State::Recovering;
            // Not where the entries were to go when they were accepted: this open may have written what is before them anew.
            (log.last.0, log.compaction.0, log.end)
        };
        let first = orphan.entries.first().map_or(orphan.last + 1, |e| e.index);
        let result = if first > found + 1 {
            self.log.lock().lost = (found + 1, first - 1);
            let message = format!(
                "entries {} to {} were acknowledged before the partition was closed and are not on the disk; rejoin as an empty replica",
                found + 1,
                first - 1
            );
            Err(Error::new(Status::LostEntries, Op::Open, message).range(found + 1, first - 1))
        } else if orphan.entries.is_empty() {
            Ok(())
        } else {
            let entries: Vec<Entry> = orphan.entries.iter().filter(|e| e.index > compaction).cloned().collect();
            match self.heal_with(Rescue { first: first.max(compaction + 1), entries, end }, true) {
                Err(e) if e.cause() == Cause::NoSpace && self.mode == Mode::Interval => {
                    return self.wait_for_space(&orphan, e)
                }
                healed => healed,
            }
        };
        if result.is_err() {
            self.host.keep_orphan(orphan);
            return result;
        }
        let mut log = self.log.lock();
        log.sound = true;
        log.state = State::ReadWrite;
        Ok(())
    }

    /// The disk is full: the entries are accepted as if they had just come, and wait in memory as they did before. Reads and votes work.
    fn wait_for_space(&self, orphan: &Orphan, error: Error) -> Result<()> {
        let mut log = self.log.lock();
        let kept: Vec<_> = orphan.entries.iter().filter(|e| e.index > log.compaction.0).collect();
        let refs: Vec<_> =
            kept.iter().map(|e| EntryRef { index: e.index, term: e.term, kind: e.kind, data: &e.data }).collect();
        self.accept(&mut log, &refs, &Checksums::of(&refs))?;
        log.sound = true;
        Err(error)
    }
}
