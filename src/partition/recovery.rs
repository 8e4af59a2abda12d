//! Recovery: which segments count, where the log ends, what is damage. Reads only; changes nothing on disk.

use super::root::{root_error, NEW_ROOT_NAME, ROOT_NAME};
use super::types::Mode;
use crate::error::{Error, Op, Result, Status};
use crate::format::{
    BeginData, LogEnd, RecordType, Root, RootError, SegmentHeader, SegmentHeaderError, ROOT_BYTES, SEGMENT_HEADER_BYTES,
};
use crate::io::{read_full_at, Access, AlignedBuf, Dir, File};
use crate::segment::{scan, Scan, Segment};
use std::io;
use std::sync::Arc;

/// A segment of the chain, newest first while it is walked.
pub(super) struct Link {
    pub segment: Arc<Segment>,
    /// First index that it holds or supersedes.
    pub first: u64,
    /// Last index of its own; `u64::MAX` where only the next segment's begin says (sealed, not scanned).
    pub last: u64,
    pub end: u64,
}

/// What recovery found.
#[derive(Default)]
pub(super) struct Found {
    /// Oldest first.
    pub chain: Vec<Link>,
    /// Position behind the last record, and the last entry that it leads to.
    pub end: BeginData,
    pub last: (u64, u64),
    pub commit: u64,
    pub max_lsn: u64,
    pub mark: u64,
    pub damaged: (u64, u64, u64),
    pub maybe_acknowledged: (u64, u64),
    pub unsynced: (u64, u64),
    /// Cut records that go to `kept/`: (segment, from, to).
    pub cut: Option<(u64, u64, u64)>,
    /// Segments behind a cut that do not count any more.
    pub dropped: Vec<u64>,
}

/// The root, or `None` for a directory that holds nothing yet.
pub(super) fn read_root(dir: &dyn Dir) -> Result<Option<Root>> {
    let file = match dir.open(ROOT_NAME, Access::Read) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return no_root(dir),
        Err(e) if e.raw_os_error() == Some(libc::ELOOP) || e.raw_os_error() == Some(libc::EINVAL) => {
            return Err(Error::new(
                Status::Foreign,
                Op::Open,
                "`root` is not a regular file; this is not a directory that Bulkhead made",
            ));
        }
        Err(e) => return Err(Error::io(Op::Open, &e, "opening the root")),
    };
    let mut bytes = vec![0u8; ROOT_BYTES];
    let mut failed = None;
    for slot in bytes.chunks_mut(ROOT_BYTES / 4).enumerate() {
        // A slot that cannot be read is a lost slot, no more.
        if let Err(e) = read_full_at(&*file, slot.1, (slot.0 * ROOT_BYTES / 4) as u64) {
            slot.1.fill(0xFF);
            failed = Some(e);
        }
    }
    match (Root::decode_file(&bytes), failed) {
        (Ok(root), _) => Ok(Some(root)),
        (Err(RootError::VersionTooNew(v)), _) => Err(root_error(&RootError::VersionTooNew(v), Op::Open)),
        (Err(_), Some(e)) => Err(Error::io(Op::Open, &e, "reading the root")),
        (Err(e), None) => Err(root_error(&e, Op::Open)),
    }
}

/// Without a root: a fresh directory, one whose creation a crash cut short, or something else.
fn no_root(dir: &dyn Dir) -> Result<Option<Root>> {
    let names = dir.list().map_err(|e| Error::io(Op::Open, &e, "listing the directory"))?;
    if names.iter().any(|n| Segment::parse_name(n).is_some()) {
        return Err(Error::new(
            Status::Damaged,
            Op::Open,
            "the root is missing although there are segments; restore the replica from its peers or a backup",
        ));
    }
    // `META` is ours only if it is a directory; CubeFS's is a file.
    let ours = |n: &String| {
        n == NEW_ROOT_NAME || n == "kept" || n == "lost+found" || (n == "META" && dir.subdir("META").is_ok())
    };
    match names.iter().find(|n| !ours(n)) {
        Some(name) => Err(Error::new(
            Status::Foreign,
            Op::Open,
            format!("the directory holds `{name}` and no Bulkhead root; give an empty directory, or import the log that is there"),
        )),
        None => Ok(None),
    }
}

pub(super) struct Recovery<'a> {
    pub dir: &'a dyn Dir,
    pub root: &'a Root,
    /// Reads of the unclean end: past the page cache.
    pub access: Access,
    pub known_index: u64,
}

fn damaged(message: String) -> Error {
    Error::new(Status::Damaged, Op::Open, message)
}

impl Recovery<'_> {
    pub fn run(&self) -> Result<Found> {
        let mut found = Found { max_lsn: self.root.lsn_limit, ..Found::default() };
        let mut links = match self.root.clean {
            Some(end) => self.clean_end(end, &mut found)?,
            None => self.unclean_end(&mut found)?,
        };
        links.reverse();
        self.finish(links, found)
    }

    fn open_segment(&self, sequence: u64, access: Access) -> Result<(Arc<Segment>, Arc<dyn File>, u64)> {
        let name = Segment::name_of(sequence);
        let file = self.dir.open(&name, access).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => damaged(format!("segment {name} is missing")),
            _ => Error::io(Op::Open, &e, &format!("opening segment {name}")),
        })?;
        let len = file.len().map_err(|e| Error::io(Op::Open, &e, "reading a segment's size"))?;
        let mut block = AlignedBuf::zeroed(4096);
        let n = read_full_at(&*file, &mut block, 0)
            .map_err(|e| Error::io(Op::Open, &e, &format!("reading the header of segment {name}")))?;
        let header =
            SegmentHeader::decode(block.get(..n.min(SEGMENT_HEADER_BYTES)).unwrap_or(&[])).map_err(|e| match e {
                SegmentHeaderError::VersionTooNew(_) => {
                    Error::new(Status::VersionTooNew, Op::Open, format!("{name}: {e}; use a newer library"))
                }
                SegmentHeaderError::Damaged => damaged(format!("{name}: {e}")),
            })?;
        if header.incarnation != self.root.incarnation
            || header.partition_id != self.root.partition_id
            || header.sequence != sequence
        {
            return Err(damaged(format!(
                "{name} belongs to another partition or place (partition {}, sequence {})",
                header.partition_id, header.sequence
            )));
        }
        Ok((Arc::new(Segment::new(header, len)), file, len))
    }

    /// After a clean close the root knows the end: nothing is scanned.
    fn clean_end(&self, end: LogEnd, found: &mut Found) -> Result<Vec<Link>> {
        found.last = (end.index, end.term);
        found.commit = self.root.commit;
        found.mark = end.lsn;
        if end.segment == 0 {
            return Ok(Vec::new());
        }
        found.end = BeginData { segment: end.segment, end_offset: end.offset, last_lsn: end.lsn };
        self.walk(BeginData { segment: end.segment, end_offset: end.offset, last_lsn: end.lsn }, Vec::new())
    }

    /// Follows the chain from `next` on, newest to oldest.
    fn walk(&self, mut next: BeginData, mut links: Vec<Link>) -> Result<Vec<Link>> {
        while next.segment != 0 && next.segment >= self.root.first_segment {
            if links.last().is_some_and(|l: &Link| l.segment.sequence() <= next.segment)
                || next.segment > self.root.last_segment
            {
                return Err(damaged(format!("segment {} is named out of order", next.segment)));
            }
            let (segment, file, len) = self.open_segment(next.segment, Access::Read)?;
            if len < next.end_offset {
                return Err(damaged(format!("{} ends at {len}, it should reach {}", segment.name(), next.end_offset)));
            }
            let start = u64::from(segment.header.header_bytes);
            let mut cursor = segment.cursor(&*file, next.end_offset);
            let begin = cursor.header_at(start).filter(|h| h.record_type == RecordType::Begin);
            let data = begin.and_then(|h| cursor.data(start, &h).and_then(BeginData::decode));
            let (Some(begin), Some(data)) = (begin, data) else {
                let message = format!("{}: the begin record is damaged", segment.name());
                return Err(cursor
                    .unreadable
                    .take()
                    .map_or_else(|| damaged(message), |e| Error::io(Op::Open, &e, "reading a begin record")));
            };
            links.push(Link { segment, first: begin.index, last: u64::MAX, end: next.end_offset });
            next = data;
        }
        Ok(links)
    }

    /// Finds the newest begun segment and its end by scanning.
    fn unclean_end(&self, found: &mut Found) -> Result<Vec<Link>> {
        found.commit = self.root.commit;
        found.last = (self.root.compaction_index, self.root.compaction_term);
        let mut sequence = self.root.last_segment;
        while sequence >= self.root.first_segment && sequence != 0 {
            let (segment, file, len) = self.open_segment(sequence, self.access)?;
            let mut cursor = segment.cursor(&*file, len);
            let scanned = scan(&mut cursor, u64::from(segment.header.header_bytes));
            found.mark = found.mark.max(scanned.mark());
            found.max_lsn = found.max_lsn.max(scanned.runs.last().map_or(0, |r| r.last_lsn + 1));
            if let Some(data) = self.judge(&segment, &scanned, found)? {
                return self.chain_from(segment, scanned, data, found);
            }
            sequence -= 1;
        }
        Ok(Vec::new())
    }

    /// The chain below the newest segment; parts above all marks are checked, since a power cut may have taken them.
    fn chain_from(
        &self,
        segment: Arc<Segment>,
        scanned: Scan,
        begin: BeginData,
        found: &mut Found,
    ) -> Result<Vec<Link>> {
        let mut newest = self.newest_link(segment, &scanned, found);
        let mut begin = begin;
        while Mode::from_u32(self.root.mode) != Mode::Sync
            && begin.segment >= self.root.first_segment
            && begin.segment != 0
            && begin.last_lsn > found.mark
        {
            let (older, file, len) = self.open_segment(begin.segment, self.access)?;
            let mut cursor = older.cursor(&*file, len.min(begin.end_offset));
            let scanned = scan(&mut cursor, u64::from(older.header.header_bytes));
            found.mark = found.mark.max(scanned.mark());
            let whole = scanned.leading.is_none()
                && scanned.runs.len() == 1
                && scanned.runs.first().is_some_and(|r| r.last_lsn == begin.last_lsn);
            let Some(data) = self.judge_unless_whole(&older, &scanned, whole, found)? else {
                return Err(damaged(format!("{}: the begin record is damaged", older.name())));
            };
            if whole {
                let below = self.walk(
                    data,
                    vec![Link {
                        segment: older,
                        first: scanned.begin.map_or(0, |b| b.0.index),
                        last: u64::MAX,
                        end: begin.end_offset,
                    }],
                )?;
                return Ok(std::iter::once(newest).chain(below).collect());
            }
            found.dropped.push(newest.segment.sequence());
            newest = self.newest_link(older, &scanned, found);
            begin = data;
        }
        self.walk(begin, vec![newest])
    }

    fn judge_unless_whole(
        &self,
        segment: &Arc<Segment>,
        scanned: &Scan,
        whole: bool,
        found: &mut Found,
    ) -> Result<Option<BeginData>> {
        match (whole, scanned.begin) {
            (true, Some((_, data))) => Ok(Some(data)),
            _ => self.judge(segment, scanned, found),
        }
    }

    fn newest_link(&self, segment: Arc<Segment>, scanned: &Scan, found: &mut Found) -> Link {
        let (first, term) = scanned.begin.map_or((0, 0), |(h, _)| (h.index, h.term));
        let accepted: Vec<_> = scanned.runs.iter().take_while(|r| r.last_lsn <= found.end.last_lsn).collect();
        let last = accepted.last().map_or(first.saturating_sub(1), |r| r.last_index);
        found.last = (last, accepted.last().map_or(term, |r| r.last_term));
        found.commit = accepted.iter().map(|r| r.commit).max().unwrap_or(0).max(self.root.commit);
        *segment.index.lock() = scanned.index.clone();
        Link { segment, first, last, end: found.end.end_offset }
    }

    /// Judges the holes of the newest segment (rule R5). `None`: nothing in it counts. Sets the end of the log.
    fn judge(&self, segment: &Arc<Segment>, scanned: &Scan, found: &mut Found) -> Result<Option<BeginData>> {
        let name = segment.name();
        let known = self.known();
        let Some((_, begin)) = scanned.begin else {
            let behind = scanned.runs.first().map_or(0, |r| r.first_lsn);
            if behind > 0 && found.mark >= behind - 1 {
                return Err(damaged(format!("{name}: the begin record is damaged, records behind it are not"))
                    .range(0, scanned.last_index_seen()));
            }
            if let (Some(e), true) = (&scanned.unreadable, behind > 0 || scanned.leading.is_some_and(|h| h.written)) {
                return Err(Error::io(Op::Open, e, &format!("reading segment {name}")));
            }
            self.note_cut(segment, scanned, 0, 0, found);
            return Ok(None);
        };
        let mut end = 0;
        found.damaged = (0, 0, 0);
        for (i, run) in scanned.runs.iter().enumerate() {
            end = i;
            let Some(next) = scanned.runs.get(i + 1) else { break };
            let first_bad = run.last_lsn + 1;
            if first_bad > found.mark && run.last_index >= known {
                break;
            }
            // Damage. With the entries around it contiguous only the bad ones are lost, and only to those who read them.
            let bad = (run.last_index + 1, next.first_index.saturating_sub(1));
            let (missing, entries) = (next.first_lsn - first_bad, next.first_index.checked_sub(bad.0));
            if entries.map_or(true, |n| n > missing) {
                return Err(damaged(format!(
                    "{name}: records between entries {} and {} are damaged",
                    run.last_index, next.first_index
                ))
                .range(bad.0, bad.1));
            }
            if entries != Some(0) {
                note_damaged(found, bad);
            }
        }
        let Some(run) = scanned.runs.get(end) else { return Ok(None) };
        found.end = BeginData { segment: segment.sequence(), end_offset: run.end, last_lsn: run.last_lsn };
        if let (Some(e), true) = (&scanned.unreadable, end + 1 == scanned.runs.len() && run.last_index < known) {
            return Err(Error::io(Op::Open, e, &format!("reading segment {name}")));
        }
        self.note_cut(segment, scanned, end, run.last_index, found);
        self.note_unsynced(run.last_index, run.last_lsn, found);
        Ok(Some(begin))
    }

    /// What the end leaves behind: reported if it may have been acknowledged, and kept.
    fn note_cut(&self, segment: &Segment, scanned: &Scan, end: usize, last: u64, found: &mut Found) {
        let hole = if scanned.begin.is_some() { scanned.holes.get(end) } else { scanned.leading.as_ref() };
        let Some(hole) = hole else { return };
        let behind = scanned.runs.iter().skip(if scanned.begin.is_some() { end + 1 } else { 0 });
        let to = behind.clone().map(|r| r.end).max().unwrap_or(0);
        if to > 0 {
            found.cut = Some((segment.sequence(), hole.offset, to));
        }
        if Mode::from_u32(self.root.mode) == Mode::Sync && (hole.written || to > 0) {
            let last_seen = behind.map(|r| r.last_index).max().unwrap_or(0);
            found.maybe_acknowledged = (last + 1, last_seen.max(last + 1));
        }
    }

    fn note_unsynced(&self, last: u64, last_lsn: u64, found: &mut Found) {
        if Mode::from_u32(self.root.mode) != Mode::Sync && last_lsn > found.mark {
            // Each lsn is at most one entry.
            found.unsynced = ((last + 1).saturating_sub(last_lsn - found.mark).max(1), last);
        }
    }

    /// The highest index that must be in the log.
    fn known(&self) -> u64 {
        self.root.commit.max(self.known_index)
    }

    fn finish(&self, links: Vec<Link>, mut found: Found) -> Result<Found> {
        let compaction = (self.root.compaction_index, self.root.compaction_term);
        if let Some(oldest) = links.first() {
            if oldest.first > compaction.0 + 1 {
                return Err(damaged(format!("entries {} to {} are missing", compaction.0 + 1, oldest.first - 1))
                    .range(compaction.0 + 1, oldest.first - 1));
            }
        }
        if found.last.0 < compaction.0 || (links.is_empty() && self.root.clean.is_none()) {
            found.last = compaction;
        }
        let known = self.known();
        if found.last.0 < known {
            let message =
                format!("the log ends at entry {} although entry {known} is known to have been in it", found.last.0);
            return Err(damaged(message).range(found.last.0 + 1, known));
        }
        found.commit = found.commit.max(compaction.0).min(found.last.0);
        found.chain = links;
        Ok(found)
    }
}

fn note_damaged(found: &mut Found, bad: (u64, u64)) {
    let first = if found.damaged.2 == 0 { bad.0 } else { found.damaged.0 };
    found.damaged = (first, bad.1, found.damaged.2 + (bad.1 - bad.0 + 1));
}
