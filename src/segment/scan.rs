//! Reads a whole segment and says what is there: runs of valid records and the holes between them. It judges nothing.

use super::{Cursor, SegmentIndex};
use crate::format::{BeginData, RecordHeader, RecordType};

/// Valid records with lsns that follow each other.
#[derive(Clone, Debug)]
pub struct Run {
    /// Behind the last record, rounded up to 8.
    pub end: u64,
    pub first_lsn: u64,
    pub last_lsn: u64,
    /// Of the entries in the run; none if `first_index > last_index`.
    pub first_index: u64,
    pub last_index: u64,
    pub last_term: u64,
    pub commit: u64,
    pub mark: u64,
    pub entries: u64,
}

/// What lies between two runs, or behind the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hole {
    pub offset: u64,
    /// The bytes there look like the record that should follow, with damage: it was written.
    pub written: bool,
    /// A block in it could not be read: no power cut does that.
    pub unreadable: bool,
}

#[derive(Default)]
pub struct Scan {
    pub begin: Option<(RecordHeader, BeginData)>,
    /// The hole where the begin record should be: an empty segment, or one whose begin is damaged.
    pub leading: Option<Hole>,
    pub runs: Vec<Run>,
    /// `holes[i]` is behind `runs[i]`.
    pub holes: Vec<Hole>,
    pub index: SegmentIndex,
    pub unreadable: Option<std::io::Error>,
}

impl Scan {
    /// The highest lsn that any record says was durable.
    pub fn mark(&self) -> u64 {
        self.runs.iter().map(|r| r.mark).max().unwrap_or(0)
    }

    pub fn last_index_seen(&self) -> u64 {
        self.runs.iter().map(|r| r.last_index).max().unwrap_or(0)
    }
}

/// Scans from `start` to the cursor's limit.
pub fn scan(cursor: &mut Cursor<'_>, start: u64) -> Scan {
    let mut out = Scan::default();
    let mut at = start;
    let mut run: Option<Run> = None;
    loop {
        let expected = run.as_ref().map(|r| r.last_lsn + 1);
        let next = cursor.header_after(at).filter(|(_, h)| expected.map_or(true, |lsn| h.lsn == lsn));
        let valid = next.filter(|(offset, header)| cursor.data(*offset, header).is_some());
        if let Some((offset, header)) = valid {
            at = accept(&mut out, &mut run, cursor, offset, &header);
            continue;
        }
        let after = run.as_ref().map_or(0, |r| r.last_lsn);
        let follows = run.as_ref().map(|r| (r.last_lsn + 1, r.last_index + 1));
        let written = next.is_some() || cursor.was_written(at, follows);
        if let Some(done) = run.take() {
            out.runs.push(done);
            out.holes.push(Hole { offset: at, written, unreadable: false });
        } else {
            out.leading = Some(Hole { offset: at, written, unreadable: false });
        }
        // Behind a record whose data alone is bad the next one is known to start; else look for it.
        let from = next.map_or(at + 8, |(offset, header)| offset + header.total_bytes());
        match find_valid(cursor, from, after) {
            Some(offset) => {
                mark_unreadable(&mut out, cursor, offset);
                at = offset;
            }
            None => {
                let behind = next.map_or(cursor.behind_header(at), |_| from);
                mark_unreadable(&mut out, cursor, behind);
                break;
            }
        }
    }
    out.unreadable = cursor.unreadable.take();
    if out.unreadable.is_none() {
        out.index.mark_complete();
    }
    out
}

fn find_valid(cursor: &mut Cursor<'_>, from: u64, lsn: u64) -> Option<u64> {
    let mut from = from;
    loop {
        let (offset, header) = cursor.search(from, lsn)?;
        if cursor.data(offset, &header).is_some() {
            return Some(offset);
        }
        from = offset + header.total_bytes();
    }
}

/// The hole found last ends at `end`.
fn mark_unreadable(out: &mut Scan, cursor: &Cursor<'_>, end: u64) {
    let hole = if out.runs.is_empty() { out.leading.as_mut() } else { out.holes.last_mut() };
    if let Some(hole) = hole {
        hole.unreadable = cursor.unreadable_within(hole.offset, end);
        hole.written |= hole.unreadable;
    }
}

/// Adds a valid record to the current run; returns where it ends.
fn accept(out: &mut Scan, run: &mut Option<Run>, cursor: &mut Cursor<'_>, offset: u64, header: &RecordHeader) -> u64 {
    let end = offset + header.total_bytes();
    if header.record_type == RecordType::Begin && out.runs.is_empty() && run.is_none() && out.leading.is_none() {
        out.begin = cursor.data(offset, header).and_then(BeginData::decode).map(|data| (*header, data));
    }
    let run = run.get_or_insert(Run {
        end,
        first_lsn: header.lsn,
        last_lsn: header.lsn,
        first_index: if header.record_type == RecordType::Mark { header.index + 1 } else { header.index },
        last_index: 0,
        last_term: 0,
        commit: 0,
        mark: 0,
        entries: 0,
    });
    run.end = end;
    run.last_lsn = header.lsn;
    run.commit = run.commit.max(header.commit);
    run.mark = run.mark.max(header.mark);
    match header.record_type {
        RecordType::Begin => run.last_index = header.index.saturating_sub(1),
        RecordType::Mark | RecordType::Entry => run.last_index = header.index,
    }
    run.last_term = header.term;
    if header.record_type == RecordType::Entry {
        run.entries += 1;
        out.index.note(header.index, header.term, offset);
    }
    end
}
