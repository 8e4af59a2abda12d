//! Mode none: the write runs on the caller's thread and goes to the page cache. A hand-off would cost more than the write.
//!
//! The lock is not held meanwhile: `Log::writing` keeps other writers and whoever changes the log as a whole away, and nothing else waits
//! for the disk. What is written counts only once the write has come back, so that readers see the old log or the new one.

use super::accept::{extent, fits, record_bytes};
use super::append::{first_index, Checksums};
use super::log::Log;
use super::types::EntryRef;
use super::Partition;
use crate::error::{Error, Op, Result, Status};
use crate::format::{align8, BeginData, RecordType, BEGIN_DATA_BYTES, RECORD_HEADER_BYTES};
use crate::io::{write_all_at, File};
use crate::segment::Segment;
use crate::sync::MutexGuard;
use std::cell::Cell;
use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;

/// Up to this many bytes a batch is copied together and written by one `pwrite`; larger ones are written from where they are.
const COPY_MAX_BYTES: u64 = 16 << 10;
const ZEROS: [u8; 8] = [0; 8];

thread_local! {
    /// Where a thread copies its batches together.
    static COPY: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Records that are ready to be written at `start`.
struct Batch<'a> {
    segment: Arc<Segment>,
    file: Arc<dyn File>,
    start: u64,
    /// Behind the begin record, if there is one.
    first_offset: u64,
    last_lsn: u64,
    bytes: Bytes<'a>,
}

enum Bytes<'a> {
    Copied(Vec<u8>),
    /// The begin record, headers, and the payloads where the caller has them.
    Parts(Vec<u8>, Vec<[u8; RECORD_HEADER_BYTES]>, Vec<&'a [u8]>),
}

/// Dropped only by a panic of the write: nobody writes at this place again, whoever catches it.
struct WritePanics<'a>(&'a Partition);

impl Drop for WritePanics<'_> {
    fn drop(&mut self) {
        let latch = || {
            let mut log = self.0.log.lock();
            log.writing = false;
            self.0.latch_panicked(&mut log, Op::Append);
            self.0.changed.notify_all();
        };
        // A second panic that leaves this would end the process.
        if let Err(second) = catch_unwind(AssertUnwindSafe(latch)) {
            std::mem::forget(second);
        }
    }
}

impl Partition {
    /// `faults` is set to those counted before.
    #[inline(always)]
    pub(super) fn append_unsynced(&self, entries: &[EntryRef<'_>], sums: &Checksums, faults: &mut u64) -> Result<()> {
        let mut log = self.log.lock();
        *faults = log.fault_count;
        let need = entries.iter().map(|e| record_bytes(e.data.len())).sum::<u64>();
        let first = first_index(entries);
        loop {
            self.wait_written(&mut log, Op::Append)?;
            self.know_term(&mut log, first.saturating_sub(1), Op::Append, Partition::check_writable)?;
            if log.writing {
                continue;
            }
            self.check_entries(&log, entries)?;
            if first > log.last.0 && fits(&log, need) || !log.spares.is_empty() {
                break;
            }
            // The lock is free meanwhile: whatever was true is checked again.
            self.make_spare(&mut log)?;
        }
        let replaces = first <= log.last.0;
        if replaces || !fits(&log, need) {
            self.switch_segment(&mut log, need, !replaces);
        }
        self.write_records(&mut log, RecordType::Entry, entries, sums)?;
        self.counts.add_append(entries);
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

    /// Writes records behind the tail and takes them into the view. The lock is free meanwhile, `log.writing` is set.
    ///
    /// A write that fails leaves the view as it was; its bytes, whole or partial, stay behind in an abandoned segment. So does one that
    /// comes back after a fault: nobody waits for it any more.
    pub(super) fn write_records(
        &self,
        log: &mut MutexGuard<'_, Log>,
        record_type: RecordType,
        entries: &[EntryRef<'_>],
        sums: &Checksums,
    ) -> Result<()> {
        // The view has the suffix that they replace until they are written.
        let before = match record_type {
            RecordType::Entry => self.term_before(log, first_index(entries)),
            _ => log.last.1,
        };
        let Some(batch) = encode(log, record_type, entries, sums, before) else {
            let error = Error::new(Status::Panic, Op::Append, "the tail has no file; this is a bug of the library");
            self.latch(log, error.partition(self.id), super::State::Unavailable);
            return Err(self.fault_error(log, Op::Append));
        };
        log.writing = true;
        let faults = log.fault_count;
        let result = MutexGuard::unlocked(log, || {
            let panics = WritePanics(self);
            let result = batch.write();
            std::mem::forget(panics);
            result
        });
        log.writing = false;
        self.changed.notify_all();
        if log.fault_count != faults {
            return Err(self.fault_error(log, Op::Append));
        }
        if let Err(e) = result {
            let error = self.io_error(Op::Append, &e, "writing entries", &batch.segment.name());
            let last = entries.last().map_or(0, |e| e.index);
            self.latch_io(log, error.range(first_index(entries), last), false);
            return Err(self.fault_error(log, Op::Append));
        }
        if record_type == RecordType::Entry {
            self.replace_suffix(log, first_index(entries));
            log.undo.clear();
        }
        batch.count(log, record_type, entries);
        Ok(())
    }
}

/// Encodes records for the place behind the tail; the first ones of a segment follow its begin record, which has the term `before` them.
fn encode<'a>(
    log: &mut Log,
    record_type: RecordType,
    entries: &[EntryRef<'a>],
    sums: &Checksums,
    before: u64,
) -> Option<Batch<'a>> {
    let tail = log.tail.as_ref()?;
    let (segment, start) = (tail.segment.clone(), tail.offset);
    let file = segment.file()?;
    let begins = start == u64::from(segment.header.header_bytes);
    let begin_bytes = if begins { record_bytes(BEGIN_DATA_BYTES) } else { 0 };
    let total = begin_bytes + entries.iter().map(|e| record_bytes(e.data.len())).sum::<u64>();
    let mut flat = if total <= COPY_MAX_BYTES { COPY.take() } else { Vec::new() };
    flat.clear();
    if begins {
        let begin = log.end.encode();
        let (index, crc) = (first_index(entries), crc32fast::hash(&begin));
        let header = log.record(RecordType::Begin, 0, index, before, BEGIN_DATA_BYTES as u32, crc);
        push(&mut flat, &header.encode(&segment.salt, start), &begin);
    }
    let first_offset = start + begin_bytes;
    let mut offset = first_offset;
    let mut header = |log: &mut Log, i: usize, e: &EntryRef<'a>| {
        let header = log.record(record_type, e.kind, e.index, e.term, e.data.len() as u32, sums.get(i));
        let bytes = header.encode(&segment.salt, offset);
        offset += header.total_bytes();
        bytes
    };
    let bytes = if total <= COPY_MAX_BYTES {
        for (i, e) in entries.iter().enumerate() {
            push(&mut flat, &header(log, i, e), e.data);
        }
        Bytes::Copied(flat)
    } else {
        let headers = entries.iter().enumerate().map(|(i, e)| header(log, i, e)).collect();
        Bytes::Parts(flat, headers, entries.iter().map(|e| e.data).collect())
    };
    Some(Batch { segment, file, start, first_offset, last_lsn: log.next_lsn - 1, bytes })
}

fn push(flat: &mut Vec<u8>, header: &[u8], data: &[u8]) {
    flat.extend_from_slice(header);
    flat.extend_from_slice(data);
    flat.extend_from_slice(padding(data.len()));
}

impl Batch<'_> {
    fn write(&self) -> io::Result<()> {
        match &self.bytes {
            Bytes::Copied(flat) => write_all_at(&*self.file, &[flat], self.start),
            Bytes::Parts(begin, headers, payloads) => {
                let mut parts: Vec<&[u8]> = Vec::with_capacity(1 + headers.len() * 3);
                parts.push(begin);
                for (header, data) in headers.iter().zip(payloads) {
                    parts.extend([&header[..], data, padding(data.len())].into_iter().filter(|p| !p.is_empty()));
                }
                write_all_at(&*self.file, &parts, self.start)
            }
        }
    }

    /// Takes what was written into the view.
    fn count(mut self, log: &mut Log, record_type: RecordType, entries: &[EntryRef<'_>]) {
        let mut end = self.first_offset;
        let mut index = self.segment.index.lock();
        for e in entries {
            let offset = end;
            end += record_bytes(e.data.len());
            if record_type == RecordType::Entry {
                index.note(e.index, e.term, offset);
                log.push_entry(&self.segment, e.index, e.term, end);
            }
        }
        drop(index);
        log.end = BeginData { segment: self.segment.sequence(), end_offset: end, last_lsn: self.last_lsn };
        if let Some(tail) = log.tail.as_mut() {
            tail.offset = end;
        }
        log.acked = extent(log);
        if let Bytes::Copied(flat) = std::mem::replace(&mut self.bytes, Bytes::Copied(Vec::new())) {
            COPY.set(flat);
        }
    }
}

fn padding(data: usize) -> &'static [u8] {
    let bytes = RECORD_HEADER_BYTES + data;
    &ZEROS[..align8(bytes as u64) as usize - bytes]
}
