//! Which segment is the newest, where no root says it.

use super::pieces::header;
use crate::format::{Id, SegmentHeader};
use crate::io::{Access, Dir};
use crate::segment::{scan, Segment};
use std::collections::BTreeMap;

/// What the files tell of a log's end. Numbers alone do not: a recovery that never came to its root leaves segments, and the next opening
/// counts on from the root. But each opening starts above all lsns that were used before it.
#[derive(Default)]
pub struct Newest {
    /// The segment with the highest lsn.
    pub segment: u64,
    pub epoch: Id,
    pub max_lsn: u64,
    /// Files up to this number cannot be read, or are gone, and may be newer.
    pub doubtful: Option<u64>,
    /// Segments above the newest one that earlier openings have left.
    pub stale: Vec<u64>,
    /// Those below the newest one of which nobody can say whether they are older, and numbers without a file.
    pub hidden: Vec<u64>,
}

/// What a file with a sound header holds.
struct Seen {
    epoch: Id,
    /// 0: no record is valid.
    last_lsn: u64,
    written: bool,
}

impl Newest {
    /// `numbers` are those of all files that may count, ascending, `headers` the sound ones of this log; an older root has `named` segments.
    pub fn of(dir: &dyn Dir, numbers: &[u64], headers: &[SegmentHeader], named: u64) -> Newest {
        let seen: BTreeMap<u64, Seen> = headers.iter().filter_map(|h| Some((h.sequence, look(dir, h)?))).collect();
        let is_written = |n: &u64| seen.get(n).map_or(true, |s| s.written);
        let with_records = seen.iter().filter(|(_, s)| s.last_lsn > 0);
        let Some((&segment, newest)) = with_records.clone().max_by_key(|(_, s)| s.last_lsn) else {
            let epoch = headers.last().map_or(Id::default(), |h| h.epoch);
            let segment = numbers.last().copied().unwrap_or(0);
            return Newest { segment, epoch, ..Newest::default() };
        };
        let earlier: Vec<Id> = with_records.map(|(_, s)| s.epoch).filter(|epoch| *epoch != newest.epoch).collect();
        let is_stale = |n: &u64| seen.get(n).is_some_and(|s| earlier.contains(&s.epoch));
        let above = numbers.iter().copied().filter(|n| *n > segment);
        let (stale, others): (Vec<u64>, Vec<u64>) = above.partition(is_stale);
        let top = others.last().copied().unwrap_or(segment).max(named);
        // A root's range has no number without a file, and above its newest segment nothing but spares.
        let files = numbers.iter().filter(|n| (segment + 1..=top).contains(*n)).count() as u64;
        let spares_only = files == top - segment && !others.iter().any(is_written);
        let doubtful = (!spares_only).then_some(top);
        let is_known = |n: &u64| {
            let judged =
                |s: &Seen| !s.written || s.last_lsn > 0 || s.epoch == newest.epoch || earlier.contains(&s.epoch);
            seen.get(n).is_some_and(judged)
        };
        let first = headers.first().map_or(segment, |h| h.sequence);
        let hidden = first_missing(numbers, first, segment).into_iter().chain(numbers.iter().copied());
        // A number that an older root has named is of no recovery that never came to its root.
        let hidden = hidden.filter(|n| named < segment && (first..segment).contains(n) && !is_known(n)).collect();
        Newest { segment, epoch: newest.epoch, max_lsn: newest.last_lsn, doubtful, stale, hidden }
    }
}

/// One number without a file tells as much as all of them.
fn first_missing(numbers: &[u64], first: u64, last: u64) -> Option<u64> {
    let there = numbers.iter().copied().filter(|n| (first..=last).contains(n));
    there.zip(first..).find(|(there, n)| there != n).map(|(_, n)| n)
}

/// True unless it is a segment that was made and never begun.
pub fn is_written(dir: &dyn Dir, n: u64) -> bool {
    let header = header(dir, &Segment::name_of(n)).filter(|h| h.sequence == n);
    header.and_then(|h| look(dir, &h)).map_or(true, |seen| seen.written)
}

fn look(dir: &dyn Dir, header: &SegmentHeader) -> Option<Seen> {
    let file = dir.open(&Segment::name_of(header.sequence), Access::ReadDirect).ok()?;
    let len = file.len().ok()?;
    let scanned = scan(&mut Segment::new(*header, 0).cursor(&*file, len), u64::from(header.header_bytes));
    let last_lsn = scanned.runs.iter().map(|r| r.last_lsn).max().unwrap_or(0);
    let written = last_lsn > 0 || scanned.leading.is_some_and(|hole| hole.written);
    Some(Seen { epoch: header.epoch, last_lsn, written })
}
