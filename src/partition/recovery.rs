//! Recovery: which segments count, where the log ends, what is damage. Reads only; changes nothing on disk.

use super::chain::Link;
use super::damaged::DamagedEntries;
use super::root::has_no_segments;
use super::types::Mode;
use super::verdict::{damaged, Cut, Verdict, UNKNOWN};
use crate::error::{Error, Result};
use crate::format::{BeginData, Root};
use crate::io::{Access, Dir};
use crate::segment::{scan, Scan, Segment};
use std::sync::Arc;

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
    pub damaged: DamagedEntries,
    /// What an end cut off: the entry before it (`UNKNOWN`: the log's last one) and the last that was seen of it.
    cut_behind: Option<(u64, u64)>,
    pub maybe_acknowledged: (u64, u64),
    pub unsynced: (u64, u64),
    /// One in each segment at most.
    pub cuts: Vec<Cut>,
    /// Segments with records above the mark: they count, and are to be synced before anyone relies on them.
    pub to_sync: Vec<u64>,
    /// First index of the oldest segment with records above the mark, and what it continues: what is below is durable.
    pub unsure: (u64, BeginData),
    /// Damage that keeps the partition from being written; what was found is there to be read.
    pub fault: Option<Error>,
}

impl Found {
    /// What has been cut off so far is no end: the log ends further down.
    fn lower_cut(&mut self) {
        self.cut_behind = self.cut_behind.map(|(_, seen)| (UNKNOWN, seen));
    }
}

pub(super) struct Recovery<'a> {
    pub dir: &'a dyn Dir,
    pub root: &'a Root,
    /// Reads of the unclean end: past the page cache.
    pub access: Access,
    /// Reads of the begin records below it, one of each segment.
    pub begins: Access,
    pub known_index: u64,
}

impl Recovery<'_> {
    pub fn run(&self) -> Found {
        let compaction = (self.root.compaction_index, self.root.compaction_term);
        let mut found =
            Found { max_lsn: self.root.lsn_limit, last: compaction, commit: self.root.commit, ..Found::default() };
        found.mark = self.root.end.lsn.max(self.root.mark);
        let mut links = if self.root.clean { self.stored_end(&mut found) } else { self.unclean_end(&mut found) };
        links.reverse();
        self.finish(links, found)
    }

    /// The end that the root knows, after a clean close or from when the log was opened last: nothing is scanned.
    fn stored_end(&self, found: &mut Found) -> Vec<Link> {
        let end = self.root.end;
        let position = BeginData { segment: end.segment, end_offset: end.offset, last_lsn: end.lsn };
        // Compaction may have taken all of it; then the log is what the compaction point says.
        if !self.in_chain(&position) {
            found.last = (self.root.compaction_index, self.root.compaction_term);
            found.unsure = (self.root.compaction_index + 1, BeginData::default());
            return Vec::new();
        }
        found.last = (end.index, end.term);
        found.end = position;
        found.unsure = (end.index + 1, position);
        let mut links = Vec::new();
        self.walk(found.end, &mut links, found);
        links
    }

    /// Finds the newest begun segment and its end by scanning, then the chain below it.
    fn unclean_end(&self, found: &mut Found) -> Vec<Link> {
        if has_no_segments(&self.root.epoch) {
            // Nor does a spare count whose header is bad.
            return self.stored_end(found);
        }
        let mut links = Vec::new();
        let mut sequence = self.root.last_segment;
        while sequence >= self.root.first_segment && sequence != 0 {
            match self.is_of_earlier_opening(sequence, found) {
                None => return links,
                Some(true) => break,
                Some(false) => {}
            }
            let verdict = self
                .scan_segment(sequence, u64::MAX, found)
                .and_then(|(segment, scanned)| Ok((self.judge(&segment, &scanned, found.mark)?, segment, scanned)));
            let (verdict, segment, scanned) = match verdict {
                Ok(judged) => judged,
                Err(error) => {
                    found.fault = Some(error);
                    return links;
                }
            };
            let begin = self.apply(verdict, &segment, &scanned, found, &mut links);
            match begin.and_then(|begin| self.below(begin, &mut links, found)) {
                None if !links.is_empty() || found.fault.is_some() => return links,
                // The cut took a begin record: what is below it is found by looking.
                Some(lost) => sequence = lost - 1,
                None => sequence -= 1,
            }
        }
        links = self.stored_end(found);
        found.fault = found.fault.take().or(self.lost_opening(found));
        links
    }

    /// True for a segment that an earlier opening made: what of it counts was settled, and synced, when the log was opened. One that cannot
    /// be asked now is neither: judged by the marks of this opening it would be damaged.
    fn is_of_earlier_opening(&self, sequence: u64, found: &mut Found) -> Option<bool> {
        match self.open_segment(sequence, Access::Read) {
            Ok((segment, _, _)) => Some(segment.header.epoch != self.root.epoch),
            Err(error) => {
                found.fault = Some(error);
                None
            }
        }
    }

    fn scan_segment(&self, sequence: u64, limit: u64, found: &mut Found) -> Result<(Arc<Segment>, Scan)> {
        let (segment, file, len) = self.open_segment(sequence, self.access)?;
        let scanned = scan(&mut segment.cursor(&*file, len.min(limit)), u64::from(segment.header.header_bytes));
        found.mark = found.mark.max(scanned.mark());
        found.max_lsn = found.max_lsn.max(scanned.runs.last().map_or(0, |r| r.last_lsn + 1));
        Ok((segment, scanned))
    }

    /// The chain below the newest segment. Parts above all marks are scanned: a power cut may have taken them, and then the log ends
    /// there. Returns the number of a segment that lost its begin record that way.
    fn below(&self, begin: BeginData, links: &mut Vec<Link>, found: &mut Found) -> Option<u64> {
        let mut next = begin;
        while self.in_chain(&next) && self.mode() != Mode::Sync && next.last_lsn > found.mark {
            if self.is_of_earlier_opening(next.segment, found)? {
                break;
            }
            let judged = self
                .scan_segment(next.segment, next.end_offset, found)
                .and_then(|(segment, scanned)| Ok((self.judge(&segment, &scanned, found.mark)?, segment, scanned)));
            let (verdict, segment, scanned) = match judged {
                Ok(judged) => judged,
                Err(error) => {
                    found.fault = Some(error);
                    return None;
                }
            };
            // What cannot be read was written: no power cut does that. The newer segment's begin says how far it went.
            let unreadable = scanned.holes.last().is_some_and(|h| h.unreadable);
            // Damage in entries that a newer segment supersedes is no damage.
            let newer = links.iter().map(|l| l.first).min().unwrap_or(0);
            let superseded = verdict.begin.is_some() && verdict.last.0 + 1 >= newer;
            let whole = verdict.end.last_lsn == next.last_lsn || unreadable || superseded;
            if let (true, Some(begin)) = (whole, verdict.begin) {
                found.damaged.add_all(verdict.damaged.below(newer));
                if unreadable && newer > 0 {
                    found.damaged.add(verdict.last.0 + 1, newer - 1);
                }
                found.to_sync.push(next.segment);
                found.unsure = (found.unsure.0.min(verdict.first), begin);
                *segment.index.lock() = scanned.index;
                links.push(Link { segment, first: verdict.first, last: u64::MAX, end: next.end_offset });
                next = begin;
                continue;
            }
            // What is newer hangs in the air.
            links.clear();
            found.lower_cut();
            found.to_sync.clear();
            found.last = (self.root.compaction_index, self.root.compaction_term);
            found.end = BeginData::default();
            found.commit = self.root.commit;
            found.damaged = DamagedEntries::default();
            match self.apply(verdict, &segment, &scanned, found, links) {
                Some(begin) => next = begin,
                None => return Some(segment.sequence()),
            }
        }
        self.walk(next, links, found);
        None
    }

    /// Takes a verdict over: the log ends in this segment. Returns what the segment continues, if it counts at all.
    fn apply(
        &self,
        verdict: Verdict,
        segment: &Arc<Segment>,
        scanned: &Scan,
        found: &mut Found,
        links: &mut Vec<Link>,
    ) -> Option<BeginData> {
        found.cuts.extend(verdict.cut);
        if verdict.cut_behind.is_some() {
            found.cut_behind = verdict.cut_behind;
        }
        let begin = verdict.begin?;
        found.end = verdict.end;
        found.last = verdict.last;
        found.unsure = (verdict.first, begin);
        found.commit = found.commit.max(verdict.commit);
        found.damaged.add_all(verdict.damaged);
        found.to_sync.push(segment.sequence());
        let lost = self.lost_behind(found, &segment.name(), scanned);
        found.fault = found.fault.take().or(lost);
        *segment.index.lock() = scanned.index.clone();
        links.push(Link {
            segment: segment.clone(),
            first: verdict.first,
            last: verdict.last.0,
            end: verdict.end.end_offset,
        });
        Some(begin)
    }

    pub(super) fn mode(&self) -> Mode {
        Mode::from_u32(self.root.mode)
    }

    /// The highest index that must be in the log.
    pub(super) fn known(&self) -> u64 {
        self.root.commit.max(self.known_index)
    }

    fn finish(&self, mut links: Vec<Link>, mut found: Found) -> Found {
        let compaction = (self.root.compaction_index, self.root.compaction_term);
        if found.last.0 < compaction.0 {
            found.last = compaction;
        }
        let known = self.known();
        // Not the oldest: a newer one that begins lower supersedes it.
        let gap = links.iter().map(|l| l.first).min().filter(|first| *first > compaction.0 + 1);
        if gap.is_some() && self.mode() != Mode::Sync && found.fault.is_none() {
            // What began below was never synced and is gone; what is left above it hangs in the air.
            links.clear();
            found.last = compaction;
            found.end = BeginData::default();
            found.unsure = (compaction.0 + 1, BeginData::default());
            found.to_sync.clear();
            found.lower_cut();
        }
        if self.mode() != Mode::Sync && found.end.last_lsn > found.mark {
            // Each lsn is at most one entry; those that an opening leaves out are none.
            let unsynced = found.end.last_lsn - found.mark;
            let first = (found.last.0 + 1).saturating_sub(unsynced).max(found.unsure.0);
            found.unsynced = if first <= found.last.0 { (first, found.last.0) } else { (0, 0) };
        }
        if found.fault.is_none() {
            if let Some(first) = gap.filter(|_| !links.is_empty()) {
                let message = format!("entries {} to {} are missing", compaction.0 + 1, first - 1);
                found.fault = Some(damaged(message).range(compaction.0 + 1, first - 1));
            } else if found.last.0 < known {
                let message = format!(
                    "the log ends at entry {} although entry {known} is known to have been in it",
                    found.last.0
                );
                found.fault = Some(damaged(message).range(found.last.0 + 1, known));
            }
        }
        if let Some((before, seen)) = found.cut_behind {
            let first = if before == UNKNOWN { found.last.0 } else { before } + 1;
            found.maybe_acknowledged = (first, seen.max(first));
        }
        found.commit = found.commit.max(compaction.0).min(found.last.0);
        found.chain = links;
        found
    }
}
