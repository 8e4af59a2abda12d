//! Import in place: Bulkhead's files are made in a subdirectory, checked, and exchanged for CubeFS's, which are kept.

use super::bad_file::{write_around_bad_blocks, write_one, BadFile};
use super::content::{holds, lost, read_back, sync_files};
use super::names;
use super::report::{Finding, FindingKind, Report};
use super::scan::{Limits, Meter, Scan, Take};
use super::segments::{NewPartition, SegmentWriter};
use super::settle::settle;
use super::source::Source;
use super::switch::{self, Shape};
use super::{Conversion, Inspection};
use crate::error::{Error, Op, Result, Status};
use crate::format::cubefs::META_NAME;
use crate::format::{Root, ROOT_BYTES};
use crate::io::{read_full_at, write_durable_at, Access, AlignedBuf, Dir};
use crate::partition::{EntryRef, Limit, Survey, ROOT_NAME};
use std::io;
use std::sync::Arc;

/// What an entry of a CubeFS log takes beside its data, its place in the file's index included.
const SOURCE_BYTES: u64 = 50;

impl Conversion<'_> {
    /// Makes a CubeFS directory a Bulkhead partition, in place. CubeFS's files are kept in `cubefs-original`.
    ///
    /// First finishes or undoes what an earlier import, undo or export was kept from; a directory that is Bulkhead's then is left as it is.
    /// Whatever stops it, the directory is CubeFS's as before, or Bulkhead's, or is refused by both until this is called again.
    ///
    /// Errors: `NotFound` (no log in it), `Damaged` (with the range of entries; `inspect` tells all. Also: what was written does not read back
    /// from the disk. Nothing was changed), `WrongPartition`, `EntryTooLarge`, `Foreign`, `AlreadyOpen`, `Locked`, `NoSpace`, `IoError` and the
    /// like, `UnsupportedFilesystem`. `Busy`: the log changed meanwhile; or CubeFS has its META back, and that is perhaps not durable: call this
    /// again before anybody opens the directory. `Stalled`: nothing came back from the disk for the stall limit; nothing more of this call begins, and until
    /// the kernel lets go the directory is locked, and `Busy` for others.
    pub fn import(&self) -> Result<Inspection> {
        self.apart(Op::Import, |c| {
            let dir = c.lock()?;
            match c.settle(&*dir)? {
                Shape::Cubefs => {}
                Shape::Empty => {
                    let message = "the directory holds no CubeFS log; a new partition needs no import";
                    return Err(Error::new(Status::NotFound, Op::Import, message));
                }
                _ => return c.look(&*dir),
            }
            // The error that led there matters more than one of tidying up.
            let report = c.build(&*dir).inspect_err(|_| drop(settle(&*dir)))?;
            switch::to_bulkhead(&*dir)?;
            Ok(Inspection { report, ..c.look(&*dir)? })
        })
    }

    /// Reads the whole log, and judges it.
    pub(super) fn check(&self, dir: &dyn Dir) -> Result<Report> {
        self.check_within(dir, self.limits(dir))
    }

    /// The same, within limits that are not the engine's.
    pub(super) fn check_within(&self, dir: &dyn Dir, limits: Limits) -> Result<Report> {
        let meter = Meter::new(Source::list(dir)?.bytes(dir)?, self.progress);
        Scan::run(dir, limits, &mut |_| Ok(()), &meter)
    }

    fn limits(&self, dir: &dyn Dir) -> Limits {
        let most = self.engine.disk_limits(dir.device().id).get_u32(Limit::MaxEntryBytes);
        Limits { max_entry_bytes: most, known_index: self.known_index }
    }

    fn scan(&self, dir: &dyn Dir, take: &mut Take<'_>, meter: &Meter<'_>) -> Result<Report> {
        Scan::run(dir, self.limits(dir), take, meter)
    }

    /// Everything up to the exchange. Nothing of CubeFS's is touched.
    fn build(&self, dir: &dyn Dir) -> Result<Report> {
        let import = names::make_dir(dir, switch::IMPORT)?;
        let report = write_around_bad_blocks(&*import, |bad| self.write(dir, &import, bad))?;
        let root = read_root_named(&*import, ROOT_NAME)?.0;
        let original = names::make_dir(dir, switch::CUBEFS_ORIGINAL)?;
        names::make_dir(&*original, META_NAME)?;
        let fail = || names::fail("keeping a copy of the root");
        let mut bytes = AlignedBuf::new();
        bytes.extend_from_slice(&root);
        let sum = crc32c::crc32c(&root);
        write_one(&*original, &[switch::IMPORTED_ROOT], || {
            let copy = original.create(switch::IMPORTED_ROOT, Access::Durable).map_err(fail())?;
            write_durable_at(&*copy, &bytes, 0).map_err(fail())?;
            read_back(Op::Import, &*original, switch::IMPORTED_ROOT, |file| holds(file, ROOT_BYTES as u64, sum))
        })?;
        match dir.open(META_NAME, Access::Read) {
            // CubeFS makes META before its first log: a power cut has taken it, and with it nothing.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                dir.create(META_NAME, Access::Buffered).map_err(names::fail("creating META"))?;
            }
            other => drop(other.map_err(names::fail("opening META"))?),
        }
        // What an undo goes back to, vote included, must not be older than what was read.
        sync_files(dir, false)?;
        for dir in [&*import, &*original, dir] {
            dir.sync().map_err(names::fail("syncing a directory"))?;
        }
        Ok(report)
    }

    /// Reads and judges the log, and writes it, in the same pass, as the segments of a new partition; they are read back meanwhile. `bad` is set
    /// to the file that stopped it.
    fn write(&self, dir: &dyn Dir, import: &Arc<dyn Dir>, bad: &mut Option<BadFile>) -> Result<Report> {
        let source = Source::list(dir)?;
        let before = source.bytes(dir)?;
        let new = NewPartition {
            id: self.partition_id,
            segment_max_bytes: self.engine.disk_limits(dir.device().id).get_u32(Limit::SegmentMaxBytes).into(),
            compaction: source.compaction(),
            with_threads: self.engine.has_threads(),
            random_id: &|| self.engine.random_id(),
        };
        let mut writer = SegmentWriter::create(import, new)?;
        let meter = Meter::new(2 * before, self.progress);
        let mut written = Ok(());
        let mut left = None;
        let mut take = |entries: &[EntryRef<'_>]| {
            // What is read back is told as well: before there are entries it is nothing.
            let left = left.get_or_insert_with(|| before.saturating_sub(meter.done()));
            // The whole log is judged, whatever becomes of it.
            if written.is_ok() {
                written = entries.iter().try_for_each(|e| {
                    writer.push(e, *left)?;
                    *left = left.saturating_sub(e.data.len() as u64 + SOURCE_BYTES);
                    Ok(())
                });
                meter.add(writer.read_back());
            }
            Ok(())
        };
        let report = self.scan(dir, &mut take, &meter)?;
        refuse_damage(&report)?;
        *bad = writer.bad_file();
        written?;
        let again = Source::list(dir)?;
        if again.files != source.files || again.meta != source.meta || again.bytes(dir)? != before {
            let message = "the CubeFS log changed while it was read: somebody has it open; stop that first";
            return Err(Error::new(Status::Busy, Op::Import, message));
        }
        writer.finish(report.hard_state).inspect_err(|_| *bad = writer.bad_file())?;
        self.check_written(&report)?;
        meter.finish();
        Ok(report)
    }

    /// What an open after a power cut would find is what was read: once the group runs on it, there is no way back to CubeFS's log.
    fn check_written(&self, report: &Report) -> Result<()> {
        let survey = Survey::of_medium(self.engine.storage(), &self.path.join(switch::IMPORT));
        let survey = survey.map_err(|e| if e.status == Status::Damaged { lost(Op::Import, &e.message) } else { e })?;
        let same = (survey.bounds(), survey.last_term(), survey.compaction(), survey.hard_state())
            == (
                (report.first_index, report.last_index),
                report.last_term,
                (report.compaction_index, report.compaction_term),
                report.hard_state,
            );
        if same && report.entries == report.last_index - report.compaction_index {
            return Ok(());
        }
        Err(lost(Op::Import, "the log or the hard state is not what was written"))
    }
}

pub(super) fn refuse_damage(report: &Report) -> Result<()> {
    let Some(damage) = report.damage() else { return Ok(()) };
    // What is not whole is said first: it is no matter of limits.
    let is_broken = |f: &&Finding| f.damage && f.kind != FindingKind::TooLarge;
    let (status, damage) = match report.findings.iter().find(is_broken) {
        Some(broken) => (Status::Damaged, broken),
        None => (Status::EntryTooLarge, damage),
    };
    let more = report.findings.iter().filter(|f| f.damage).count() - 1;
    let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
    let message = format!("{} at byte {}: {}{more}; nothing was changed", damage.file, damage.offset, damage.message);
    Err(Error::new(status, Op::Import, message).range(damage.range.0, damage.range.1))
}

/// A root file's bytes, and what they say.
pub(super) fn read_root_named(dir: &dyn Dir, name: &str) -> Result<(Vec<u8>, Root)> {
    let mut bytes = vec![0; ROOT_BYTES];
    let file = dir.open(name, Access::Read).map_err(names::fail("opening a root"))?;
    let read = read_full_at(&*file, &mut bytes, 0).map_err(names::fail("reading a root"))?;
    bytes.truncate(read);
    match Root::decode_file(&bytes) {
        Ok(root) => Ok((bytes, root)),
        Err(e) => Err(Error::new(Status::Damaged, Op::Import, format!("`{name}`: {e}"))),
    }
}
