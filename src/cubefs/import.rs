//! Import in place: Bulkhead's files are made in a subdirectory, checked, and exchanged for CubeFS's, which are kept.

use super::report::{Progress, Report};
use super::scan::{Limits, Meter, Scan};
use super::switch::{self, Shape};
use super::{Conversion, Inspection};
use crate::error::{Error, Op, Result, Status};
use crate::format::cubefs::META_NAME;
use crate::format::{Root, ROOT_BYTES};
use crate::io::{read_full_at, write_durable_at, Access, AlignedBuf, Dir};
use crate::partition::{Disposition, Mode, Partition, PartitionConfig, State, ROOT_NAME};
use std::io;
use std::sync::Arc;

impl Conversion<'_> {
    /// Makes a CubeFS directory a Bulkhead partition, in place. CubeFS's files are kept in `cubefs-original`.
    ///
    /// First finishes or undoes what an earlier import, undo or export was kept from; a directory that is Bulkhead's then is left as it is.
    /// Whatever stops it, the directory is CubeFS's as before, or Bulkhead's, or is refused by both until this is called again.
    ///
    /// Errors: `NotFound` (no log in it), `Damaged` with the range of entries (nothing was changed; `inspect` tells all),
    /// `WrongPartition`, `EntryTooLarge`, `Foreign`, `AlreadyOpen`, `Locked`, `NoSpace`, `IoError` and the like, `UnsupportedFilesystem`.
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
            let report = self.scan(&*dir, &mut |_| Ok(()), 0, 3)?;
            refuse_damage(&report)?;
            if let Err(error) = self.build(&*dir, &report) {
                // The error that led here matters more than one of this.
                let _ = switch::settle(&*dir);
                return Err(error);
            }
            switch::to_bulkhead(&*dir)?;
            Ok(Inspection { report, ..self.look(&*dir)? })
        })
    }

    /// Reads the whole log: pass `pass` of `passes`.
    pub(super) fn scan(
        &self,
        dir: &dyn Dir,
        take: &mut super::scan::Take<'_>,
        pass: u64,
        passes: u64,
    ) -> Result<Report> {
        let bytes = self.source_bytes(dir)?;
        let progress = Progress { done_bytes: pass * bytes, total_bytes: passes * bytes };
        let mut meter = Meter { progress, tell: self.progress };
        let limits = Limits { max_entry_bytes: self.engine.limits().max_entry_bytes, known_index: self.known_index };
        Scan::run(dir, limits, take, &mut |n| meter.add(n))
    }

    fn source_bytes(&self, dir: &dyn Dir) -> Result<u64> {
        let source = super::source::Source::list(dir)?;
        source.files.iter().try_fold(0, |sum, name| {
            let len = dir.open(&name.to_string(), Access::Read).and_then(|f| f.len());
            Ok(sum + len.map_err(switch::fail("reading a file's size"))?)
        })
    }

    /// Everything up to the exchange. Nothing of CubeFS's is touched.
    fn build(&self, dir: &dyn Dir, report: &Report) -> Result<()> {
        let import = switch::make_dir(dir, switch::IMPORT)?;
        dir.sync().map_err(switch::fail("syncing the directory"))?;
        self.write(dir, report)?;
        let root = read_root_file(&*import)?;
        let original = switch::make_dir(dir, switch::CUBEFS_ORIGINAL)?;
        switch::make_dir(&*original, META_NAME)?;
        let copy = original
            .create(switch::IMPORTED_ROOT, Access::Durable)
            .map_err(switch::fail("keeping a copy of the root"))?;
        let mut bytes = AlignedBuf::new();
        bytes.extend_from_slice(&root);
        write_durable_at(&*copy, &bytes, 0).map_err(switch::fail("keeping a copy of the root"))?;
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
        Ok(())
    }

    /// Writes the log through a partition as any other: without syncs first, then durable, then read back.
    fn write(&self, dir: &dyn Dir, report: &Report) -> Result<()> {
        let partition = self.open_new(Mode::None)?;
        if report.compaction_index > 0 {
            partition.reset(report.compaction_index, report.compaction_term)?;
        }
        let again = self.scan(dir, &mut |entries| append(&partition, entries), 1, 3)?;
        partition.close()?;
        drop(partition);
        if again != *report {
            let message = "the CubeFS log changed while it was read: somebody has it open; stop that first";
            return Err(Error::new(Status::Busy, Op::Import, message));
        }
        // Mode sync from here on: the root says so, and what it says is durable.
        let partition = self.open_new(Mode::Sync)?;
        if report.hard_state != partition.hard_state()? {
            partition.set_hard_state(report.hard_state)?;
        }
        self.check(&partition, report)?;
        partition.close()
    }

    fn open_new(&self, mode: Mode) -> Result<Arc<Partition>> {
        let path = self.path.join(switch::IMPORT);
        let disposition = Disposition::OpenOrCreate;
        let config = PartitionConfig { mode, disposition, ..PartitionConfig::new(path, self.partition_id) };
        let partition = self.engine.open_partition(config)?;
        match partition.last_fault() {
            Some(fault) if partition.status().state != State::ReadWrite => Err(fault),
            _ => Ok(partition),
        }
    }

    /// What was written is what was read.
    fn check(&self, partition: &Partition, report: &Report) -> Result<()> {
        let read = partition.verify()?;
        let status = partition.status();
        let same = (read.bad_records, read.entries, read.bytes) == (0, report.entries, report.bytes)
            && (status.first_index, status.last_index, status.last_term)
                == (report.first_index, report.last_index, report.last_term);
        let total = 3 * report.file_bytes;
        (self.progress)(Progress { done_bytes: total, total_bytes: total });
        if same {
            return Ok(());
        }
        let message = "what was written does not read back as it was; the disk loses writes";
        Err(Error::new(Status::Damaged, Op::Import, message))
    }
}

fn append(partition: &Partition, entries: &[crate::EntryRef<'_>]) -> Result<()> {
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

/// A root file's bytes, and what they say; clean, as a close leaves it.
pub(super) fn read_root_file(dir: &dyn Dir) -> Result<Vec<u8>> {
    read_root_named(dir, ROOT_NAME).map(|(bytes, _)| bytes)
}

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
