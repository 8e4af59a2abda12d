//! Backup: a consistent copy of one partition, which may be open, here or in another process. It is read from outside, without its lock, and
//! written like any other partition; the owner notices nothing.

use super::Engine;
use crate::error::{Error, Op, Result, Status};
use crate::io::Dir;
use crate::partition::{
    make_dir, root_arrives, Disposition, EntryRef, HardState, Mode, Partition, PartitionConfig, State, Survey,
    BAD_FILE_PREFIX, NEW_ROOT_NAME, ROOT_NAME,
};
use crate::segment::{remove_if_there, Segment};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Where the copy is made until it is whole. A directory that holds this and no root is refused by every open.
const UNFINISHED: &str = "backup-unfinished";
/// A log that is compacted, or whose suffix is replaced, while it is copied is begun anew, this often at most.
const TRIES: usize = 5;
/// Payload bytes of one append.
const BATCH_BYTES: usize = 4 << 20;

/// What a backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backup {
    pub partition_id: u64,
    /// Empty if first > last.
    pub first_index: u64,
    pub last_index: u64,
    pub last_term: u64,
    /// The source's number of the last record that was read.
    pub last_lsn: u64,
    pub hard_state: HardState,
    pub entries: u64,
    /// Payload.
    pub bytes: u64,
    /// The source was closed: nothing can have been appended since.
    pub closed: bool,
}

impl Backup {
    /// The directory in the target in which a copy is made until it is whole: no partition, and what is left of one that was cut short.
    pub const UNFINISHED: &'static str = UNFINISHED;
}

fn fail(what: &'static str) -> impl Fn(io::Error) -> Error {
    move |e| Error::io(Op::Export, &e, what)
}

impl Engine {
    /// Copies the partition in `source`, as it is at one moment, to `target`, which is made, or empty. Every entry is checked when it is read,
    /// and read back from the copy; then the copy gets its root: until that moment it cannot be opened. It is a directory of its own, with
    /// another incarnation. `tell` is called with the payload bytes done, and about how many there are, reading back included.
    ///
    /// Of an open partition it has what is on its disk, or in the page cache, at that moment: in mode interval not what waits in memory.
    ///
    /// Errors: `AlreadyExists` (the target is not empty), `Locked` (somebody has it open), `Damaged` with the range of entries (repair the
    /// source), `Busy` (it is compacted or replaced more quickly than it can be copied), and those of `Survey::of` and of opening a partition.
    /// What was begun is removed.
    pub fn backup(&self, source: &Path, target: &Path, tell: &dyn Fn(u64, u64)) -> Result<Backup> {
        let at = |e: Error| if e.path.as_os_str().is_empty() { e.at(target) } else { e };
        // Before anything is made: the source must be one.
        Survey::of(self.storage(), source)?;
        let dir = self.empty_target(target)?;
        let begun = dir.mkdir(UNFINISHED).and_then(|()| dir.sync()).map_err(fail("creating a directory"));
        let copied = begun.and_then(|()| self.copy_in_tries(source, target, tell));
        let done = copied.and_then(|backup| finish(&*dir).map(|()| backup)).map_err(at);
        if done.is_err() {
            // What is left says itself that it is unfinished.
            let _ = remove_begun(&*dir);
        }
        done
    }

    fn empty_target(&self, target: &Path) -> Result<Arc<dyn Dir>> {
        let storage = self.storage();
        match make_dir(storage, target) {
            // Who made it may not have come to make its name durable.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => match storage.sync_parent(target) {
                Err(e) if e.kind() != io::ErrorKind::PermissionDenied => {
                    return Err(fail("syncing the target's parent")(e).at(target));
                }
                _ => {}
            },
            other => other.map_err(|e| crate::partition::path_error(target, &e).with_op(Op::Export))?,
        }
        let dir = storage.open_dir(target).map_err(|e| crate::partition::path_error(target, &e).with_op(Op::Export))?;
        // Until the copy is whole: what is in it is nobody's to open, and nobody's to remove as a remnant.
        crate::partition::lock_dir(&*dir, target).map_err(|e| e.with_op(Op::Export))?;
        let mut names = dir.list().map_err(|e| fail("listing the target")(e).at(target))?;
        names.retain(|name| name != "lost+found");
        let unfinished = names.iter().find(|name| *name == UNFINISHED);
        let message = match unfinished.or(names.first()) {
            None => return Ok(dir),
            Some(name) if name == UNFINISHED => {
                "the target holds a backup that was cut short; remove it, or give another directory".to_string()
            }
            Some(name) => format!(
                "the target is not empty, it holds `{name}`; give an empty directory, or one that is to be made"
            ),
        };
        Err(Error::new(Status::AlreadyExists, Op::Export, message).at(target))
    }

    fn copy_in_tries(&self, source: &Path, target: &Path, tell: &dyn Fn(u64, u64)) -> Result<Backup> {
        let unfinished = target.join(UNFINISHED);
        for _ in 0..TRIES {
            let survey = Survey::of(self.storage(), source)?;
            if let Some(fault) = survey.fault() {
                if survey.is_current()? {
                    return Err(fault.clone().at(source));
                }
                // It was changed under the reader: nothing is known of it.
                continue;
            }
            if let Some(backup) = self.copy(&survey, source, &unfinished, tell)? {
                return Ok(backup);
            }
            let dir = self.storage().open_dir(target).map_err(fail("opening the target"))?;
            remove_unfinished(&*dir)?;
            dir.mkdir(UNFINISHED).map_err(fail("creating a directory"))?;
        }
        let message =
            "the log is compacted or replaced more quickly than it can be copied; try again when less is written";
        Err(Error::new(Status::Busy, Op::Export, message).at(source))
    }

    /// One try; nothing if the source was compacted meanwhile, or a suffix of it replaced.
    fn copy(&self, survey: &Survey, source: &Path, to: &Path, tell: &dyn Fn(u64, u64)) -> Result<Option<Backup>> {
        let (first_index, last_index) = survey.bounds();
        let mut backup = Backup {
            partition_id: survey.partition_id(),
            first_index,
            last_index,
            last_term: survey.last_term(),
            last_lsn: survey.last_lsn(),
            hard_state: survey.hard_state(),
            entries: 0,
            bytes: 0,
            closed: survey.is_clean(),
        };
        let total = 2 * survey.log_bytes();
        let mut batch = Batch::default();
        let partition = self.open_copy(to, &backup, Mode::None)?;
        // Entries may be of a later term: a raft may store those first. So the hard state comes before them, the commit as soon as it can.
        let hard_state = backup.hard_state;
        let mut written = partition.set_hard_state(HardState { commit: 0, ..hard_state });
        if let (index @ 1.., term) = survey.compaction() {
            written = written.and_then(|()| partition.reset(index, term));
        }
        let mut later_term = false;
        let bad = survey.read(first_index, last_index, &mut |index, term, kind, data| {
            // A jump: what is missing was compacted while it was read.
            if index != first_index + backup.entries {
                return false;
            }
            if term > hard_state.term && !std::mem::replace(&mut later_term, true) && written.is_ok() {
                written = batch.append_to(&partition).and_then(|()| store_hard_state(&partition, hard_state));
            }
            backup.entries += 1;
            backup.bytes += data.len() as u64;
            batch.add(index, term, kind, data);
            if written.is_ok() && batch.data.len() >= BATCH_BYTES {
                written = batch.append_to(&partition);
                tell(backup.bytes, total);
            }
            written.is_ok()
        });
        let written = written.and_then(|()| batch.append_to(&partition));
        let whole = backup.entries == (last_index + 1).saturating_sub(first_index);
        let closed = partition.close();
        let unread = bad.as_ref().map_or(true, |bad| !bad.is_empty());
        if unread && survey.is_replaced()? {
            return Ok(None);
        }
        if let Some((first, last)) = bad?.first().copied() {
            let range =
                if first == last { format!("entry {first} does") } else { format!("entries {first} to {last} do") };
            let message = format!("{range} not read back; repair the log, or copy another replica's");
            return Err(Error::new(Status::Damaged, Op::Export, message).range(first, last).at(source));
        }
        written?;
        if !whole {
            return Ok(None);
        }
        closed?;
        self.check_copy(to, &backup, &|done| tell(backup.bytes + done, 2 * backup.bytes))?;
        Ok(Some(backup))
    }

    /// Stores the hard state, durably, and reads everything back from the medium.
    fn check_copy(&self, to: &Path, backup: &Backup, tell: &dyn Fn(u64)) -> Result<()> {
        let partition = self.open_copy(to, backup, Mode::Sync)?;
        let stored = store_hard_state(&partition, backup.hard_state);
        let status = partition.status();
        stored.and(partition.close())?;
        let mut done = (0, 0);
        let differs = || {
            let message = "the copy reads back differently from what was written; the disk loses or misplaces writes";
            Error::new(Status::IoError, Op::Export, message)
        };
        let survey = Survey::of_medium(self.storage(), to);
        let survey = survey.map_err(|e| if e.status == Status::Damaged { differs() } else { e })?;
        let bad = survey.read(backup.first_index, backup.last_index, &mut |_, _, _, data| {
            done = (done.0 + 1, done.1 + data.len() as u64);
            tell(done.1);
            true
        })?;
        let same = (status.first_index, status.last_index, status.last_term)
            == (backup.first_index, backup.last_index, backup.last_term)
            && survey.hard_state() == backup.hard_state;
        if same && bad.is_empty() && done == (backup.entries, backup.bytes) {
            return Ok(());
        }
        Err(differs())
    }

    fn open_copy(&self, path: &Path, backup: &Backup, mode: Mode) -> Result<Arc<Partition>> {
        let disposition = Disposition::OpenOrCreate;
        let config = PartitionConfig { mode, disposition, ..PartitionConfig::new(path, backup.partition_id) };
        let partition = self.open_partition(config)?;
        match partition.last_fault() {
            Some(fault) if partition.status().state != State::ReadWrite => {
                let _ = partition.close();
                Err(fault)
            }
            _ => Ok(partition),
        }
    }
}

fn store_hard_state(partition: &Partition, state: HardState) -> Result<()> {
    match partition.hard_state() {
        Ok(stored) if stored == state => Ok(()),
        _ => partition.set_hard_state(state),
    }
}

/// Entries on their way.
#[derive(Default)]
struct Batch {
    data: Vec<u8>,
    /// Index, term, kind, where the data ends.
    entries: Vec<(u64, u64, u8, usize)>,
}

impl Batch {
    fn add(&mut self, index: u64, term: u64, kind: u8, data: &[u8]) {
        self.data.extend_from_slice(data);
        self.entries.push((index, term, kind, self.data.len()));
    }

    fn append_to(&mut self, partition: &Partition) -> Result<()> {
        let mut from = 0;
        let entry = |(index, term, kind, to): &(u64, u64, u8, usize)| {
            let data = self.data.get(from..*to).unwrap_or(&[]);
            from = *to;
            EntryRef { index: *index, term: *term, kind: *kind, data }
        };
        let entries: Vec<EntryRef<'_>> = self.entries.iter().map(entry).collect();
        for some in entries.chunks(4096) {
            partition.append(some)?;
        }
        self.entries.clear();
        self.data.clear();
        Ok(())
    }
}

/// Everything moves to its place, the root last.
fn finish(dir: &dyn Dir) -> Result<()> {
    let unfinished = dir.subdir(UNFINISHED).map_err(fail("opening a directory"))?;
    let names = unfinished.list().map_err(fail("listing a directory"))?;
    for name in names.iter().filter(|name| is_moved(name)) {
        dir.rename(&format!("{UNFINISHED}/{name}"), name).map_err(fail("moving a file"))?;
    }
    dir.sync().and_then(|()| unfinished.sync()).map_err(fail("syncing the target"))?;
    root_arrives(dir, UNFINISHED).map_err(|e| e.with_op(Op::Export))?;
    remove_unfinished(dir)
}

fn is_moved(name: &str) -> bool {
    Segment::parse_name(name).is_some() || name == "META"
}

/// Of a backup that has failed. The root goes first, for good: a copy that its owner takes for failed is not to be opened, nor to be a root
/// whose segments are gone. What says that it is unfinished goes last.
fn remove_begun(dir: &dyn Dir) -> Result<()> {
    remove_if_there(dir, ROOT_NAME).and_then(|()| dir.sync()).map_err(fail("removing the root"))?;
    let names = dir.list().map_err(fail("listing a directory"))?;
    let begun = |name: &&String| is_moved(name) || *name == NEW_ROOT_NAME || name.starts_with(BAD_FILE_PREFIX);
    names.iter().filter(begun).try_for_each(|name| remove(dir, name))?;
    remove_unfinished(dir)
}

/// A file, or an empty directory.
fn remove(dir: &dyn Dir, name: &str) -> Result<()> {
    let removed = match dir.unlink(name) {
        Err(e) if matches!(e.raw_os_error(), Some(libc::EISDIR | libc::EPERM)) => dir.remove_dir(name),
        other => other,
    };
    removed.map_err(fail("removing a file"))
}

fn remove_unfinished(dir: &dyn Dir) -> Result<()> {
    let unfinished = dir.subdir(UNFINISHED).map_err(fail("opening a directory"))?;
    for name in unfinished.list().map_err(fail("listing a directory"))? {
        remove(&*unfinished, &name)?;
    }
    drop(unfinished);
    dir.remove_dir(UNFINISHED).and_then(|()| dir.sync()).map_err(fail("removing a directory"))
}
