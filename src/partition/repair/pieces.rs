//! Which entries can be read. The chain of segments is followed as far as it goes; where it is broken the next older segment is looked for.

use crate::error::{Error, Op};
use crate::format::{BeginData, RecordHeader, RecordType, Root, SegmentHeader};
use crate::io::{Access, Dir, File};
use crate::partition::recovery::Found;
use crate::partition::root::has_no_segments;
use crate::segment::{read_header, scan, Segment};
use std::sync::Arc;

/// Entries without a hole, in segments whose begins name each other.
#[derive(Clone, Debug)]
pub struct Piece {
    pub first: u64,
    pub last: u64,
    /// Where terms begin: first index, term.
    pub terms: Vec<(u64, u64)>,
    /// Index and term of the entry before the first, where they are known.
    pub before: Option<(u64, u64)>,
    pub first_segment: u64,
    /// Behind the record of the last entry.
    pub end: BeginData,
    /// The highest commit that its records tell.
    pub commit: u64,
}

impl Piece {
    pub fn last_term(&self) -> u64 {
        self.terms.last().map_or(0, |t| t.1)
    }

    /// Of an entry of the piece.
    pub fn term(&self, index: u64) -> u64 {
        self.terms.iter().rev().find(|t| t.0 <= index).map_or(0, |t| t.1)
    }
}

#[derive(Default)]
pub struct Pieces {
    /// Ascending.
    pub list: Vec<Piece>,
    /// The segments that hold, or held, what counts, and where that ends in the file.
    pub segments: Vec<(u64, u64)>,
    /// The first read error that was met.
    pub unreadable: Option<Error>,
    /// The highest index that anything tells of.
    pub known: u64,
    /// The log went on behind that, nobody knows how far.
    pub open_end: bool,
    /// Entries up to here are known to have been acknowledged or committed.
    pub acknowledged: u64,
}

/// A segment of the log and the part of it that counts.
struct Part {
    segment: Segment,
    file: Arc<dyn File>,
    begin: RecordHeader,
    /// Nothing behind it counts.
    limit: u64,
    /// Entries above it are superseded.
    last: u64,
    /// What it continues is gone.
    hangs: bool,
}

impl Part {
    /// The highest commit that its records tell.
    fn commit(&self) -> u64 {
        let mut cursor = self.segment.cursor(&*self.file, self.limit);
        let scanned = scan(&mut cursor, u64::from(self.segment.header.header_bytes));
        scanned.runs.iter().map(|r| r.commit).max().unwrap_or(0)
    }
}

/// Where the walk goes next.
enum Next {
    /// To the segment that a newer one continues.
    Named(BeginData),
    /// To the newest one below this number that has a begin.
    Below(u64),
}

impl Pieces {
    /// `found` is what recovery makes of the root. Segments that are `stale` are no part of the log.
    pub fn read(dir: &dyn Dir, root: &Root, found: &Found, stale: &[u64]) -> Pieces {
        let mut pieces = Pieces { known: found.last.0, ..Pieces::default() };
        let mut mark = found.mark;
        // Between two openings lie lsns that are no entry's.
        let mut sure = 0;
        let mut joins = false;
        for part in pieces.parts(dir, root, found, stale).iter().rev() {
            let joined = joins && !part.hangs;
            if joined && pieces.list.last().is_some_and(|p| p.end.last_lsn <= mark) {
                sure = part.begin.lsn;
            }
            mark = mark.max(pieces.entries(part, joined));
            joins = true;
        }
        pieces.list.retain(|p| p.last > root.compaction_index);
        if let Some(fault) = &found.fault {
            let told = pieces.list.iter().map(|p| p.last.max(p.commit));
            pieces.known = told.chain([root.commit, fault.range.1, pieces.known]).max().unwrap_or(0);
            // Damage right behind the log's end, in records that were durable.
            let last_lsn = pieces.list.last().map_or(0, |p| p.end.last_lsn);
            pieces.open_end |= !found.chain.is_empty() && mark > last_lsn && fault.range.0 > found.last.0;
        }
        // Each lsn is at most one entry.
        let durable = |p: &Piece| p.last.saturating_sub(p.end.last_lsn.saturating_sub(mark.max(sure)));
        let told = pieces.list.iter().map(|p| durable(p).max(p.commit));
        let certain = if pieces.open_end && !found.chain.is_empty() { pieces.known } else { 0 };
        let told = told.chain([root.commit, found.commit, certain]).max();
        pieces.acknowledged = told.unwrap_or(0).min(pieces.known);
        pieces
    }

    /// First and last of each range of entries that are not there, from the compaction point to the last index that anything tells of;
    /// `u64::MAX` where nothing tells the last.
    pub fn missing(&self, compaction_index: u64) -> Vec<(u64, u64)> {
        let mut missing = Vec::new();
        let mut next = compaction_index + 1;
        for piece in &self.list {
            if piece.first > next {
                missing.push((next, piece.first - 1));
            }
            next = next.max(piece.last + 1);
        }
        if self.open_end {
            missing.push((next, u64::MAX));
        } else if next <= self.known {
            missing.push((next, self.known));
        }
        missing
    }

    /// Newest first.
    fn parts(&mut self, dir: &dyn Dir, root: &Root, found: &Found, stale: &[u64]) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::new();
        let mut there: Vec<u64> =
            dir.list().unwrap_or_default().iter().filter_map(|name| Segment::parse_name(name)).collect();
        there.sort_unstable();
        // A chain says where the log ends. Without one, and without a fault, the log is empty behind its compaction point.
        let (mut next, mut upper) = match (found.chain.is_empty(), found.fault.is_some()) {
            (false, _) => (Next::Named(found.end), found.last.0),
            (true, true) => (Next::Below(root.last_segment.saturating_add(1)), u64::MAX),
            (true, false) => return parts,
        };
        // The root says where, or that nothing has begun.
        let ended = root.clean || has_no_segments(&root.epoch);
        // Below a segment that is gone: it may have replaced any entry that was not committed when what is older was written.
        let mut broken = false;
        loop {
            let (sequence, limit) = match next {
                // Numbers fall; one that does not was not written by this log.
                Next::Named(p) if parts.last().map_or(true, |newer| p.segment < newer.segment.sequence()) => {
                    (p.segment, p.end_offset)
                }
                Next::Named(_) => (0, 0),
                Next::Below(n) => {
                    let newest = there.iter().rev().find(|s| **s < n).copied().unwrap_or(0);
                    // The root's range has no number without a file. Where the newest is gone nobody says where the log ended.
                    let gone = newest + 1 < n && n > root.first_segment;
                    broken |= gone;
                    self.open_end |= gone && parts.is_empty() && !ended;
                    (newest, u64::MAX)
                }
            };
            if sequence < root.first_segment.max(1) {
                return parts;
            }
            if matches!(next, Next::Below(_)) && stale.contains(&sequence) {
                next = Next::Below(sequence);
                continue;
            }
            match self.part(dir, root, sequence, limit, upper) {
                Some((mut part, older)) => {
                    if matches!(next, Next::Below(_)) && broken {
                        upper = upper.min(part.commit());
                        part.last = upper;
                    }
                    upper = upper.min(part.begin.index.saturating_sub(1));
                    parts.push(part);
                    next = Next::Named(older);
                }
                None => {
                    let damaged = self.segments.last().is_some_and(|s| s.0 == sequence);
                    broken |= damaged || matches!(next, Next::Named(_));
                    self.open_end |= damaged && parts.is_empty() && !ended;
                    parts.iter_mut().last().into_iter().for_each(|newer| newer.hangs = true);
                    next = Next::Below(sequence);
                }
            }
        }
    }

    /// A segment with a begin, and what it continues.
    fn part(&mut self, dir: &dyn Dir, root: &Root, n: u64, limit: u64, last: u64) -> Option<(Part, BeginData)> {
        let name = Segment::name_of(n);
        let header = header(dir, &name);
        let ours =
            |h: &SegmentHeader| (h.partition_id, h.incarnation, h.sequence) == (root.partition_id, root.incarnation, n);
        let Some(header) = header.filter(ours) else {
            self.segments.push((n, 0));
            return None;
        };
        let Ok((file, len)) = dir.open(&name, Access::ReadDirect).and_then(|f| f.len().map(|len| (f, len))) else {
            self.segments.push((n, 0));
            return None;
        };
        let limit = limit.min(len);
        let segment = Segment::new(header, limit);
        let mut cursor = segment.cursor(&*file, limit);
        let start = u64::from(header.header_bytes);
        let begin = cursor.header_at(start).filter(|h| h.record_type == RecordType::Begin);
        let begin = begin.and_then(|h| Some((h, BeginData::decode(cursor.data(start, &h)?)?)));
        if begin.is_none() && scan(&mut cursor, start).runs.is_empty() {
            // Made and never begun.
            return None;
        }
        drop(cursor);
        self.segments.push((n, limit));
        let (begin, older) = begin?;
        Some((Part { segment, file, begin, limit, last, hangs: false }, older))
    }

    /// Adds what can be read of a part to the pieces; `joins` if it continues the part before it. Returns the highest mark.
    fn entries(&mut self, part: &Part, mut joins: bool) -> u64 {
        let mut cursor = part.segment.cursor(&*part.file, part.limit);
        let sequence = part.segment.sequence();
        let mut at = u64::from(part.segment.header.header_bytes);
        let (mut lsn, mut mark) = (0, 0);
        // Of an entry that this part begins with, the begin says the term before it.
        let mut before = Some((part.begin.index.saturating_sub(1), part.begin.term));
        loop {
            let next = cursor.header_after(at).filter(|(_, h)| lsn == 0 || h.lsn == lsn + 1);
            let Some((offset, header)) = next.or_else(|| cursor.search(at, lsn)) else { break };
            at = offset + header.total_bytes();
            lsn = header.lsn;
            if cursor.data(offset, &header).is_none() {
                continue;
            }
            mark = mark.max(header.mark);
            if header.record_type != RecordType::Entry || header.index > part.last {
                continue;
            }
            let end = BeginData { segment: sequence, end_offset: at, last_lsn: lsn };
            let tail = self.list.last_mut().filter(|p| joins && p.last + 1 == header.index);
            match tail {
                Some(piece) => {
                    piece.last = header.index;
                    if piece.last_term() != header.term {
                        piece.terms.push((header.index, header.term));
                    }
                    piece.end = end;
                    piece.commit = piece.commit.max(header.commit);
                }
                None => self.list.push(Piece {
                    first: header.index,
                    last: header.index,
                    terms: vec![(header.index, header.term)],
                    before: before.filter(|(index, _)| index + 1 == header.index),
                    first_segment: sequence,
                    end,
                    commit: header.commit,
                }),
            }
            joins = true;
            before = Some((header.index, header.term));
        }
        if let Some(e) = cursor.unreadable.take() {
            let error = Error::io(Op::Recover, &e, &format!("reading segment {}", part.segment.name()));
            self.unreadable.get_or_insert(error);
        }
        mark
    }
}

/// A segment's header, if it is sound.
pub fn header(dir: &dyn Dir, name: &str) -> Option<SegmentHeader> {
    let by = |access| read_header(&*dir.open(name, access).ok()?).ok()?.ok();
    // What the page cache has of it an open may serve.
    by(Access::ReadDirect).or_else(|| by(Access::Read))
}
