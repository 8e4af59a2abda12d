//! What new segments have to hold when one has failed: entries that are accepted or acknowledged and not known durable.

use super::accept::record_bytes;
use super::log::Log;
use super::parts::Live;
use super::types::Entry;
use super::Partition;
use crate::error::{Error, Op, Result, Status};
use crate::format::{BeginData, RecordHeader, RecordType, BEGIN_DATA_BYTES, RECORD_HEADER_BYTES};
use crate::io::Access;
use crate::segment::{read_records, ReadError, Take};

/// Entries from `first` on, and the position that they continue.
pub(super) struct Rescue {
    pub first: u64,
    pub end: BeginData,
    pub from: Origin,
    /// Groups in memory that the entries come from: they are done when these are.
    pub groups: usize,
}

/// Where the entries are. What files hold may be more than memory does: it is read as it is written anew.
pub(super) enum Origin {
    Memory(Vec<Entry>),
    /// Up to `last`, in these parts of the log.
    Files {
        parts: Vec<Live>,
        last: u64,
    },
}

impl Rescue {
    /// Most bytes that the records take in one segment.
    pub fn need(&self) -> u64 {
        let entries: u64 = match &self.from {
            Origin::Memory(entries) => entries.iter().map(|e| record_bytes(e.data.len())).sum(),
            Origin::Files { parts, .. } => {
                let wanted = parts.iter().filter(|p| p.last >= self.first);
                wanted.map(|p| p.end.saturating_sub(start_of(p, self.first))).sum()
            }
        };
        entries + record_bytes(BEGIN_DATA_BYTES)
    }
}

/// A place in the file at or before entry `index`.
fn start_of(part: &Live, index: u64) -> u64 {
    let place = part.segment.index.lock().place(index);
    place.map_or(u64::from(part.segment.header.header_bytes), |(_, offset)| offset)
}

impl Partition {
    /// Modes sync and interval have it in memory (after a fault mode sync has nothing at risk). In mode none, and where an open could not
    /// write anew what it found, it is in the files.
    pub(super) fn rescue(&self) -> Rescue {
        let log = self.log.lock();
        let durable = log.durable.index.max(log.compaction.0);
        if log.has_unflushed() || durable >= log.last.0 {
            let entries = entries_of(&log);
            let first = entries.first().map_or(log.last.0 + 1, |e| e.index);
            return Rescue { first, end: log.durable.end, from: Origin::Memory(entries), groups: log.groups.len() };
        }
        rescue_unsynced(&log, durable + 1, log.durable.end)
    }

    /// Hands the entries to `take`, in order, until it returns false.
    ///
    /// What is in files is read from the page cache, which may be all that has it, and what that cannot give from the medium: every entry
    /// is checked, so it does not matter who kept the bytes. What neither has is lost.
    pub(super) fn each_rescued(&self, rescue: &Rescue, take: &mut Take<'_>) -> Result<()> {
        let (parts, last) = match &rescue.from {
            Origin::Files { parts, last } => (parts, *last),
            Origin::Memory(entries) => {
                entries.iter().all(|e| take(e.index, e.term, e.kind, &e.data));
                return Ok(());
            }
        };
        let mut next = rescue.first;
        let mut failed = None;
        let mut stopped = false;
        for access in [Access::Read, Access::ReadDirect] {
            failed = self.read_rest(next, last, parts, access, &mut |index, term, kind, data| {
                stopped = !take(index, term, kind, data);
                next = index + 1;
                !stopped
            })?;
            if stopped || next > last {
                return Ok(());
            }
        }
        if let Some(e) = failed {
            // What cannot be read now is not known to be lost.
            return Err(self.io_error(Op::Recover, &e, "reading entries to write them anew", "").range(next, last));
        }
        self.log.lock().lost = (next, last);
        let message = format!(
            "entries {next} to {last} were acknowledged and are neither on the disk nor in memory; close the partition and rejoin as an empty replica"
        );
        let error = Error::new(Status::LostEntries, Op::Recover, message);
        Err(error.partition(self.id).at(&self.path).range(next, last))
    }

    /// Reads from `next` on up to the first entry that is damaged or cannot be read; then the read's error is returned.
    fn read_rest(
        &self,
        mut next: u64,
        last: u64,
        live: &[Live],
        access: Access,
        take: &mut Take<'_>,
    ) -> Result<Option<std::io::Error>> {
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
            let start = start_of(part, next);
            let read = read_records(&mut cursor, start, next, part.last.min(last), &mut |index, term, kind, data| {
                next = index + 1;
                take(index, term, kind, data)
            });
            match read {
                Ok(true) => {}
                Ok(false) | Err(ReadError::Damaged { .. }) => break,
                Err(ReadError::Io(e)) => return Ok(Some(e)),
            }
        }
        Ok(None)
    }
}

/// Everything from entry `first` on that was never synced is written anew, behind `end`: a file on which an operation failed is not synced
/// again, so nothing in it becomes durable.
pub(super) fn rescue_unsynced(log: &Log, first: u64, end: BeginData) -> Rescue {
    Rescue { first, end, from: Origin::Files { parts: log.live.clone(), last: log.last.0 }, groups: 0 }
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
