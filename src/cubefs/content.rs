//! What a log holds, as one number: a conversion compares what it read with what the disk gives back.

use super::report::Report;
use super::scan::{Limits, Scan};
use super::source::Source;
use super::switch;
use super::{Conversion, FindingKind};
use crate::error::{Error, Op, Result, Status};
use crate::format::cubefs::META_NAME;
use crate::io::{Access, Dir};
use crate::partition::Survey;

/// Entries with their indexes, in any order.
#[derive(Default, PartialEq, Eq)]
pub struct Content {
    sum: u64,
    entries: u64,
}

impl Content {
    pub fn add(&mut self, index: u64, term: u64, kind: u8, data: &[u8]) {
        let mut head = [kind; 17];
        head[..8].copy_from_slice(&index.to_le_bytes());
        head[8..16].copy_from_slice(&term.to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&head), data);
        self.sum = self.sum.wrapping_add(u64::from(crc));
        self.entries += 1;
    }
}

/// Readers of one log: they wait for the disk, not for a processor.
const READERS: u64 = 4;
/// Entries that are worth a reader.
const READER_ENTRIES: u64 = 256;

impl Conversion<'_> {
    /// The medium has every entry as it was read from CubeFS's log: once the group runs on it, there is no way back to that.
    pub(super) fn read_back(&self, report: &Report, read: &Content) -> Result<()> {
        let survey = Survey::of_medium(self.engine.storage(), &self.path.join(switch::IMPORT));
        let survey = survey.map_err(|e| if e.status == Status::Damaged { lost(Op::Import, &e.message) } else { e })?;
        let (first, last) = (report.first_index, report.last_index);
        let readers = if self.engine.has_threads() { (report.entries / READER_ENTRIES).clamp(1, READERS) } else { 1 };
        let share = report.entries.div_ceil(readers).max(1);
        let ranges = (0..readers).map(|i| (first + i * share, (first + (i + 1) * share - 1).min(last)));
        let parts: Vec<Result<Content>> = std::thread::scope(|scope| {
            let (mine, others): (Vec<_>, Vec<_>) = ranges.partition(|range| range.0 == first);
            let survey = &survey;
            // A reader that the system has no thread for reads here.
            let others: Vec<_> = others
                .into_iter()
                .map(|range| {
                    let begun = std::thread::Builder::new()
                        .name("bulkhead-import".into())
                        .spawn_scoped(scope, move || content_of(survey, range));
                    (range, begun)
                })
                .collect();
            let mut parts: Vec<_> = mine.into_iter().map(|range| content_of(survey, range)).collect();
            parts.extend(others.into_iter().map(|(range, begun)| match begun {
                Ok(reader) => reader.join().unwrap_or_else(|_| Err(panicked())),
                Err(_) => content_of(survey, range),
            }));
            parts
        });
        let mut found = Content::default();
        for part in parts {
            let part = part?;
            found.sum = found.sum.wrapping_add(part.sum);
            found.entries += part.entries;
        }
        if found == *read && survey.hard_state() == report.hard_state {
            return Ok(());
        }
        Err(lost(Op::Import, "entries are not what was written"))
    }
}

fn panicked() -> Error {
    Error::new(Status::Panic, Op::Import, "a thread that reads back panicked; this is a bug of the library")
}

fn content_of(survey: &Survey, range: (u64, u64)) -> Result<Content> {
    let mut found = Content::default();
    let bad = survey.read(range.0, range.1, &mut |index, term, kind, data| {
        found.add(index, term, kind, data);
        true
    })?;
    match bad.first().zip(bad.last()) {
        None => Ok(found),
        Some((first, last)) => Err(lost(Op::Import, "entries cannot be read").range(first.0, last.1)),
    }
}

/// The same of an export, whose files are synced: their pages are let go, so that the disk is asked.
pub fn read_back_export(dir: &dyn Dir, meta: &[u8], written: &Content) -> Result<()> {
    drop_caches(dir)?;
    let source = Source::list(dir)?;
    let mut found = Content::default();
    let mut take = |entries: &[crate::EntryRef<'_>]| {
        entries.iter().for_each(|e| found.add(e.index, e.term, e.kind, e.data));
        Ok(())
    };
    let limits = Limits { max_entry_bytes: u32::MAX, known_index: 0 };
    let report = Scan::run(dir, limits, &mut take, &mut |_| ())?;
    let bad = [FindingKind::TornTail, FindingKind::BadRecord, FindingKind::BadIndex];
    let bad = report.findings.into_iter().find(|f| bad.contains(&f.kind));
    let same = found == *written && source.meta.is_some_and(|(bytes, _)| bytes == meta);
    match bad {
        None if same => Ok(()),
        None => Err(lost(Op::Export, "META or entries are not what was written")),
        Some(bad) => Err(lost(Op::Export, &format!("{} at byte {}: {}", bad.file, bad.offset, bad.message))),
    }
}

/// What is read next of a CubeFS log comes from the disk.
pub fn drop_caches(dir: &dyn Dir) -> Result<()> {
    let mut names: Vec<String> = Source::list(dir)?.files.iter().map(|name| name.to_string()).collect();
    names.push(META_NAME.into());
    names.iter().try_for_each(|name| match dir.open(name, Access::Read) {
        Ok(file) => {
            file.drop_cache();
            Ok(())
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::io(Op::Import, &e, &format!("opening {name}"))),
    })
}

fn lost(op: Op, what: &str) -> Error {
    let message = format!("what was written does not read back from the disk ({what}); the log is as it was");
    Error::new(Status::Damaged, op, message)
}
