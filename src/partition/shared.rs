//! A partition's part in a flush that many share: its oldest group is written beside those of others, and one flush of the disk makes
//! all of them durable.

use super::idle_check::Check;
use super::log::Log;
use super::parts::Group;
use super::types::{Mode, State};
use super::Partition;
use crate::error::{Op, Result};
use crate::io::{Bytes, Call, File, Noted};
use std::io;
use std::sync::Arc;
use std::time::Instant;

/// Larger groups have a flush of their own: they keep the disk busy by themselves, and others would wait for them.
const SHARED_MAX_BYTES: usize = 64 << 10;

/// A group on its way to the disk by a flush that others share. The partition has no other worker until `give_back`.
pub struct Lent {
    group: Arc<Group>,
    file: Arc<dyn File>,
    began: Instant,
    /// The watchdog sees it under way until then.
    noted: Noted,
}

impl Lent {
    pub fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    pub fn bytes(&self) -> Bytes {
        self.group.clone()
    }

    pub fn len(&self) -> usize {
        self.group.buf.len()
    }

    pub fn offset(&self) -> u64 {
        self.group.offset
    }

    /// Writes what follows the first `done` bytes, durable by itself.
    pub fn write_alone(&self, done: usize) -> io::Result<()> {
        let rest = self.group.buf.get(done..).unwrap_or_default();
        crate::io::write_durable_at(&*self.file, rest, self.group.offset + done as u64)
    }
}

impl Partition {
    /// Its oldest group, if that is all a worker would begin with. Otherwise it needs a worker of its own.
    pub fn lend(&self) -> Option<Lent> {
        let mut log = self.log.lock();
        let file = self.shareable(&log)?;
        let group = self.take_group(&mut log)?;
        let noted = self.calls.note_until(Call::Write, &group.segment.name());
        Some(Lent { group, file, began: self.host.now(), noted })
    }

    /// A flush that others share would have its next group.
    pub(super) fn may_share(&self, log: &Log) -> bool {
        self.shareable(log).is_some()
    }

    /// The file of the next group, if that may share a flush: of a segment that is there, whose bytes were all written in advance.
    fn shareable(&self, log: &Log) -> Option<Arc<dyn File>> {
        let group = log.groups.front()?;
        let waits = log.trouble.is_some() || log.root.wanted > log.root.done || log.in_flight.is_some();
        if self.mode != Mode::Sync || log.state != State::ReadWrite || waits || group.buf.len() > SHARED_MAX_BYTES {
            return None;
        }
        group.segment.file().filter(|file| group.segment.is_written() && file.shares_flushes())
    }

    /// What became of a group that was lent. What waits by now gets in line.
    pub fn give_back(&self, lent: Lent, result: io::Result<()>) {
        let Lent { group, began, noted, .. } = lent;
        let result: Result<()> = result.map_err(|e| {
            let (first, last) = group.entries;
            self.io_error(Op::Append, &e, "flushing entries", &group.segment.name()).range(first, last)
        });
        self.count_flush(&group, began, result.is_ok());
        drop(noted);
        let mut log = self.log.lock();
        self.flushed(&mut log, group, result);
        // A flush says more than a look.
        log.check = Check::None;
        log.scheduled = false;
        let waits = log.state == State::ReadWrite && (log.trouble.is_some() || log.busy());
        if waits || log.root.wanted > log.root.done && self.check_root_writable(&log, Op::HardState).is_ok() {
            self.schedule(&mut log);
        }
    }
}

#[cfg(test)]
#[path = "shared_test.rs"]
mod tests;
