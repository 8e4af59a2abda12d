//! What the holes of one segment mean: an end, an isolated bad record, or damage.

use super::damaged::DamagedEntries;
use super::recovery::{Found, Recovery};
use crate::error::{Error, Op, Result, Status};
use crate::format::BeginData;
use crate::segment::{Run, Scan, Segment};
use std::sync::Arc;

/// What scanning one segment says about the end of the log.
#[derive(Default)]
pub(super) struct Verdict {
    /// What the segment continues; none if nothing in it counts.
    pub begin: Option<BeginData>,
    pub first: u64,
    pub end: BeginData,
    pub last: (u64, u64),
    pub commit: u64,
    pub damaged: DamagedEntries,
    pub cut_behind: Option<(u64, u64)>,
    pub cut: Option<Cut>,
}

/// Records that an end cuts off: they go to `kept/`.
pub(super) struct Cut {
    pub segment: Arc<Segment>,
    pub from: u64,
    pub to: u64,
}

/// An index that only the rest of the chain tells.
pub(super) const UNKNOWN: u64 = u64::MAX;

impl Recovery<'_> {
    /// Judges the holes of a segment (rule R5).
    pub(super) fn judge(&self, segment: &Arc<Segment>, scanned: &Scan, mark: u64) -> Result<Verdict> {
        let name = segment.name();
        let known = self.known();
        let mut verdict = Verdict::default();
        let Some((header, begin)) = scanned.begin else {
            let behind = scanned.runs.first().map_or(0, |r| r.first_lsn);
            let durable = behind > 0 && mark >= behind - 1;
            let range = if durable { (0, scanned.last_index_seen()) } else { (0, 0) };
            let leading = scanned.leading.unwrap_or_default();
            // What cannot be read may be sound: another read may find it.
            if durable && !leading.unreadable {
                return Err(damaged(format!("{name}: the begin record is damaged, records behind it are not"))
                    .range(range.0, range.1));
            }
            if let (Some(e), true) = (&scanned.unreadable, behind > 0 || leading.written) {
                return Err(Error::io(Op::Open, e, &format!("reading segment {name}")).range(range.0, range.1));
            }
            self.note_cut(segment, scanned, 0, UNKNOWN, &mut verdict);
            return Ok(verdict);
        };
        let mut end = 0;
        for (i, run) in scanned.runs.iter().enumerate() {
            end = i;
            let Some(next) = scanned.runs.get(i + 1) else { break };
            let first_bad = run.last_lsn + 1;
            let unreadable = scanned.holes.get(i).is_some_and(|h| h.unreadable);
            if first_bad > mark && run.last_index.max(self.root.compaction_index) >= known && !unreadable {
                break;
            }
            if let Some((first, last)) = self.damage_between(run, next, &name)? {
                verdict.damaged.add(first, last);
            }
        }
        let Some(run) = scanned.runs.get(end) else { return Ok(verdict) };
        verdict.begin = Some(begin);
        verdict.first = header.index;
        verdict.end = BeginData { segment: segment.sequence(), end_offset: run.end, last_lsn: run.last_lsn };
        verdict.last = (run.last_index, run.last_term);
        verdict.commit = scanned.runs.iter().take(end + 1).map(|r| r.commit).max().unwrap_or(0);
        self.note_cut(segment, scanned, end, run.last_index, &mut verdict);
        Ok(verdict)
    }

    /// What is missing behind the end of the log, with nothing valid behind that: records that were known to be durable, or entries that are
    /// known to have been in it. What cannot be read may be sound: another read may find it.
    pub(super) fn lost_behind(&self, found: &Found, name: &str, scanned: &Scan) -> Option<Error> {
        let (last, known) = (found.last.0, self.known());
        let gone = found.end.last_lsn < found.mark;
        let hidden = scanned.holes.last().is_some_and(|h| h.unreadable);
        let error = match &scanned.unreadable {
            Some(e) if last < known || (gone && hidden) => Error::io(Op::Open, e, &format!("reading segment {name}")),
            _ if gone => damaged(format!(
                "{name}: the log ends behind entry {last}, but records behind it were known to be durable"
            )),
            _ => return None,
        };
        Some(error.range(last + 1, known.max(last + 1)))
    }

    /// None of the segments that this opening made has a begin, although records behind the end that it found were known to be durable. Where
    /// compaction may have dropped such a segment, nothing tells.
    pub(super) fn lost_opening(&self, found: &Found) -> Option<Error> {
        let end = self.root.end;
        let all_there = match end.segment {
            0 => end.index == self.root.compaction_index,
            segment => segment >= self.root.first_segment,
        };
        if !all_there || found.mark <= end.lsn {
            return None;
        }
        let last = found.last.0;
        let error = damaged(format!(
            "the log ends behind entry {last}, where it was opened last, but records behind it were known to be durable"
        ));
        Some(error.range(last + 1, self.known().max(last + 1)))
    }

    /// Damage between two sound runs. With the entries around it contiguous only the bad ones are lost, and only to those who read them.
    fn damage_between(&self, run: &Run, next: &Run, name: &str) -> Result<Option<(u64, u64)>> {
        let first = run.last_index + 1;
        let missing = next.first_lsn - (run.last_lsn + 1);
        match next.first_index.checked_sub(first) {
            // A mark, or entries that are compacted: nobody reads them.
            Some(0) => Ok(None),
            _ if next.first_index <= self.root.compaction_index + 1 => Ok(None),
            Some(entries) if entries <= missing => {
                Ok(Some((first.max(self.root.compaction_index + 1), next.first_index - 1)))
            }
            _ => {
                let (a, b) = (run.last_index, next.first_index);
                let error = damaged(format!("{name}: records between entries {a} and {b} are damaged"));
                Err(error.range(first, next.first_index.saturating_sub(1)))
            }
        }
    }

    /// What the end leaves behind: reported if it may have been acknowledged, and kept.
    fn note_cut(&self, segment: &Arc<Segment>, scanned: &Scan, end: usize, last: u64, verdict: &mut Verdict) {
        let hole = if scanned.begin.is_some() { scanned.holes.get(end) } else { scanned.leading.as_ref() };
        let Some(hole) = hole else { return };
        let behind = scanned.runs.iter().skip(if scanned.begin.is_some() { end + 1 } else { 0 });
        let to = behind.clone().map(|r| r.end).max().unwrap_or(0);
        if to > 0 {
            verdict.cut = Some(Cut { segment: segment.clone(), from: hole.offset, to });
        }
        // In every mode: a sync may have acknowledged it.
        if hole.unreadable || hole.written || to > 0 {
            let last_seen = behind.map(|r| r.last_index).max().unwrap_or(0);
            verdict.cut_behind = Some((last, last_seen));
        }
    }
}

pub(super) fn damaged(message: String) -> Error {
    Error::new(Status::Damaged, Op::Open, message)
}
