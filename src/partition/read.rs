//! Reads: from memory where the entry was written a moment ago, else from its segment. Every entry is checked.

use super::log::Log;
use super::parts::Live;
use super::reading::{damage, read_file, read_group, source, Reading, Source};
use super::types::{Entry, Mode};
use super::Partition;
use crate::error::{Error, Op, Result, Status};
use crate::io::{Access, File};
use crate::segment::{scan, ReadError, Take};
use std::sync::atomic::Ordering;
use std::sync::Arc;

impl Partition {
    /// First index (the compaction point plus one) and last index (of the last accepted entry, or the compaction point).
    pub fn bounds(&self) -> Result<(u64, u64)> {
        let log = self.log.lock();
        self.check_readable(&log, Op::Read)?;
        Ok((log.compaction.0 + 1, log.last.0))
    }

    /// Entries `lo .. hi`. Stops after the entry that takes the data over `max_bytes`; at least one entry. A `hi` beyond the last
    /// entry is cut. Errors: `Compacted` for lo at or below the compaction point, `OutOfRange` for lo beyond the last entry.
    pub fn read(&self, lo: u64, hi: u64, max_bytes: u64) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        self.read_into(lo, hi, max_bytes, &mut |index, term, kind, data| {
            entries.push(Entry { index, term, kind, data: data.to_vec() });
            true
        })?;
        Ok(entries)
    }

    /// `read` without copies: hands every entry to `take` until that returns false. `take` must not call this partition.
    pub fn read_into(&self, lo: u64, hi: u64, max_bytes: u64, take: &mut Take<'_>) -> Result<()> {
        let mut reading = Reading { next: lo, end: hi, bytes: 0, max_bytes, stopped: false, take };
        let mut from_memory = 0;
        let result = self.read_range(lo, hi, &mut reading, &mut from_memory);
        self.counts.add_read(from_memory, reading.next - lo - from_memory, reading.bytes);
        result
    }

    fn read_range(&self, lo: u64, hi: u64, reading: &mut Reading<'_, '_>, from_memory: &mut u64) -> Result<()> {
        let mut failed_at = None;
        while !reading.stopped {
            let source = {
                let log = self.log.lock();
                self.check_readable(&log, Op::Read)?;
                if reading.next == lo {
                    self.check_index(&log, lo, log.compaction.0 + 1)?;
                }
                if reading.next >= hi.min(log.last.0 + 1) {
                    return Ok(());
                }
                // Up to where this part of the log counts: behind it a later segment has replaced what memory or file still hold.
                reading.end = log.locate(reading.next).map_or(0, |live| hi.min(live.last + 1));
                source(&log, reading)
            };
            let before = reading.next;
            let in_memory = !matches!(source, Some(Source::Segment(_)));
            let result = match source {
                Some(Source::Memory(group)) => read_group(&group, reading),
                Some(Source::Copied(entries)) => {
                    entries.iter().all(|e| reading.give(e.index, e.term, e.kind, &e.data));
                    Ok(())
                }
                Some(Source::Segment(live)) => self.read_segment(&live, reading),
                None => Err(damage(reading.next)),
            };
            if in_memory {
                *from_memory += reading.next - before;
            }
            // A source that has nothing of what it should hold is damaged, too: a read always ends.
            let stuck = result.is_ok() && reading.next == before && !reading.stopped;
            if let Err(error) = if stuck { Err(damage(before)) } else { result } {
                // The entry may have been compacted, or its file reused, while it was read: look again, once for each entry.
                if failed_at == Some(reading.next) {
                    return Err(self.read_failed(error, reading.next));
                }
                failed_at = Some(reading.next);
            }
        }
        Ok(())
    }

    pub(super) fn check_index(&self, log: &Log, index: u64, lowest: u64) -> Result<()> {
        let error = if index < log.compaction.0 || index < lowest {
            let message = format!("entry {index} is compacted; the first entry is {}", log.compaction.0 + 1);
            Error::new(Status::Compacted, Op::Read, message)
        } else if index > log.last.0 {
            Error::new(Status::OutOfRange, Op::Read, format!("entry {index} is beyond the last entry {}", log.last.0))
        } else {
            return Ok(());
        };
        Err(error.partition(self.id).at(&self.path).range(index, index))
    }

    fn read_segment(&self, live: &Live, reading: &mut Reading<'_, '_>) -> std::result::Result<(), ReadError> {
        let place = live.segment.index.lock().place(reading.next);
        let place = match place {
            Some(place) => Some(place),
            None if reading.takes_all_of(live) => None,
            None => {
                let indexed = self.scan_index(live);
                let place = live.segment.index.lock().place(reading.next);
                if place.is_none() {
                    indexed.map_err(ReadError::Io)?;
                }
                place
            }
        };
        let from = place.map_or(u64::from(live.segment.header.header_bytes), |(_, offset)| offset);
        let file = self.open_for_reading(live).map_err(ReadError::Io)?;
        match read_file(&*file, live, from, reading) {
            Err(ReadError::Io(_)) => read_file(&*self.open_direct(live).map_err(ReadError::Io)?, live, from, reading),
            other => other,
        }
    }

    /// The page cache reads in large folios, and an unreadable block fails a whole one. By O_DIRECT it fails alone.
    fn open_direct(&self, live: &Live) -> std::io::Result<Arc<dyn File>> {
        let dir = self.dir.lock().clone().ok_or_else(|| std::io::Error::from_raw_os_error(libc::EBADF))?;
        dir.open(&live.segment.name(), Access::ReadDirect)
    }

    fn open_for_reading(&self, live: &Live) -> std::io::Result<Arc<dyn File>> {
        if self.mode == Mode::None {
            if let Some(file) = live.segment.file() {
                return Ok(file);
            }
        }
        // A page of the cache that waits for a slow sector, read ahead behind the tail, would hold up the next write to it, and those that
        // share its flush.
        let shares = self.mode == Mode::Sync && live.segment.is_written();
        if shares && live.segment.file().is_some_and(|file| file.shares_flushes()) {
            return self.open_direct(live);
        }
        let dir = self.dir.lock().clone().ok_or_else(|| std::io::Error::from_raw_os_error(libc::EBADF))?;
        dir.open(&live.segment.name(), Access::Read)
    }

    pub(super) fn index_segment(&self, live: &Live) -> Result<()> {
        self.scan_index(live).map_err(|e| self.io_error(Op::Read, &e, "reading a segment", &live.segment.name()))
    }

    /// Reads a sealed segment once to know where its entries are.
    fn scan_index(&self, live: &Live) -> std::io::Result<()> {
        if live.segment.index.lock().is_complete() {
            return Ok(());
        }
        let file = self.open_for_reading(live)?;
        let mut cursor = live.segment.cursor(&*file, live.end);
        let start = u64::from(live.segment.header.header_bytes);
        let mut scanned = scan(&mut cursor, start);
        if scanned.unreadable.is_some() {
            scanned = scan(&mut live.segment.cursor(&*self.open_direct(live)?, live.end), start);
        }
        // Another call may have been luckier meanwhile.
        let mut known = live.segment.index.lock();
        if !known.is_complete() {
            *known = scanned.index;
        }
        scanned.unreadable.map_or(Ok(()), Err)
    }

    /// A read that failed fails alone: the partition goes on, its owner and its operator are told.
    fn read_failed(&self, error: ReadError, index: u64) -> Error {
        let mut log = self.log.lock();
        if let Err(compacted) = self.check_index(&log, index, log.compaction.0 + 1) {
            return compacted;
        }
        let error = match error {
            ReadError::Io(e) => {
                Error::io(Op::Read, &e, "reading an entry").partition(self.id).at(&self.path).range(index, index)
            }
            ReadError::Damaged { first } => {
                log.damaged.add(first, first);
                self.disk_counts.checks_failed.fetch_add(1, Ordering::Relaxed);
                self.damage_at(first)
            }
        };
        self.count_error(&error);
        self.tell(&log, error.cause(), &error);
        error
    }

    pub(super) fn damage_at(&self, index: u64) -> Error {
        let message = format!("entry {index} is damaged on disk; fetch it from another replica, or compact past it");
        Error::new(Status::Damaged, Op::Read, message).partition(self.id).at(&self.path).range(index, index)
    }
}
