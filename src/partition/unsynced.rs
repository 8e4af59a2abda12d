//! Mode none: the write runs on the caller's thread and goes to the page cache. A hand-off would cost more than the write.

use super::append::{extent, fits, record_bytes, Checksums};
use super::log::Log;
use super::types::EntryRef;
use super::Partition;
use crate::error::{Cause, Error, Op, Result, Status};
use crate::format::{BeginData, RecordHeader, RecordType, RECORD_HEADER_BYTES};
use crate::io::{write_all_at, File};
use crate::segment::Segment;
use crate::sync::MutexGuard;
use std::sync::Arc;

/// Up to this many bytes a batch is copied together and written by one `pwrite`; larger ones are written from where they are.
const COPY_MAX_BYTES: u64 = 16 << 10;
const ZEROS: [u8; 8] = [0; 8];

/// A record that is ready to be written: its place, its header, its data.
struct Piece<'a> {
    header: RecordHeader,
    offset: u64,
    bytes: [u8; RECORD_HEADER_BYTES],
    data: &'a [u8],
}

impl Partition {
    pub(super) fn append_unsynced(&self, entries: &[EntryRef<'_>], sums: &Checksums) -> Result<()> {
        let mut log = self.log.lock();
        let need = entries.iter().map(|e| record_bytes(e.data.len())).sum::<u64>();
        let first = entries.first().map_or(0, |e| e.index);
        loop {
            self.check_entries(&log, entries)?;
            if first > log.last.0 && fits(&log, need) || !log.spares.is_empty() {
                break;
            }
            // The lock is free meanwhile: whatever was true is checked again.
            self.make_spare(&mut log)?;
        }
        let replaces = self.replace_suffix(&mut log, first);
        if replaces || !fits(&log, need) {
            self.switch_segment(&mut log, need, !replaces);
        }
        let Some((segment, file)) = log.tail.as_ref().and_then(|t| Some((t.segment.clone(), t.segment.file()?))) else {
            let error = Error::new(Status::Panic, Op::Append, "the tail has no file; this is a bug of the library");
            return Err(self.undo_unsynced(&mut log, error.partition(self.id)));
        };
        let result = self.write_unsynced(&mut log, &segment, &*file, entries, sums, first);
        if let Err(e) = result {
            let last = entries.last().map_or(first, |e| e.index);
            let error = self.io_error(Op::Append, &e, "writing entries", &segment.name()).range(first, last);
            return Err(self.undo_unsynced(&mut log, error));
        }
        log.undo.clear();
        log.counters.appends += 1;
        log.counters.entries += entries.len() as u64;
        log.counters.bytes += entries.iter().map(|e| e.data.len() as u64).sum::<u64>();
        log.last_append = self.host.now();
        log.acked = extent(&log);
        Ok(())
    }

    /// Housekeeping has usually made a spare segment; else it is made here.
    fn make_spare(&self, log: &mut MutexGuard<'_, Log>) -> Result<()> {
        let sequence = match log.unbacked.back() {
            Some(planned) => planned.sequence(),
            None => log.plan_segment(0, self.host.random_id()).sequence(),
        };
        let faults = log.fault_count;
        let made = MutexGuard::unlocked(log, || self.back_segments(sequence));
        if let (Err(error), true) = (&made, log.fault_count == faults) {
            self.latch_io(log, error.clone(), false);
        }
        made
    }

    fn write_unsynced(
        &self,
        log: &mut Log,
        segment: &Arc<Segment>,
        file: &dyn File,
        entries: &[EntryRef<'_>],
        sums: &Checksums,
        first: u64,
    ) -> std::io::Result<()> {
        let Some(mut offset) = log.tail.as_ref().map(|t| t.offset) else { return Ok(()) };
        let start = offset;
        let begin = log.end.encode();
        let mut pieces: Vec<Piece<'_>> = Vec::with_capacity(entries.len() + 1);
        let mut add = |log: &mut Log, record_type, e: &EntryRef<'_>, data, crc| {
            let header = log.record(record_type, e.kind, e.index, e.term, e.data.len() as u32, crc);
            pieces.push(Piece { bytes: header.encode(&segment.salt, offset), header, offset, data });
            offset += header.total_bytes();
        };
        if start == u64::from(segment.header.header_bytes) {
            let e = EntryRef { index: first, term: log.last.1, kind: 0, data: &begin };
            add(log, RecordType::Begin, &e, &begin[..], crc32fast::hash(&begin));
        }
        for (i, e) in entries.iter().enumerate() {
            add(log, RecordType::Entry, e, e.data, sums.get(i));
        }
        write_pieces(file, &pieces, start, offset)?;
        let mut index = segment.index.lock();
        for piece in &pieces {
            let h = &piece.header;
            let end = piece.offset + h.total_bytes();
            log.end = BeginData { segment: segment.sequence(), end_offset: end, last_lsn: h.lsn };
            if h.record_type == RecordType::Entry {
                index.note(h.index, h.term, piece.offset);
                log.push_entry(segment, h.index, h.term, end);
            }
        }
        if let Some(tail) = log.tail.as_mut() {
            tail.offset = offset;
        }
        Ok(())
    }

    /// The failed write's bytes, whole or partial, are left behind in an abandoned segment.
    fn undo_unsynced(&self, log: &mut Log, error: Error) -> Error {
        if let Some(undo) = log.undo.drain(..).next() {
            log.live = undo.live;
        }
        log.last = (
            log.acked.index.max(log.compaction.0),
            if log.acked.index > log.compaction.0 { log.acked.term } else { log.compaction.1 },
        );
        log.end = log.acked.end;
        if let Some(tail) = log.tail.take() {
            // Its entries are read through a descriptor of their own from now on, and its file is never used again.
            tail.segment.abandon();
        }
        let state = if error.cause() == Cause::NoSpace { super::State::ReadOnly } else { super::State::Unavailable };
        self.latch(log, error, state);
        self.fault_error(log, Op::Append)
    }
}

fn write_pieces(file: &dyn File, pieces: &[Piece<'_>], start: u64, end: u64) -> std::io::Result<()> {
    if end - start <= COPY_MAX_BYTES {
        let mut flat = Vec::with_capacity((end - start) as usize);
        for piece in pieces {
            flat.extend_from_slice(&piece.bytes);
            flat.extend_from_slice(piece.data);
            flat.extend_from_slice(padding(piece.data.len()));
        }
        return write_all_at(file, &[&flat], start);
    }
    let mut parts: Vec<&[u8]> = Vec::with_capacity(pieces.len() * 3);
    for piece in pieces {
        parts.push(&piece.bytes);
        parts.push(piece.data);
        let pad = padding(piece.data.len());
        if !pad.is_empty() {
            parts.push(pad);
        }
    }
    write_all_at(file, &parts, start)
}

fn padding(data: usize) -> &'static [u8] {
    let odd = (RECORD_HEADER_BYTES + data) % 8;
    if odd == 0 {
        &[]
    } else {
        &ZEROS[odd..]
    }
}
