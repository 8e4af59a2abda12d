//! What a faulted partition leaves behind when it is closed: raft closes its storage at the first error, and opens it again. The engine
//! keeps it, and the next open of the same directory in this process takes it in.

use super::append::Checksums;
use super::log::Log;
use super::rescue::{entries_of, Origin, Rescue};
use super::root::same_opening;
use super::types::{Entry, EntryRef, Event, Mode, State};
use super::Partition;
use crate::error::{Cause, Error, Op, Result, Status};
use crate::format::{Id, Root};
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::Arc;

/// A directory, whatever its path: its device and inode. A copy of it is another one.
pub type Place = (u64, u64);

/// Acknowledged entries of a closed partition that the disk may not have.
#[derive(Clone)]
pub struct Orphan {
    incarnation: Id,
    place: Place,
    partition_id: u64,
    path: PathBuf,
    tag: Arc<AtomicU64>,
    /// The opening that was the last to write the root, and the one that may have: another one since, and this says nothing any more.
    epochs: [Id; 2],
    /// Mode interval: entries that are in memory only.
    entries: Vec<Entry>,
    /// Entries up to here were durable.
    durable: u64,
    /// The last entry that was acknowledged, and its term.
    last: (u64, u64),
}

impl Orphan {
    /// It is this log's, and no other opening has written the root since.
    pub fn is_of(&self, root: &Root) -> bool {
        self.is_of_log(root) && self.epochs.iter().any(|epoch| same_opening(epoch, &root.epoch))
    }

    pub fn is_of_log(&self, root: &Root) -> bool {
        self.incarnation == root.incarnation
    }

    /// A later one of the same directory takes its place. Copies of a directory may have left one each.
    pub fn is_replaced_by(&self, newer: &Orphan) -> bool {
        (self.incarnation, self.place) == (newer.incarnation, newer.place)
    }

    pub fn was_left_in(&self, place: Place) -> bool {
        self.place == place
    }

    /// What stays where entries were taken in by a copy: how far the log was acknowledged.
    fn without_entries(&self) -> Orphan {
        Orphan { path: self.path.clone(), tag: self.tag.clone(), entries: Vec::new(), ..*self }
    }

    /// The first of its entries, if they come to `known`.
    pub fn first_with(&self, known: u64) -> Option<u64> {
        let reaches = self.entries.last().is_some_and(|e| e.index >= known);
        self.entries.first().map(|e| e.index).filter(|_| reaches)
    }

    /// Bytes of memory it holds.
    pub fn bytes(&self) -> usize {
        self.entries.iter().map(|e| e.data.len() + std::mem::size_of::<Entry>()).sum()
    }

    /// Gives the memory back. What stays is how far the log was acknowledged: the next open says what is lost. Returns the event for the
    /// owner, and the tag that goes with it.
    pub fn forget_entries(&mut self) -> (Event, Arc<AtomicU64>) {
        let entries = std::mem::take(&mut self.entries);
        let first = entries.first().map_or(self.durable + 1, |e| e.index);
        let event = Event {
            sequence: 0,
            partition_id: self.partition_id,
            time_unix_ns: 0,
            from: State::Closed,
            to: State::Closed,
            cause: Cause::LostEntries,
            op: Op::Close,
            errno: 0,
            merged: 0,
            range: (first, self.last.0),
            tag: 0,
            path: self.path.clone(),
            note: String::new(),
            limits: Vec::new(),
        };
        (event, self.tag.clone())
    }
}

impl Partition {
    /// Called when a partition is closed that is not ReadWrite.
    pub(super) fn leave_orphan(&self, log: &Log) {
        let unflushed = self.mode == Mode::Interval && log.has_pending_entries();
        let unsynced = self.mode == Mode::None && log.acked.lsn > log.durable.lsn;
        if !log.loaded || !log.sound || !(unflushed || unsynced) {
            return;
        }
        self.host.keep_orphan(Orphan {
            incarnation: log.stored.incarnation,
            place: self.place(),
            partition_id: self.id,
            path: self.path.clone(),
            tag: self.tag.clone(),
            epochs: [log.stored.epoch, log.desired.epoch],
            entries: if unflushed { entries_of(log) } else { Vec::new() },
            durable: log.durable.index,
            last: (log.acked.index, log.acked.term),
        });
    }

    /// Zeros once it has let go of its directory.
    pub(super) fn place(&self) -> Place {
        let device = self.dir.lock().as_ref().map(|dir| dir.device());
        device.map_or((0, 0), |device| (device.id, device.inode))
    }

    /// Called by an open that knows what the disk has. What memory has besides is written to a new segment. What neither has is lost,
    /// and the partition says so.
    pub(super) fn take_orphan_in(&self, root: &Root) -> Result<()> {
        let place = self.place();
        let Some(mut orphan) = self.host.orphan(root, place) else {
            return Ok(());
        };
        // Of another directory that this one is a copy of, and which may be opened, too: that keeps them until this one has them, and hears
        // then that they are gone.
        let original = (orphan.place != place).then(|| orphan.without_entries());
        if original.is_some() {
            orphan = Orphan { place, path: self.path.clone(), tag: self.tag.clone(), ..orphan };
        }
        let (found, compaction, end) = {
            let mut log = self.log.lock();
            // Until this is done a recovery has to begin at the beginning.
            log.sound = false;
            // Not where the entries were to go when they were accepted: this open may have written what is before them anew.
            (log.last.0, log.compaction.0, log.end)
        };
        let first = orphan.entries.first().map_or(orphan.last.0 + 1, |e| e.index);
        let result = if let Some(lost) = self.missing(&orphan, found, first) {
            self.log.lock().lost = lost;
            let message = format!(
                "entries {} to {} were acknowledged before the partition was closed and are not on the disk; rejoin as an empty replica",
                lost.0, lost.1
            );
            Err(Error::new(Status::LostEntries, Op::Open, message).range(lost.0, lost.1))
        } else if orphan.entries.is_empty() {
            Ok(())
        } else {
            let entries: Vec<Entry> = orphan.entries.iter().filter(|e| e.index > compaction).cloned().collect();
            let first = first.max(compaction + 1);
            let waits = !entries.is_empty();
            match self.heal_with(&Rescue { first, end, from: Origin::Memory(entries), groups: 0 }, true) {
                // With entries that are all compacted there is nothing to accept: the next try to open makes the segment that supersedes.
                Err(e) if e.cause() == Cause::NoSpace && self.mode == Mode::Interval && waits => {
                    let waits = self.wait_for_space(&orphan, e);
                    original.into_iter().for_each(|o| self.host.keep_orphan(o));
                    return waits;
                }
                healed => healed,
            }
        };
        if result.is_err() {
            // This open may have written the root itself.
            let log = self.log.lock();
            orphan.epochs = [log.stored.epoch, log.desired.epoch];
            drop(log);
            self.host.keep_orphan(orphan);
            return result;
        }
        original.into_iter().for_each(|o| self.host.keep_orphan(o));
        let mut log = self.log.lock();
        log.sound = true;
        Ok(())
    }

    /// The acknowledged entries that neither the disk nor the orphan has.
    fn missing(&self, orphan: &Orphan, found: u64, first: u64) -> Option<(u64, u64)> {
        if first > found + 1 {
            return Some((found + 1, first - 1));
        }
        // What replaced a suffix may be gone where the old suffix is there.
        let replaced = orphan.entries.is_empty() && self.term(orphan.last.0).ok() != Some(orphan.last.1);
        (replaced && orphan.last.0 > orphan.durable).then_some((orphan.durable + 1, orphan.last.0))
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
