//! What follows from META and the log together.

use super::report::{Finding, FindingKind};
use super::scan::{are, Scan, SEALED};
use super::source::Source;
use crate::format::cubefs::{Entry, META_BYTES, META_NAME};
use crate::format::MAX_COUNTER;
use crate::partition::HardState;

const DIES: &str = "opens the directory, and the raft group ends when it starts or at its first append";

/// An entry that cannot follow the one before it.
pub(super) fn check_order(scan: &mut Scan<'_>, entry: &Entry<'_>, offset: u64) {
    let compaction = (scan.meta.compaction_index, scan.meta.compaction_term);
    let next = if scan.seen { scan.last.0 + 1 } else { entry.index.min(compaction.0.saturating_add(1)) };
    let missing = next.max(compaction.0.saturating_add(1));
    let (index, term) = (entry.index, entry.term);
    // The first one above the compaction point follows that, too. Where the log has another entry there, that is said once, of all of them.
    let continues = index > compaction.0 && scan.last.0 <= compaction.0 && !scan.conflict;
    let before = if continues { scan.last.1.max(compaction.1) } else { scan.last.1 };
    let (kind, range, message) = if index >= MAX_COUNTER {
        let message = format!("entry {index} is beyond the highest index there is room for");
        (FindingKind::TooLarge, (0, 0), message)
    } else if entry.data.len() as u64 > u64::from(scan.limits.max_entry_bytes) {
        let most = scan.limits.max_entry_bytes;
        let message = format!("entry {index} has {} bytes; the engine's max_entry_bytes is {most}", entry.data.len());
        (FindingKind::TooLarge, (index, index), message)
    } else if index < next {
        (FindingKind::OutOfOrder, (index, index), format!("entry {index} follows entry {}", scan.last.0))
    } else if index > missing {
        let message = format!("{} in no file", are(missing, index - 1));
        (FindingKind::MissingEntries, (missing, index - 1), message)
    } else if term < before {
        let message = format!("entry {index} has term {term}, what is before it {before}");
        (FindingKind::OutOfOrder, (index, index), message)
    } else {
        return;
    };
    let cubefs = if kind == FindingKind::TooLarge { "keeps it" } else { SEALED };
    let finding = Finding { damage: true, range, ..scan.finding(kind, offset, message, cubefs) };
    scan.find(finding);
}

/// The last step of a scan.
pub(super) fn finish(scan: &mut Scan<'_>, source: &Source, meta_is_sound: bool) {
    let compaction = (scan.meta.compaction_index, scan.meta.compaction_term);
    if let Some((file, offset, bytes)) = scan.junk.take() {
        let next = scan.last.0.max(compaction.0).saturating_add(1);
        let message = format!(
            "the last {bytes} bytes are no record: a last write that never finished, or has rotted since; entry {next} may have been \
             acknowledged"
        );
        let finding =
            scan.finding(FindingKind::TornTail, offset, message, "cuts the file there, too, and says nothing");
        scan.report.torn_bytes = bytes;
        scan.find(Finding { file, range: (next, next), ..finding });
    }
    let last = if scan.seen && scan.last.0 > compaction.0 { scan.last } else { compaction };
    (scan.report.compaction_index, scan.report.compaction_term) = compaction;
    scan.report.first_index = compaction.0.saturating_add(1);
    (scan.report.last_index, scan.report.last_term) = last;
    scan.report.hard_state = hard_state(scan);
    check_meta(scan, source, meta_is_sound);
}

/// The hard state that a partition continues with: raised where a crash kept META from following the log.
fn hard_state(scan: &Scan<'_>) -> HardState {
    let meta = &scan.meta;
    let log_term = scan.report.last_term;
    let commit = meta.commit.max(meta.compaction_index);
    // CubeFS's TruncateFirstDummy compacts entry 1 of term 1 in a log without a hard state: it has none here either.
    if meta.term >= log_term || (meta.term == 0 && scan.report.entries == 0) {
        return HardState { term: meta.term, vote: meta.vote, commit };
    }
    HardState { term: log_term, vote: 0, commit }
}

/// Kind, damage, range, what was found, what CubeFS does.
type Row = (FindingKind, bool, (u64, u64), String, &'static str);

fn check_meta(scan: &mut Scan<'_>, source: &Source, meta_is_sound: bool) {
    let bytes = source.meta.as_ref().map(|(_, bytes)| *bytes);
    let mut rows: Vec<Row> = Vec::new();
    if !meta_is_sound {
        let message = format!("META has {} bytes; one has 0, 24 or 40", bytes.unwrap_or(0));
        rows.push((FindingKind::BadMeta, true, (0, 0), message, "refuses the directory"));
    } else {
        rows.extend(term_row(scan, bytes));
        rows.extend(index_rows(scan, bytes));
    }
    let known = scan.limits.known_index;
    let last = scan.report.last_index;
    if known > last {
        let message = format!("entry {known} is known to have been in the log, which ends at {last}");
        let cubefs = "lowers the applied index silently, and the replica differs from then on";
        rows.push((FindingKind::BelowKnown, true, (last + 1, known), message, cubefs));
    }
    for (kind, damage, range, message, cubefs) in rows {
        let finding = scan.finding(kind, 0, message, cubefs);
        scan.find(Finding { damage, range, file: META_NAME.into(), term: scan.report.last_term, ..finding });
    }
}

/// META's term against the log's.
fn term_row(scan: &Scan<'_>, bytes: Option<u64>) -> Option<Row> {
    let (term, last) = (scan.meta.term, (scan.report.last_index, scan.report.last_term));
    if term == 0 && scan.report.entries > 0 && last.1 > 0 {
        let what = match bytes {
            None => "is missing",
            Some(0) => "is empty",
            Some(_) => "holds no term",
        };
        let (index, log_term) = last;
        let message = format!(
            "META {what} although the log reaches entry {index} of term {log_term}: term and vote are lost; rejoin as a new replica"
        );
        let cubefs = "opens the directory with term 0 and no vote, and may vote a second time";
        return Some((FindingKind::VoteLost, true, (0, 0), message, cubefs));
    }
    if term == 0 && scan.meta.vote > 0 {
        let message = format!("META says that {} was voted for in term 0, in which nobody votes", scan.meta.vote);
        return Some((FindingKind::BadMeta, true, (0, 0), message, "goes on with that vote"));
    }
    if term < last.1 && term > 0 {
        let message =
            format!("META's term {term} is behind the log's {}: it is raised to that, without a vote", last.1);
        return Some((FindingKind::MetaBehind, false, (0, 0), message, "goes on with the older term"));
    }
    None
}

/// META's commit and compaction point against the log.
fn index_rows(scan: &Scan<'_>, bytes: Option<u64>) -> Vec<Row> {
    let (commit, compaction, last) = (scan.meta.commit, scan.meta.compaction_index, scan.report.last_index);
    let mut rows: Vec<Row> = Vec::new();
    if bytes.is_some_and(|n| n > META_BYTES as u64) {
        let message = format!("META has {} bytes; the first {META_BYTES} are taken", bytes.unwrap_or(0));
        rows.push((FindingKind::BadMeta, false, (0, 0), message, "does the same"));
    }
    if [commit, compaction].iter().any(|n| *n >= MAX_COUNTER) {
        let message =
            format!("commit {commit} or compaction point {compaction} is beyond the highest index there is room for");
        rows.push((FindingKind::TooLarge, true, (0, 0), message, DIES));
        return rows;
    }
    if commit > last {
        let message = format!("META says that {commit} is committed, the log ends at {last}");
        rows.push((FindingKind::MetaAhead, true, (last + 1, commit), message, DIES));
    }
    if commit < compaction {
        let message = format!("the commit {commit} is behind the compaction point {compaction}: it is raised to that");
        rows.push((FindingKind::CommitBehind, false, (0, 0), message, "goes on with the older commit"));
    }
    if scan.conflict && last > compaction {
        let message = format!(
            "entry {compaction} has another term than META's compaction point: what is behind it does not continue that snapshot"
        );
        let cubefs = "goes on with the entries of the old log";
        rows.push((FindingKind::SnapshotConflict, true, (compaction + 1, last), message, cubefs));
    }
    rows
}
