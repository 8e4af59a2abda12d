//! Reads a CubeFS log from its first to its last byte: hands its entries on, and judges what is wrong with it by Bulkhead's rules. A torn
//! end is an end; bad bytes with valid records behind them are damage. Nothing is dropped that CubeFS would have dropped silently.

use super::content::PIECE_BYTES;
use super::reader::{Behind, Reader};
use super::report::{Finding, FindingKind, Progress, Report};
use super::source::Source;
use super::verdict;
use crate::error::{Error, Op, Result};
use crate::format::cubefs::{
    footer_target, index_items, record_at, Entry, Found, LogName, Meta, RecordType, RECORD_HEADER_BYTES,
};
use crate::format::MAX_COUNTER;
use crate::io::{Access, Dir};
use crate::partition::EntryRef;
use std::cell::Cell;

/// Findings that are kept of each kind, damage and what is none; a log that has more has been told enough of.
const FINDINGS_MAX: usize = 100;
/// What a new hash of a file's index starts with.
const HASH_START: u64 = 0xcbf2_9ce4_8422_2325;

/// Takes entries in order; only those above the compaction point.
pub type Take<'a> = dyn FnMut(&[EntryRef<'_>]) -> Result<()> + 'a;

/// Limits that the log's new home has.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub max_entry_bytes: u32,
    /// An index that must be in the log; 0 for none.
    pub known_index: u64,
}

pub struct Scan<'a> {
    dir: &'a dyn Dir,
    pub(super) limits: Limits,
    pub(super) meta: Meta,
    pub(super) report: Report,
    /// The last entry seen, at most `MAX_COUNTER`, `(0, 0)` before the first one, and the last one's place if nothing is known of what follows.
    pub(super) last: (u64, u64),
    pub(super) seen: bool,
    /// The entry at the compaction point has another term than META says.
    pub(super) conflict: bool,
    /// Bytes at the end of a file that are no record, with nothing valid behind: file, offset, how many.
    pub(super) junk: Option<(String, u64, u64)>,
    name: String,
    last_file: bool,
    /// Index, term and offset of the file's entries, as a hash and their number: what its index record should say.
    hash: (u64, u64),
    take: &'a mut Take<'a>,
    meter: &'a Meter<'a>,
}

/// Why a run of entries ended.
enum Stop {
    End,
    Seal,
    Bad,
}

impl<'a> Scan<'a> {
    /// `meter` is told of bytes that were read.
    pub fn run(dir: &'a dyn Dir, limits: Limits, take: &'a mut Take<'a>, meter: &'a Meter<'a>) -> Result<Report> {
        let source = Source::list(dir)?;
        let meta = source.meta.as_ref().map_or(Some(Meta::default()), |(bytes, _)| Meta::decode(bytes));
        let mut scan = Scan {
            dir,
            limits,
            meta: meta.unwrap_or_default(),
            report: Report::default(),
            last: (0, 0),
            seen: false,
            conflict: false,
            junk: None,
            name: String::new(),
            last_file: false,
            hash: (HASH_START, 0),
            take,
            meter,
        };
        source.findings.iter().for_each(|f| scan.find(f.clone()));
        let mut before: Option<LogName> = None;
        for (i, name) in source.files.iter().enumerate() {
            scan.name = name.to_string();
            scan.last_file = i + 1 == source.files.len();
            if let Some(before) = before.replace(*name) {
                scan.between(&before, name);
            }
            scan.file()?;
        }
        verdict::finish(&mut scan, &source, meta.is_some());
        Ok(scan.report)
    }

    pub(super) fn find(&mut self, finding: Finding) {
        let findings = &mut self.report.findings;
        // Damage is found whatever stands before it.
        if findings.iter().filter(|f| f.damage == finding.damage).count() < FINDINGS_MAX {
            findings.push(finding);
        }
    }

    pub(super) fn finding(&self, kind: FindingKind, offset: u64, message: String, cubefs: &'static str) -> Finding {
        let term = self.last.1;
        Finding { kind, damage: false, file: self.name.clone(), offset, range: (0, 0), term, message, cubefs }
    }

    /// A file follows another: its name says what the one before it should have ended with.
    fn between(&mut self, before: &LogName, name: &LogName) {
        let gap = name.sequence != before.sequence.saturating_add(1);
        let junk = self.junk.take();
        let (first, last) =
            ((self.last.0 + 1).max(self.meta.compaction_index.saturating_add(1)), name.first.wrapping_sub(1));
        // A file that is empty says nothing of where the next one begins.
        let missing = (self.seen || junk.is_some()) && name.first > first;
        if missing {
            let kind = if gap { FindingKind::MissingFile } else { FindingKind::MissingEntries };
            let message = format!("{} in no file; the one before this is {before}", are(first, last));
            let cubefs = "opens the directory; the first read of these entries ends the raft group";
            let mut finding = Finding { damage: true, range: (first, last), ..self.finding(kind, 0, message, cubefs) };
            if let Some((file, offset, bytes)) = junk {
                finding.message += &format!("; {bytes} bytes at its end, from {offset} on, are no record");
                finding.file = file;
                finding.offset = offset;
            }
            self.find(finding);
            self.last.0 = last.min(MAX_COUNTER);
        } else if let Some((file, offset, bytes)) = junk {
            let message = format!(
                "{bytes} bytes at the end are no record; no entry is missing, so they were the index and the footer"
            );
            let finding = self.finding(FindingKind::BadIndex, offset, message, SEALED);
            self.find(Finding { file, ..finding });
        } else if gap {
            let message = format!("the number does not follow that of {before}; no entry is missing");
            let finding = self.finding(FindingKind::MissingFile, 0, message, "does not notice");
            self.find(finding);
        }
    }

    fn file(&mut self) -> Result<()> {
        let fail = |e: &std::io::Error, name: &str| Error::io(Op::Import, e, &format!("reading {name}"));
        let file = self.dir.open(&self.name, Access::Read).map_err(|e| fail(&e, &self.name))?;
        let mut reader = Reader::new(&*file).map_err(|e| fail(&e, &self.name))?;
        self.report.files += 1;
        self.report.file_bytes += reader.len;
        self.hash = (HASH_START, 0);
        let mut at = 0;
        loop {
            let (end, stop) = self.entries(&mut reader, at)?;
            at = end;
            let next = match stop {
                Stop::End => {
                    if !self.last_file {
                        self.bad_index(at, "index and footer are missing".into());
                    }
                    None
                }
                Stop::Seal => self.seal(&mut reader, at).map_err(|e| fail(&e, &self.name))?,
                Stop::Bad => self.bad(&mut reader, at).map_err(|e| fail(&e, &self.name))?,
            };
            match next {
                Some(next) => {
                    self.meter.add(next - at);
                    at = next;
                }
                None => {
                    self.meter.add(reader.len.saturating_sub(at));
                    return Ok(());
                }
            }
        }
    }

    /// Hands on the entries from `at` on, up to something else.
    fn entries(&mut self, reader: &mut Reader<'_>, mut at: u64) -> Result<(u64, Stop)> {
        // What is held is read first: a file of nothing but bad bytes and short entries is not read anew at each of them.
        let mut least = RECORD_HEADER_BYTES;
        loop {
            let rest = reader.len.saturating_sub(at);
            if rest == 0 {
                return Ok((at, Stop::End));
            }
            let piece =
                reader.bytes(at, least).map_err(|e| Error::io(Op::Import, &e, &format!("reading {}", self.name)))?;
            let mut entries: Vec<EntryRef<'_>> = Vec::new();
            let mut pos = 0;
            let stop = loop {
                let left = rest - pos as u64;
                match record_at(piece.get(pos..).unwrap_or(&[]), left) {
                    Found::Record(RecordType::Entry, data, total) => match Entry::decode(data) {
                        Some(entry) => {
                            self.note(&entry, at + pos as u64);
                            if entry.index > self.meta.compaction_index {
                                let Entry { index, term, kind, data } = entry;
                                entries.push(EntryRef { index, term, kind, data });
                            }
                            pos += total;
                        }
                        None => break Some(Stop::Bad),
                    },
                    Found::Record(_, _, _) => break Some(Stop::Seal),
                    _ if left == 0 => break Some(Stop::End),
                    Found::Needs(needs) if needs as u64 <= left => {
                        least = if pos == 0 { needs.max(PIECE_BYTES) } else { PIECE_BYTES };
                        break None;
                    }
                    _ => break Some(Stop::Bad),
                }
            };
            if !entries.is_empty() {
                (self.take)(&entries)?;
            }
            self.meter.add(pos as u64);
            at += pos as u64;
            if let Some(stop) = stop {
                return Ok((at, stop));
            }
        }
    }

    /// Counts an entry and checks that it follows the one before it.
    fn note(&mut self, entry: &Entry<'_>, offset: u64) {
        let compaction = (self.meta.compaction_index, self.meta.compaction_term);
        verdict::check_order(self, entry, offset);
        let parts = [entry.index, entry.term, offset];
        self.hash.0 = parts.iter().fold(self.hash.0, |h, p| (h ^ p).wrapping_mul(0x0100_0000_01b3).rotate_left(23));
        self.hash.1 += 1;
        self.last = (entry.index.min(MAX_COUNTER), entry.term);
        self.seen = true;
        self.conflict |= entry.index == compaction.0 && entry.term != compaction.1;
        if entry.index > compaction.0 {
            if self.report.entries == 0 {
                self.report.first_term = entry.term;
            }
            self.report.entries += 1;
            self.report.bytes += entry.data.len() as u64;
        }
    }

    fn bad_index(&mut self, offset: u64, what: String) {
        let finding =
            self.finding(FindingKind::BadIndex, offset, format!("{what}; the entries were found without"), SEALED);
        self.find(finding);
    }

    /// An index record or a footer: what follows the entries of a sealed file. Returns where to go on, if anywhere.
    fn seal(&mut self, reader: &mut Reader<'_>, at: u64) -> std::io::Result<Option<u64>> {
        let (hash, name) = (self.hash, self.last_file);
        let mut end = at;
        let mut sound = false;
        if let Found::Record(RecordType::Index, data, total) = reader.record(at)? {
            sound = index_items(data).is_some_and(|items| {
                let start = (HASH_START, 0u64);
                items.fold(start, |(h, n), i| {
                    let parts = [i.index, i.term, u64::from(i.offset)];
                    (parts.iter().fold(h, |h, p| (h ^ p).wrapping_mul(0x0100_0000_01b3).rotate_left(23)), n + 1)
                }) == hash
            });
            end += total as u64;
        }
        let mut footer = false;
        if let Found::Record(RecordType::Footer, data, total) = reader.record(end)? {
            footer = footer_target(data) == Some(at);
            end += total as u64;
        }
        // CubeFS cuts them off a last file when it opens that; a crash may leave a part of them.
        if !sound || (!footer && !name) {
            self.bad_index(at, "index or footer are damaged".into());
        }
        if end >= reader.len {
            return Ok(None);
        }
        if end == at {
            return self.bad(reader, at); // somebody writes to it
        }
        Ok(Some(end))
    }

    /// Bytes that are no record. Returns where the next record is, if there is one.
    fn bad(&mut self, reader: &mut Reader<'_>, at: u64) -> std::io::Result<Option<u64>> {
        let cubefs = if self.last_file { CUT } else { SEALED };
        let behind = reader.behind(at, self.last)?;
        let (next, end) = match behind {
            Behind::Nothing => {
                self.junk = Some((self.name.clone(), at, reader.len - at));
                return Ok(None);
            }
            Behind::Record(next, end) => (Some(next), end),
            Behind::Footer(end) => {
                self.bad_index(at, "the index is damaged".into());
                return Ok((end < reader.len).then_some(end));
            }
            Behind::Unknown => (None, self.last.0 + 1),
        };
        let first = self.last.0 + 1;
        let what = if next.is_some() {
            "valid records are behind them"
        } else {
            "whether valid records are behind them cannot be told"
        };
        let mut finding = self.finding(FindingKind::BadRecord, at, String::new(), cubefs);
        finding.range = if end >= first { (first, end) } else { (0, 0) };
        // Where nobody knows what is behind, it may be anything.
        finding.damage = behind == Behind::Unknown || end > self.meta.compaction_index;
        finding.message = match (finding.damage, end >= first) {
            (false, _) => "bytes that are no record, in the part that is compacted".into(),
            (true, true) => format!("bytes that are no record where {} should be, and {what}", span(first, end)),
            (true, false) => format!("bytes that are no record behind entry {}, and {what}", self.last.0),
        };
        self.find(finding);
        self.last.0 = end.max(self.last.0).min(MAX_COUNTER);
        self.seen = true;
        Ok(next)
    }
}

fn span(first: u64, last: u64) -> String {
    if first == last {
        format!("entry {first}")
    } else {
        format!("entries {first} to {last}")
    }
}

/// `entry 7 is`, `entries 7 to 9 are`.
pub(super) fn are(first: u64, last: u64) -> String {
    format!("{} {}", span(first, last), if first == last { "is" } else { "are" })
}

/// What CubeFS does with bad bytes in its last file.
const CUT: &str = "cuts its last file there at the next open, with all entries behind, and says nothing";
/// And in one that is sealed.
pub(super) const SEALED: &str = "opens the directory; the first read that needs this ends the raft group";

/// Counts bytes and tells how far it is.
pub struct Meter<'a> {
    progress: Cell<Progress>,
    tell: &'a dyn Fn(Progress),
}

impl<'a> Meter<'a> {
    pub fn new(total_bytes: u64, tell: &'a dyn Fn(Progress)) -> Meter<'a> {
        Meter { progress: Cell::new(Progress { done_bytes: 0, total_bytes }), tell }
    }

    pub fn add(&self, bytes: u64) {
        let Progress { done_bytes, total_bytes } = self.progress.get();
        let now = Progress { done_bytes: (done_bytes + bytes).min(total_bytes), total_bytes };
        self.progress.set(now);
        (self.tell)(now);
    }

    pub fn done(&self) -> u64 {
        self.progress.get().done_bytes
    }

    /// There is nothing left to do.
    pub fn finish(&self) {
        self.add(self.progress.get().total_bytes);
    }
}
