//! Import in place: Bulkhead's files are made in a subdirectory, checked, and exchanged for CubeFS's, which are kept.

use super::content::{lost, Content};
use super::read_back::ReadBack;
use super::report::Report;
use super::scan::{Limits, Meter, Scan, Take};
use super::source::Source;
use super::switch::{self, Shape};
use super::{Conversion, Inspection};
use crate::error::{Error, Op, Result, Status};
use crate::format::cubefs::META_NAME;
use crate::format::{Root, ROOT_BYTES};
use crate::io::{read_full_at, write_durable_at, Access, AlignedBuf, Dir};
use crate::partition::{Disposition, EntryRef, Limit, Mode, Partition, PartitionConfig, State, Survey, ROOT_NAME};
use std::io;
use std::sync::Arc;

impl Conversion<'_> {
    /// Makes a CubeFS directory a Bulkhead partition, in place. CubeFS's files are kept in `cubefs-original`.
    ///
    /// First finishes or undoes what an earlier import, undo or export was kept from; a directory that is Bulkhead's then is left as it is.
    /// Whatever stops it, the directory is CubeFS's as before, or Bulkhead's, or is refused by both until this is called again.
    ///
    /// Errors: `NotFound` (no log in it), `Damaged` (with the range of entries; `inspect` tells all. Also: what was written does not read back
    /// from the disk. Nothing was changed), `WrongPartition`, `EntryTooLarge`, `Foreign`, `AlreadyOpen`, `Locked`, `NoSpace`, `IoError` and the
    /// like, `UnsupportedFilesystem`.
    pub fn import(&self) -> Result<Inspection> {
        self.named(|| {
            let dir = self.lock()?;
            match switch::settle(&*dir)? {
                Shape::Cubefs => {}
                Shape::Empty => {
                    let message = "the directory holds no CubeFS log; a new partition needs no import";
                    return Err(Error::new(Status::NotFound, Op::Import, message));
                }
                _ => return self.look(&*dir),
            }
            // The error that led there matters more than one of tidying up.
            let report = self.build(&*dir).inspect_err(|_| drop(switch::settle(&*dir)))?;
            switch::to_bulkhead(&*dir)?;
            Ok(Inspection { report, ..self.look(&*dir)? })
        })
    }

    /// Reads the whole log, and judges it.
    pub(super) fn check(&self, dir: &dyn Dir) -> Result<Report> {
        let meter = Meter::new(Source::list(dir)?.bytes(dir)?, self.progress);
        self.scan(dir, &mut |_| Ok(()), &meter)
    }

    fn scan(&self, dir: &dyn Dir, take: &mut Take<'_>, meter: &Meter<'_>) -> Result<Report> {
        let most = self.engine.disk_limits(dir.device().id).get_u32(Limit::MaxEntryBytes);
        let limits = Limits { max_entry_bytes: most, known_index: self.known_index };
        Scan::run(dir, limits, take, meter)
    }

    /// Everything up to the exchange. Nothing of CubeFS's is touched.
    fn build(&self, dir: &dyn Dir) -> Result<Report> {
        let import = switch::make_dir(dir, switch::IMPORT)?;
        let report = self.write(dir, &import)?;
        let root = read_root_named(&*import, ROOT_NAME)?.0;
        let original = switch::make_dir(dir, switch::CUBEFS_ORIGINAL)?;
        switch::make_dir(&*original, META_NAME)?;
        let fail = || switch::fail("keeping a copy of the root");
        let copy = original.create(switch::IMPORTED_ROOT, Access::Durable).map_err(fail())?;
        let mut bytes = AlignedBuf::new();
        bytes.extend_from_slice(&root);
        write_durable_at(&*copy, &bytes, 0).map_err(fail())?;
        match dir.open(META_NAME, Access::Read) {
            // CubeFS makes META before its first log: a power cut has taken it, and with it nothing.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                dir.create(META_NAME, Access::Buffered).map_err(switch::fail("creating META"))?;
            }
            other => drop(other.map_err(switch::fail("opening META"))?),
        }
        for dir in [&*import, &*original, dir] {
            dir.sync().map_err(switch::fail("syncing a directory"))?;
        }
        Ok(report)
    }

    /// Reads and judges the log, and writes it, in the same pass, through a partition as any other: without syncs first, then durable. What
    /// is durable is read back meanwhile.
    fn write(&self, dir: &dyn Dir, import: &Arc<dyn Dir>) -> Result<Report> {
        let source = Source::list(dir)?;
        let before = source.bytes(dir)?;
        let partition = self.open_new(Mode::None)?;
        let mut written = match source.compaction() {
            (0, _) => Ok(()),
            (index, term) => partition.reset(index, term),
        };
        let mut read = Content::default();
        let meter = Meter::new(2 * before, self.progress);
        let mut read_back = ReadBack::new(import.clone(), self.engine.has_threads(), &meter);
        let mut take = |entries: &[EntryRef<'_>]| {
            // The whole log is judged, whatever becomes of it.
            if written.is_ok() {
                entries.iter().for_each(|e| read.add(e.index, e.term, e.kind, e.data));
                written = append(&partition, entries)
                    .and_then(|()| read_back.offer(partition.durable_parts(read_back.last())));
            }
            Ok(())
        };
        let scanned = self.scan(dir, &mut take, &meter);
        // In any case: housekeeping may be at work in the directory.
        let closed = partition.close();
        let report = scanned?;
        refuse_damage(&report)?;
        written.and(closed)?;
        let again = Source::list(dir)?;
        if again.files != source.files || again.meta != source.meta || again.bytes(dir)? != before {
            let message = "the CubeFS log changed while it was read: somebody has it open; stop that first";
            return Err(Error::new(Status::Busy, Op::Import, message));
        }
        // Mode sync from here on: the root says so, and what it says is durable.
        let partition = self.open_new(Mode::Sync)?;
        let stored = match partition.hard_state() {
            Ok(state) if state == report.hard_state => Ok(()),
            _ => partition.set_hard_state(report.hard_state),
        };
        let checked = stored.and_then(|()| check(&partition, &report));
        checked.and(partition.close())?;
        if self.read_back(read_back, &report)? != read {
            return Err(lost(Op::Import, "entries are not what was written"));
        }
        meter.finish();
        Ok(report)
    }

    /// What the medium has, as an open after a power cut would find it: once the group runs on it, there is no way back to CubeFS's log.
    fn read_back(&self, begun: ReadBack<'_>, report: &Report) -> Result<Content> {
        let survey = Survey::of_medium(self.engine.storage(), &self.path.join(switch::IMPORT));
        let survey = survey.map_err(|e| if e.status == Status::Damaged { lost(Op::Import, &e.message) } else { e })?;
        if survey.hard_state() != report.hard_state {
            return Err(lost(Op::Import, "the hard state is not what was written"));
        }
        begun.finish(&survey.parts())
    }

    fn open_new(&self, mode: Mode) -> Result<Arc<Partition>> {
        let path = self.path.join(switch::IMPORT);
        let disposition = Disposition::OpenOrCreate;
        let config = PartitionConfig { mode, disposition, ..PartitionConfig::new(path, self.partition_id) };
        let partition = self.engine.open_partition(config)?;
        match partition.last_fault() {
            Some(fault) if partition.status().state != State::ReadWrite => {
                let _ = partition.close();
                Err(fault)
            }
            _ => Ok(partition),
        }
    }
}

/// What the partition says of itself is what was read.
fn check(partition: &Partition, report: &Report) -> Result<()> {
    let status = partition.status();
    let same = (status.first_index, status.last_index, status.last_term, status.hard_state)
        == (report.first_index, report.last_index, report.last_term, report.hard_state);
    if same && report.entries == report.last_index - report.compaction_index {
        return Ok(());
    }
    let message = "what was written is not what was read; this is a bug of the library";
    Err(Error::new(Status::Panic, Op::Import, message))
}

fn append(partition: &Partition, entries: &[EntryRef<'_>]) -> Result<()> {
    // A piece of the file is about as large as a batch may be; a single entry always fits.
    for batch in entries.chunks(4096) {
        partition.append(batch)?;
    }
    Ok(())
}

pub(super) fn refuse_damage(report: &Report) -> Result<()> {
    let Some(damage) = report.damage() else { return Ok(()) };
    let status = match damage.kind {
        super::FindingKind::TooLarge => Status::EntryTooLarge,
        _ => Status::Damaged,
    };
    let more = report.findings.iter().filter(|f| f.damage).count() - 1;
    let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
    let message = format!("{} at byte {}: {}{more}; nothing was changed", damage.file, damage.offset, damage.message);
    Err(Error::new(status, Op::Import, message).range(damage.range.0, damage.range.1))
}

/// A root file's bytes, and what they say.
pub(super) fn read_root_named(dir: &dyn Dir, name: &str) -> Result<(Vec<u8>, Root)> {
    let mut bytes = vec![0; ROOT_BYTES];
    let file = dir.open(name, Access::Read).map_err(switch::fail("opening a root"))?;
    let read = read_full_at(&*file, &mut bytes, 0).map_err(switch::fail("reading a root"))?;
    bytes.truncate(read);
    match Root::decode_file(&bytes) {
        Ok(root) => Ok((bytes, root)),
        Err(e) => Err(Error::new(Status::Damaged, Op::Import, format!("`{name}`: {e}"))),
    }
}
