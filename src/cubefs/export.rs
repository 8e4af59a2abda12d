//! Export: the log in CubeFS's format, in a new directory or in place of Bulkhead's own.

use super::bad_file::{remove_bad_files, write_around_bad_blocks, write_one, BadFile};
use super::content::{holds, read_back};
use super::import::read_root_named;
use super::names;
use super::report::Progress;
use super::settle::settle;
use super::switch::{self, Shape};
use super::target::{self, NEW_META};
use super::writer::LogWriter;
use super::Conversion;
use crate::error::{Error, Op, Result, Status};
use crate::format::cubefs::{Entry, Meta, META_NAME};
use crate::format::{Root, SNAPSHOT_PENDING};
use crate::io::{write_all_at, Access, Dir};
use crate::partition::{same_opening, Partition, PartitionStatus, State, BULKHEAD_ORIGINAL, ROOT_NAME};
use std::path::Path;
use std::sync::Arc;

/// Payload bytes between two calls of the owner's progress.
const PROGRESS_BYTES: u64 = 1 << 20;

/// What an export wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    pub files: u64,
    pub file_bytes: u64,
    pub entries: u64,
    pub first_index: u64,
    pub last_index: u64,
}

impl Conversion<'_> {
    /// Writes the log, in CubeFS's format, to a directory that does not exist yet. Until it is whole a CubeFS binary refuses it; if it fails
    /// the directory is removed again.
    ///
    /// Errors: `AlreadyExists` (the target), `NotFound`, `AlreadyOpen`, `Locked` (the log is open: close it first), `Busy` (it waits for a
    /// snapshot), `Damaged` (also: what was written does not read back from the disk) and the other causes of a log that is not whole, `NoSpace`, `IoError` and the like.
    pub fn export(&self, target: &Path) -> Result<Exported> {
        let path = target.to_path_buf();
        self.apart(Op::Export, move |c| {
            let path = path.as_path();
            c.settle_bulkhead()?;
            let partition = c.open_existing()?;
            let storage = c.engine.storage();
            let dir = target::make(storage, path)?;
            let exported = c.write_target(&partition, &dir);
            let closed = partition.close();
            let done = exported.and_then(|exported| {
                closed?;
                switch::meta_arrives(&*dir, NEW_META)?;
                Ok(exported)
            });
            // The error that led there matters more than one of tidying up.
            done.inspect_err(|_| drop(target::remove(storage, path, &*dir)))
        })
    }

    fn write_target(&self, partition: &Partition, dir: &Arc<dyn Dir>) -> Result<Exported> {
        // A directory of this name: a CubeFS binary refuses what is not whole yet.
        names::make_dir(&**dir, META_NAME)?;
        dir.sync().map_err(fail("syncing the target"))?;
        self.write_out(partition, dir, NEW_META)
    }

    /// Makes a Bulkhead directory CubeFS's. Bulkhead's files are kept in `bulkhead-original`, together with what an import had kept.
    /// As safe against being cut short as an import. If it fails, what it has written is removed again.
    ///
    /// Errors: `AlreadyExists` (an earlier export's `bulkhead-original` is still there: discard it first), and those of `export`.
    pub fn export_in_place(&self) -> Result<Exported> {
        self.apart(Op::Export, |c| {
            let dir = c.settle_bulkhead()?;
            if dir.subdir(BULKHEAD_ORIGINAL).is_ok() {
                let message = "`bulkhead-original` of an earlier export is still there; discard it first";
                return Err(Error::new(Status::AlreadyExists, Op::Export, message));
            }
            let export = names::make_dir(&*dir, switch::EXPORT)?;
            let before = read_root_named(&*dir, ROOT_NAME).ok().map(|(_, root)| root);
            drop(dir); // and with it the lock, which the log takes
            let tidy = |dir: &dyn Dir| drop(settle(dir)); // the error that led there matters more than one of it
            let written = c.write_beside(&export);
            let (exported, status) = written.inspect_err(|_| drop(c.lock().map(|dir| tidy(&*dir))))?;
            let dir = c.lock()?;
            check_still(&*dir, before, &status).inspect_err(|_| tidy(&*dir))?;
            switch::to_cubefs(&*dir, switch::EXPORT, BULKHEAD_ORIGINAL)?;
            names::remove_tree(&*dir, switch::EXPORT)?;
            Ok(exported)
        })
    }

    /// The log, opened, in CubeFS's format, and what it was when it was read.
    fn write_beside(&self, export: &Arc<dyn Dir>) -> Result<(Exported, PartitionStatus)> {
        let partition = self.open_existing()?;
        let exported = self.write_out(&partition, export, META_NAME);
        let status = partition.status();
        let closed = partition.close();
        let exported = exported?;
        closed.map(|()| (exported, status))
    }

    fn settle_bulkhead(&self) -> Result<Arc<dyn Dir>> {
        let dir = self.lock()?;
        match self.settle(&*dir)? {
            Shape::Bulkhead => Ok(dir),
            Shape::Cubefs => Err(Error::new(
                Status::NotFound,
                Op::Export,
                "the directory holds a CubeFS log already, and no Bulkhead log",
            )),
            _ => Err(Error::new(Status::NotFound, Op::Export, "the directory holds no log")),
        }
    }

    fn write_out(&self, partition: &Partition, dir: &Arc<dyn Dir>, meta_name: &str) -> Result<Exported> {
        let status = partition.status();
        let (files, file_bytes) = write_around_bad_blocks(&**dir, |bad| self.write_logs(partition, &status, dir, bad))?;
        let hard_state = status.hard_state;
        let meta = Meta {
            term: hard_state.term,
            commit: hard_state.commit,
            vote: hard_state.vote,
            compaction_index: status.compaction_index,
            compaction_term: status.compaction_term,
        };
        let meta = meta.encode();
        let sum = crc32c::crc32c(&meta);
        write_one(&**dir, &[meta_name], || {
            let file = dir.create(meta_name, Access::Buffered).map_err(fail("creating META"))?;
            write_all_at(&*file, &[&meta], 0).and_then(|()| file.sync()).map_err(fail("writing META"))?;
            read_back(Op::Export, &**dir, meta_name, |file| holds(file, meta.len() as u64, sum))
        })?;
        remove_bad_files(Op::Export, &**dir)?;
        dir.sync().map_err(fail("syncing the new files"))?;
        let total_bytes = status.segment_bytes.max(1);
        (self.progress)(Progress { done_bytes: total_bytes, total_bytes });
        let (first_index, last_index) = (status.first_index, status.last_index);
        let entries = (last_index + 1).saturating_sub(first_index);
        Ok(Exported { files, file_bytes, entries, first_index, last_index })
    }

    /// The log files: how many, and their bytes. `bad` is set to the one that stopped it.
    fn write_logs(
        &self,
        partition: &Partition,
        status: &PartitionStatus,
        dir: &Arc<dyn Dir>,
        bad: &mut Option<BadFile>,
    ) -> Result<(u64, u64)> {
        let (first, last) = (status.first_index, status.last_index);
        let total_bytes = status.segment_bytes.max(1);
        let first_named = if first <= last { first } else { 1 };
        let mut writer = LogWriter::create(dir, first_named, self.engine.has_threads(), status.segment_bytes)?;
        let mut progress = Progress { done_bytes: 0, total_bytes };
        let mut untold = 0;
        let mut written = Ok(());
        if first <= last {
            // In one read: a segment that is wanted whole is not indexed first.
            partition.read_into(first, last + 1, u64::MAX, &mut |index, term, kind, data| {
                written = writer.push(&Entry { kind, term, index, data });
                untold += data.len() as u64;
                if untold >= PROGRESS_BYTES {
                    progress.done_bytes = (progress.done_bytes + untold).min(total_bytes);
                    untold = 0;
                    (self.progress)(progress);
                }
                written.is_ok()
            })?;
        }
        written.and_then(|()| writer.finish()).inspect_err(|_| *bad = writer.bad_file())
    }

    /// Opens the log that is there, whole and writable.
    pub(super) fn open_existing(&self) -> Result<Arc<Partition>> {
        let config = crate::PartitionConfig {
            disposition: crate::Disposition::OpenExisting,
            known_index: self.known_index,
            ..crate::PartitionConfig::new(&self.path, self.partition_id)
        };
        let partition = self.engine.open_partition(config)?;
        let PartitionStatus { damaged, hard_state, .. } = partition.status();
        let refused = match partition.last_fault() {
            Some(fault) if partition.status().state != State::ReadWrite => fault,
            _ if damaged.2 > 0 => {
                let message = "entries of the log are damaged; restore the replica from its peers";
                Error::new(Status::Damaged, Op::Export, message).range(damaged.0, damaged.1)
            }
            _ if hard_state.vote & SNAPSHOT_PENDING != 0 => {
                let message =
                    "the replica has begun to take a snapshot, and its state machine may be ahead of the log: \
                               start its group, which asks for the snapshot again, and convert the log then";
                Error::new(Status::Busy, Op::Export, message)
            }
            _ => return Ok(partition),
        };
        let _ = partition.close();
        Err(refused)
    }
}

/// Nobody has changed the log since it was read, in the opening of `status`: the root is still the one from before, or that opening's own.
fn check_still(dir: &dyn Dir, before: Option<Root>, status: &PartitionStatus) -> Result<()> {
    let (_, root) = read_root_named(dir, ROOT_NAME)?;
    let hard_state = (status.hard_state.term, status.hard_state.vote, status.hard_state.commit);
    let same = root.clean
        && (Some(root) == before || same_opening(&root.epoch, &status.epoch))
        && root.incarnation == status.incarnation
        && (root.term, root.vote, root.commit) == hard_state
        && (root.compaction_index, root.end.index.max(root.compaction_index))
            == (status.compaction_index, status.last_index);
    if same {
        return Ok(());
    }
    Err(Error::new(Status::Busy, Op::Export, "somebody opened the log while it was exported; try again"))
}

fn fail(what: &str) -> impl Fn(std::io::Error) -> Error + '_ {
    move |e| Error::io(Op::Export, &e, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::sim::SimDisk;
    use crate::io::Storage;
    use crate::{Engine, EngineConfig, EntryRef, HardState, PartitionConfig};
    use std::ops::RangeInclusive;

    const PATH: &str = "/log";

    fn engine(disk: &SimDisk) -> Engine {
        Engine::stepped(EngineConfig::default(), disk, disk.ops() + 1).expect("an engine")
    }

    /// `work` on the open log, which is closed then.
    fn opened<T>(disk: &SimDisk, work: impl FnOnce(&Partition) -> T) -> T {
        let engine = engine(disk);
        let partition = engine.open_partition(PartitionConfig::new(PATH, 7)).expect("it opens");
        let done = work(&partition);
        partition.close().expect("it closes");
        engine.close().expect("nothing is open");
        done
    }

    fn append(partition: &Partition, indexes: RangeInclusive<u64>, term: u64) {
        for index in indexes {
            let entry = EntryRef { index, term, kind: 0, data: &[term as u8; 100] };
            partition.append(&[entry]).expect("it is appended");
        }
    }

    /// Between the close of the log that was read and the lock somebody else may have it: the last entries replaced by as many, of another term
    /// or of the same, with the hard state as it was.
    #[test]
    fn a_log_that_was_changed_while_it_was_exported_is_not_switched() {
        // Whether it was closed before the export; if not, the export's own opening writes the root.
        for (closed, replaced) in [true, false].into_iter().flat_map(|c| [None, Some(5), Some(7)].map(|r| (c, r))) {
            let disk = SimDisk::new(1);
            let killed = opened(&disk, |p| {
                p.set_hard_state(HardState { term: 7, vote: 2, commit: 0 }).expect("it is set");
                append(p, 1..=40, 5);
                disk.fork()
            });
            let disk = if closed { disk } else { killed };
            let dir = disk.open_dir(PATH.as_ref()).expect("it is there");
            let before = read_root_named(&*dir, ROOT_NAME).ok().map(|(_, root)| root);
            let status = opened(&disk, |p| p.status());
            if let Some(term) = replaced {
                opened(&disk, |p| append(p, 39..=40, term));
            }
            let checked = check_still(&*dir, before, &status).map_err(|e| e.status);
            let expected = if replaced.is_some() { Err(Status::Busy) } else { Ok(()) };
            assert_eq!(checked, expected, "closed: {closed}, replaced: {replaced:?}");
        }
    }
}
