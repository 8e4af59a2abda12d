//! The root file on disk: written as pairs of slots, replaced after a failure, never written again then.

use super::parts::Wish;
use super::types::{Mode, State};
use super::{Host, Log, Partition, Reserved};
use crate::error::{errno_of, Cause, Error, Op, Result};
use crate::format::{Id, Root};
use crate::io::{write_durable_at, write_durable_in_one, Access, AlignedBuf, Dir};
use crate::segment::{remove_if_there, Recycled, Segment};
use std::io;
use std::time::Duration;

pub const ROOT_NAME: &str = "root";
pub(crate) const NEW_ROOT_NAME: &str = "root.new";
/// An epoch whose first half is zeros: no segment has it, so that the log ends where the root says.
const NO_SEGMENTS: [u8; 8] = [0; 8];
/// lsns that may be used until the root is written again: more than a segment holds records, and the root is written for each segment.
const LSN_AHEAD: u64 = 1 << 32;

/// Before each try to replace a root that could not be written.
const REPLACE_PAUSES: [Duration; 2] = [Duration::ZERO, Duration::from_millis(10)];

/// Writes roots, one at a time.
#[derive(Default)]
pub(super) struct RootWriter {
    pub generation: u64,
    /// An operation on the file failed or has not ended: the next write makes a new file.
    pub broken: bool,
    /// The file's name is known to be durable. What an open finds may have been put in place by a rename that nobody has synced.
    named: bool,
    /// `replace` got as far as the rename.
    pub renamed: bool,
    buf: AlignedBuf,
}

impl RootWriter {
    /// For a root that lies in a file. `named` if the file's name is durable, or if that is its caller's affair.
    pub fn over(root: &Root, named: bool) -> RootWriter {
        RootWriter { generation: root.generation, named, ..RootWriter::default() }
    }

    /// Makes `root` durable.
    pub fn write(&mut self, dir: &dyn Dir, root: &mut Root, host: Option<&dyn Host>) -> io::Result<()> {
        if !self.broken {
            match self.write_in_place(dir, root) {
                Err(e) if e.kind() == io::ErrorKind::WriteZero => {}
                done => return done,
            }
        }
        self.replace(dir, root, host)
    }

    /// In one write: one that ends short may leave both slots of the pair torn, and a pair that is torn may have held the newest vote.
    fn write_in_place(&mut self, dir: &dyn Dir, root: &mut Root) -> io::Result<()> {
        self.generation += 1;
        root.generation = self.generation;
        // Broken until proven otherwise: a panic in here counts as a failure, too.
        self.broken = true;
        let (bytes, offset) = root.encode_pair();
        self.buf.clear();
        self.buf.extend_from_slice(&bytes);
        let file = dir.open(ROOT_NAME, Access::Durable)?;
        write_durable_in_one(&*file, &self.buf, offset)?;
        self.sync_name(dir)
    }

    fn sync_name(&mut self, dir: &dyn Dir) -> io::Result<()> {
        if !self.named {
            dir.sync()?;
        }
        self.named = true;
        self.broken = false;
        Ok(())
    }

    /// A new file takes the place of the old one. *Clean* is said in place only, once the file's name is durable: the next open believes a
    /// clean root as it is, and must not meet one whose rename no sync has covered.
    pub fn replace(&mut self, dir: &dyn Dir, root: &mut Root, host: Option<&dyn Host>) -> io::Result<()> {
        if !root.clean {
            return self.replace_file(dir, root, host);
        }
        self.replace_file(dir, &mut ended(root), host)?;
        self.write_in_place(dir, root)
    }

    /// On a full disk the new file comes out of the host's reserve.
    fn replace_file(&mut self, dir: &dyn Dir, root: &mut Root, host: Option<&dyn Host>) -> io::Result<()> {
        (self.broken, self.renamed) = (true, false);
        // Both pairs of a new file are written: one of them as the generation before.
        self.generation += 1;
        root.generation = self.generation;
        remove_if_there(dir, NEW_ROOT_NAME)?;
        self.buf.clear();
        self.buf.extend_from_slice(&root.encode_file());
        let fresh = dir.create(NEW_ROOT_NAME, Access::Durable).and_then(|f| write_durable_at(&*f, &self.buf, 0));
        match (fresh, host) {
            (Err(e), Some(host)) if Cause::of_errno(errno_of(&e)) == Cause::NoSpace => {
                let reserved = dir.adopt(host.reserved(Reserved::Root, self.buf.len() as u64).ok_or(e)?);
                write_durable_at(&*reserved, &self.buf, 0)?;
                remove_if_there(dir, NEW_ROOT_NAME)?;
                dir.link(&*reserved, NEW_ROOT_NAME)?;
            }
            (fresh, _) => fresh?,
        }
        self.named = false;
        dir.rename(NEW_ROOT_NAME, ROOT_NAME)?;
        self.renamed = true;
        self.sync_name(dir)
    }

    /// Both pairs where they are, one after the other: this takes no space.
    pub fn overwrite(&mut self, dir: &dyn Dir, root: &mut Root, host: &dyn Host) -> io::Result<()> {
        self.broken = false;
        (0..2).try_for_each(|_| self.write(dir, root, Some(host)))
    }
}

impl Partition {
    /// Plans a root write that `change` describes. Returns the version to wait for.
    pub(super) fn want_root(&self, log: &mut Log, change: impl FnOnce(&mut Root)) -> Wish {
        change(&mut log.desired);
        log.root.wanted += 1;
        Wish { version: log.root.wanted, faults: log.fault_count }
    }

    /// Waits until the root of `version` is durable; in mode none on this thread, else on a worker and for a limited time.
    pub(super) fn store_root(&self, wish: Wish, op: Op) -> Result<()> {
        if self.mode == Mode::None {
            return self.write_root(wish);
        }
        let mut log = self.log.lock();
        self.schedule(&mut log);
        let mut deadline = self.stall_deadline();
        loop {
            if let Some(outcome) = log.ended_wait(wish.faults, |end| end.root >= wish.version) {
                return outcome;
            }
            if log.root.done >= wish.version {
                return Ok(());
            }
            self.check_root_writable(&log, op)?;
            if self.wait_behind_check(&mut log, &mut deadline)
                && log.root.done < wish.version
                && log.fault_count == wish.faults
            {
                self.latch_stalled(&mut log, op);
            }
        }
    }

    /// Writes the root as wanted by now. A failure latches the partition.
    pub(super) fn write_root(&self, wish: Wish) -> Result<()> {
        let Some(mut writer) = self.root.try_lock_until(self.lock_until(self.stall_deadline())) else {
            // Its wish must not come true later, when its caller has been told that it failed.
            let mut log = self.log.lock();
            self.latch_stalled(&mut log, Op::HardState);
            return Err(self.fault_error(&log, Op::HardState));
        };
        let (mut root, writing, faults) = {
            let log = self.log.lock();
            if let Some(outcome) = log.ended_wait(wish.faults, |end| end.root >= wish.version) {
                return outcome;
            }
            if log.root.done >= wish.version {
                return Ok(());
            }
            (self.root_now(&log), log.root.wanted, log.fault_count)
        };
        let dir = self.dir(Op::HardState)?;
        let result = self.write_or_replace(&mut writer, &*dir, &mut root);
        let mut log = self.log.lock();
        if log.fault_count != faults && log.state != State::Recovering {
            // Abandoned while it was in the kernel: whatever it did, the next write makes a new file.
            writer.broken = true;
            return Err(self.fault_error(&log, Op::HardState));
        }
        if let Err(e) = result {
            let error = self.io_error(Op::HardState, &e, "writing the root", ROOT_NAME);
            let recovering = log.state == State::Recovering;
            self.latch(&mut log, error.clone(), State::Unavailable);
            // Who asked for a recovery hears what failed this time.
            return Err(if recovering { error } else { self.fault_error(&log, Op::HardState) });
        }
        log.stored = root;
        log.root.done = log.root.done.max(writing);
        self.changed.notify_all();
        Ok(())
    }

    /// A root that cannot be written is replaced, twice at most: the file is small, and whoever waits for a vote waits for this.
    fn write_or_replace(&self, writer: &mut RootWriter, dir: &dyn Dir, root: &mut Root) -> io::Result<()> {
        let first = match writer.write(dir, root, Some(&*self.host)) {
            Err(e) => e,
            written => return written,
        };
        let error = self.io_error(Op::HardState, &first, "writing the root", ROOT_NAME);
        if self.patience(error.cause(), true).is_zero() {
            return Err(first);
        }
        let told = self.tell_before_retry(&error);
        for pause in REPLACE_PAUSES {
            self.host.pause(pause);
            if writer.write(dir, root, Some(&*self.host)).is_ok() {
                if told {
                    self.tell_end_of_trouble(&self.log.lock());
                }
                return Ok(());
            }
        }
        Err(first)
    }

    /// The root that says what is true now. Its commit never exceeds what is durable.
    fn root_now(&self, log: &Log) -> Root {
        let durable = log.commit.min(log.durable.index).min(log.first_pending() - 1);
        let commit = durable.max(log.stored.commit.min(log.commit)).max(log.desired.compaction_index);
        Root {
            commit,
            lsn_limit: log.next_lsn.saturating_add(LSN_AHEAD),
            mark: log.durable.lsn.max(log.desired.mark),
            mode: log.found_mode.unwrap_or(self.mode as u32),
            ..log.desired
        }
    }

    /// Creates and names the planned segments up to `sequence`, in order: the root's range never has a number without a file.
    pub(super) fn back_segments(&self, sequence: u64) -> Result<()> {
        loop {
            // For one segment only: who needs the next one does not wait for all that are planned.
            let Some(_one_at_a_time) = self.allocation.try_lock_until(self.lock_until(self.stall_deadline())) else {
                return Err(self.stalled_error(&self.log.lock(), Op::Allocate));
            };
            let (segment, recycled, faults) = {
                let mut log = self.log.lock();
                if !matches!(log.state, State::ReadWrite | State::Recovering) {
                    return Err(self.fault_error(&log, Op::Allocate));
                }
                let Some(segment) = log.unbacked.front().filter(|s| s.sequence() <= sequence).cloned() else {
                    return Ok(());
                };
                let recycled = self.take_recycled(&mut log, segment.capacity);
                (segment, recycled, log.fault_count)
            };
            let file = self.create_file(&segment, recycled.as_ref(), Op::Allocate)?;
            if self.log.lock().fault_count != faults {
                return Err(self.fault_error(&self.log.lock(), Op::Allocate));
            }
            self.name_segment(&segment, 0)?;
            let mut log = self.log.lock();
            if log.fault_count != faults {
                return Err(self.fault_error(&log, Op::Allocate));
            }
            log.unbacked.pop_front();
            segment.publish(file);
            if log.put_off.take().is_some() {
                self.tell_end_of_trouble(&log);
            }
            if segment.sequence() > log.newest_begun {
                log.spares.push_back(segment);
            }
        }
    }

    /// From this root write on the segment counts. Every record up to lsn `durable` is known to be so, whatever has been acknowledged.
    pub(super) fn name_segment(&self, segment: &Segment, durable: u64) -> Result<()> {
        let version = {
            let mut log = self.log.lock();
            log.tried_sequence = segment.sequence();
            let epoch = segment.header.epoch;
            self.want_root(&mut log, |root| {
                root.last_segment = segment.sequence();
                root.epoch = epoch;
                root.mark = durable;
                root.clean = false;
            })
        };
        self.write_root(version)
    }

    fn take_recycled(&self, log: &mut Log, capacity: u64) -> Option<Recycled> {
        let fit = log.recyclable.iter().position(|file| file.bytes >= capacity)?;
        Some(log.recyclable.swap_remove(fit))
    }
}

/// The same, not clean yet: of an opening that has made no segment, so that the log ends where the root says.
pub(super) fn ended(root: &Root) -> Root {
    let mut epoch = root.epoch;
    epoch[..8].copy_from_slice(&NO_SEGMENTS);
    Root { clean: false, epoch, ..*root }
}

/// True for the epoch of an opening that has made no segment.
pub(super) fn has_no_segments(epoch: &Id) -> bool {
    epoch[..8] == NO_SEGMENTS
}

/// The second half tells the opening.
pub(crate) fn same_opening(a: &Id, b: &Id) -> bool {
    a[8..] == b[8..]
}

/// The root of a closed log that was written as a whole, in a directory that has none.
pub(crate) fn first_root(dir: &dyn Dir, root: &mut Root) -> io::Result<()> {
    RootWriter::default().replace(dir, root, None)
}

/// The error of a root that cannot be read as one.
pub(super) fn root_error(error: &crate::format::RootError, op: Op) -> Error {
    use crate::error::Status;
    let (status, advice) = match error {
        crate::format::RootError::VersionTooNew(_) => (Status::VersionTooNew, "use a newer library"),
        _ => (Status::Damaged, "restore the replica from its peers or a backup; the vote it cast may be lost"),
    };
    Error::new(status, op, format!("{error}; {advice}"))
}
