//! What a new segment has to hold when one has failed: entries that are accepted or acknowledged and not known durable.

use super::log::{Live, Log};
use super::types::Entry;
use super::Partition;
use crate::error::{Error, Op, Result, Status};
use crate::format::{BeginData, RecordHeader, RecordType, RECORD_HEADER_BYTES};
use crate::io::Access;
use crate::segment::{read_records, ReadError};

/// Entries from `first` on, and the position that they continue.
pub(super) struct Rescue {
    pub entries: Vec<Entry>,
    pub first: u64,
    pub end: BeginData,
    /// Groups in memory that the entries come from: they are done when these are.
    pub groups: usize,
}

impl Partition {
    /// Modes sync and interval have it in memory (after a fault mode sync has nothing at risk). In mode none, and where an open could not
    /// write anew what it found, the medium is compared with what was acknowledged.
    pub(super) fn rescue(&self) -> Result<Rescue> {
        let log = self.log.lock();
        if log.busy() || log.durable.index.max(log.compaction.0) >= log.last.0 {
            let entries = entries_of(&log);
            let first = entries.first().map_or(log.last.0 + 1, |e| e.index);
            return Ok(Rescue { first, end: log.durable.end, entries, groups: log.groups.len() });
        }
        let (from, last, live) = (log.durable.index.max(log.compaction.0) + 1, log.last.0, log.live.clone());
        let end = log.durable.end;
        drop(log);
        self.rescue_unsynced(from, last, &live, end)
    }

    /// Everything that was never synced is written anew: a file on which an operation failed is not synced again, so nothing in it becomes
    /// durable. It is read from the page cache, which may be all that has it, and what that cannot give from the medium: every entry
    /// is checked, so it does not matter who kept the bytes.
    pub(super) fn rescue_unsynced(&self, from: u64, last: u64, live: &[Live], end: BeginData) -> Result<Rescue> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut failed = None;
        for access in [Access::Read, Access::ReadDirect] {
            let next = from + entries.len() as u64;
            failed = self.read_rest(next, last, live, access, &mut entries)?;
        }
        let gone = from + entries.len() as u64;
        if let (Some(e), true) = (failed, gone <= last) {
            // What cannot be read now is not known to be lost.
            return Err(self.io_error(Op::Recover, &e, "reading entries to write them anew", "").range(gone, last));
        }
        if gone <= last {
            self.log.lock().lost = (gone, last);
            let message = format!(
                "entries {gone} to {last} were acknowledged and are neither on the disk nor in memory; close the partition and rejoin as an empty replica"
            );
            let error = Error::new(Status::LostEntries, Op::Recover, message);
            return Err(error.partition(self.id).at(&self.path).range(gone, last));
        }
        Ok(Rescue { entries, first: from, end, groups: 0 })
    }

    /// Adds entries from `next` on, up to the first that is damaged or cannot be read; then the read's error is returned.
    fn read_rest(
        &self,
        next: u64,
        last: u64,
        live: &[Live],
        access: Access,
        entries: &mut Vec<Entry>,
    ) -> Result<Option<std::io::Error>> {
        let mut next = next;
        let dir = self.dir(Op::Recover)?;
        for part in live {
            if part.last < next {
                continue;
            }
            if next > last || part.first > next {
                break;
            }
            let file = match dir.open(&part.segment.name(), access) {
                Ok(file) => file,
                Err(e) => return Ok(Some(e)),
            };
            let mut cursor = part.segment.cursor(&*file, part.end);
            let start = u64::from(part.segment.header.header_bytes);
            let place = part.segment.index.lock().place(next).map_or(start, |p| p.1);
            let read = read_records(&mut cursor, place, next, part.last.min(last), &mut |index, term, kind, data| {
                entries.push(Entry { index, term, kind, data: data.to_vec() });
                next = index + 1;
                true
            });
            match read {
                Ok(_) => {}
                Err(ReadError::Io(e)) => return Ok(Some(e)),
                Err(ReadError::Damaged { .. }) => break,
            }
        }
        Ok(None)
    }
}

/// The entries of the groups in memory, as the log has them now: a later group may replace what an earlier one holds.
pub(super) fn entries_of(log: &Log) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for group in log.in_flight.iter().map(|g| &**g).chain(&log.groups) {
        let mut at = 0usize;
        while let Some(header) =
            RecordHeader::decode(group.buf.get(at..).unwrap_or(&[]), &group.segment.salt, group.offset + at as u64)
        {
            let data = at + RECORD_HEADER_BYTES;
            at += header.total_bytes() as usize;
            if header.record_type != RecordType::Entry {
                continue;
            }
            let Some(bytes) = group.buf.get(data..data + header.length as usize) else { break };
            while entries.last().is_some_and(|e| e.index >= header.index) {
                entries.pop();
            }
            entries.push(Entry { index: header.index, term: header.term, kind: header.kind, data: bytes.to_vec() });
        }
    }
    entries.retain(|e| e.index > log.compaction.0);
    entries
}
