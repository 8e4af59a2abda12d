//! Open: find or make the directory, lock it, recover what is in it.

use super::counts::PartitionCounts;
use super::directory::{read_root, StoredRoot};
use super::limits::{Limit, Limits, PartitionLimits};
use super::log::Log;
use super::parts::{Extent, Live};
use super::recovery::{Found, Recovery};
use super::rescue::rescue_unsynced;
use super::root::{RootWriter, ROOT_NAME};
use super::types::{Mode, PartitionConfig, State};
use super::watch::classify;
use super::{Disposition, Host, Partition};
use crate::error::{errno_of, Cause, Error, Op, Result, Status};
use crate::format::{BeginData, LogEnd, Root, MAX_COUNTER};
use crate::io::{Access, Calls, Dir, Filesystem, Storage};
use crate::segment::Segment;
use crate::sync::{Condvar, Mutex};
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};

/// The next root written must be one that the format's bounds allow.
const COUNTERS_LEAVE_ROOM: u64 = MAX_COUNTER / 2;

/// Creates the directory if the disposition says so, opens and locks it.
pub fn open_dir(storage: &dyn Storage, config: &PartitionConfig) -> Result<(Arc<dyn Dir>, bool)> {
    let path = config.path.as_path();
    let fail = |e: &io::Error| path_error(path, e).partition(config.partition_id);
    let mut created = false;
    let dir = match (storage.open_dir(path), config.disposition) {
        (Ok(_), Disposition::CreateNew) => {
            let message = "the directory exists already; open it, or choose another path";
            return Err(Error::new(Status::AlreadyExists, Op::Open, message).at(path).partition(config.partition_id));
        }
        (Err(e), Disposition::OpenOrCreate | Disposition::CreateNew) if e.kind() == io::ErrorKind::NotFound => {
            storage.create_dir(path).map_err(|e| fail(&e))?;
            created = true;
            storage.open_dir(path).map_err(|e| fail(&e))?
        }
        (other, _) => other.map_err(|e| fail(&e))?,
    };
    dir.lock().map_err(|e| match e.raw_os_error() {
        Some(libc::EWOULDBLOCK) => {
            let message = "another process or engine has this directory open; close it there first";
            Error::new(Status::Locked, Op::Open, message).at(path).partition(config.partition_id)
        }
        _ => unsupported(Error::io(Op::Open, &e, "locking the directory")).at(path).partition(config.partition_id),
    })?;
    // Without a root nothing was ever acknowledged here: who made the directory may not have come to make its name durable.
    if !created && dir.open(ROOT_NAME, Access::Read).is_err_and(|e| e.kind() == io::ErrorKind::NotFound) {
        match storage.sync_parent(path) {
            // A parent that this process cannot read is not where it has made a directory.
            Err(e) if e.kind() != io::ErrorKind::PermissionDenied => {
                let error = Error::io(Op::Open, &e, "syncing the directory's parent");
                return Err(error.at(path).partition(config.partition_id));
            }
            _ => {}
        }
    }
    Ok((dir, created))
}

pub fn path_error(path: &Path, e: &io::Error) -> Error {
    let (status, message) = match e.raw_os_error() {
        Some(libc::ENOENT) => (
            Status::NotFound,
            "the directory, or the one it is to be made in, does not exist; only the last path component is made",
        ),
        // O_NOFOLLOW with O_DIRECTORY reports a symbolic link as ENOTDIR.
        Some(libc::ENOTDIR) if path.symlink_metadata().is_ok_and(|m| m.file_type().is_symlink()) => {
            (Status::Symlink, "the path is a symbolic link; give the directory it points to")
        }
        Some(libc::ELOOP) => (Status::Symlink, "the path is a symbolic link; give the directory it points to"),
        Some(libc::ENOTDIR) => (Status::NotADirectory, "the path is not a directory"),
        Some(libc::EACCES | libc::EPERM) => {
            (Status::PermissionDenied, "no permission; the directory must be readable and writable by this process")
        }
        _ => return Error::io(Op::Open, e, "opening the directory").at(path),
    };
    let mut error = Error::new(status, Op::Open, message).at(path);
    error.errno = e.raw_os_error().unwrap_or(0);
    error
}

/// A filesystem that refuses a call the log is built on cannot keep what any mode promises.
fn unsupported(error: Error) -> Error {
    if !matches!(error.errno, libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP) {
        return error;
    }
    let message = format!("{}: this filesystem cannot hold a log; use ext4, xfs or btrfs", error.message);
    Error { status: Status::UnsupportedFilesystem, message, ..error }
}

/// Errors that are the caller's to mend: the open fails and there is no partition. All others leave one that is Unavailable.
fn is_refusal(status: Status) -> bool {
    matches!(
        status,
        Status::Foreign
            | Status::NeedsImport
            | Status::NotFound
            | Status::VersionTooNew
            | Status::WrongPartition
            | Status::PermissionDenied
            | Status::UnsupportedFilesystem
    )
}

impl Partition {
    /// Opens the partition in a locked directory. I/O errors and damage make it Unavailable with its cause, not fail.
    pub fn open(
        dir: Arc<dyn Dir>,
        config: &PartitionConfig,
        limits: Arc<Limits>,
        host: Arc<dyn Host>,
        created: bool,
    ) -> Result<Arc<Partition>> {
        let partition = Arc::new_cyclic(|me| Partition {
            id: config.partition_id,
            mode: config.mode,
            path: config.path.clone(),
            known_index: config.known_index,
            must_exist: config.disposition == Disposition::OpenExisting,
            limits: PartitionLimits::new(limits),
            counts: Arc::new(PartitionCounts::new(config.partition_id, config.mode)),
            disk_counts: host.counts(),
            calls: watched_calls(me, &host),
            log: Mutex::new(Log::new()),
            host,
            me: me.clone(),
            tag: Arc::new(AtomicU64::new(0)),
            dir: Mutex::new(Some(dir)),
            changed: Condvar::new(),
            root: Mutex::new(RootWriter::default()),
            allocation: Mutex::new(()),
            operation: Mutex::new(()),
            syncing: Mutex::new(()),
            maintenance: Mutex::new(()),
        });
        let began = partition.host.now();
        let loaded = partition.load(created);
        partition.disk_counts.open_times.note_time(partition.host.now() - began);
        if let Err(error) = loaded {
            let mut error = error.partition(partition.id);
            if matches!(error.errno, libc::EACCES | libc::EPERM) {
                error.status = Status::PermissionDenied;
                error.message =
                    "no permission; the directory and its files must be readable and writable by this process".into();
            }
            let error = if error.path.as_os_str().is_empty() { error.at(&partition.path) } else { error };
            if is_refusal(error.status) {
                partition.log.lock().state = State::Closed;
                // The host never had it: it is not told that this one has let go.
                *partition.dir.lock() = None;
                return Err(error);
            }
            let mut log = partition.log.lock();
            let waits = error.cause() == Cause::NoSpace && log.loaded && log.sound;
            partition.latch(&mut log, error, if waits { State::ReadOnly } else { State::Unavailable });
        } else {
            partition.log.lock().state = State::ReadWrite;
        }
        {
            let log = partition.log.lock();
            partition.show_health(&log);
            partition.show_levels(&log);
        }
        // An open takes as long as its disk does.
        partition.calls.unwatch();
        Ok(partition)
    }

    /// Reads the directory into memory. Also the first half of a recovery when an earlier load failed.
    pub(super) fn load(&self, created: bool) -> Result<()> {
        let dir = self.dir(Op::Open)?;
        let StoredRoot { mut root, twice } = match if created { None } else { read_root(&*dir)? } {
            Some(stored) => stored,
            None if self.must_exist => {
                let message = "the directory holds no log; create it with another disposition if a new one is meant";
                return Err(Error::new(Status::NotFound, Op::Open, message));
            }
            None => StoredRoot { root: self.initialise(&*dir)?, twice: true },
        };
        if root.partition_id != self.id {
            let message = format!(
                "the directory belongs to partition {}, not {}; give that id or another path",
                root.partition_id, self.id
            );
            return Err(Error::new(Status::WrongPartition, Op::Open, message));
        }
        if root.generation.max(root.lsn_limit).max(root.last_segment) > COUNTERS_LEAVE_ROOM {
            let message =
                "the root's counters are at the end of their range, which no log reaches; restore the replica";
            return Err(Error::new(Status::Damaged, Op::Open, message));
        }
        if !twice {
            self.renew_root(&*dir, &mut root)?;
        }
        let recovery = |access| Recovery { dir: &*dir, root: &root, access, known_index: self.known_index }.run();
        let direct = self.has_direct_io(&*dir)?;
        let mut found = recovery(Access::ReadDirect);
        if twice && !root.clean && !direct && found.fault.is_none() {
            self.renew_root(&*dir, &mut root)?;
        }
        let recovery = |access| Recovery { dir: &*dir, root: &root, access, known_index: self.known_index }.run();
        if !root.clean && found.fault.is_none() {
            let unsynced = if direct { self.cached_only(&root, &found, recovery) } else { unsure(&mut found) };
            if let Some((cached, durable, end)) = unsynced {
                self.sync_found(&*dir, if direct { &found } else { &cached })?;
                if let Err(error) = self.load_from_cache(&*dir, root, cached, durable, end) {
                    if let Some(orphan) = self.host.orphan(&root.incarnation) {
                        // It has to be looked at before the log is served: the next try begins at the beginning.
                        self.host.keep_orphan(orphan);
                        self.log.lock().sound = false;
                    }
                    return Err(error);
                }
                return self.take_orphan_in(&root);
            }
        }
        let fault = found.fault.take();
        if fault.is_none() && !root.clean {
            self.sync_found(&*dir, &found)?;
        }
        self.adopt(&*dir, root, found, fault.is_none())?;
        match fault {
            Some(fault) => Err(fault),
            None => self.take_orphan_in(&root),
        }
    }

    /// Makes a fresh directory a partition. A crash on the way leaves one that is fresh still.
    fn initialise(&self, dir: &dyn Dir) -> Result<Root> {
        // CubeFS's own WAL opens a file META in its directory; a directory of that name makes it refuse ours.
        match dir.mkdir("META") {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(Error::io(Op::Open, &e, "creating META")),
            _ => {}
        }
        let mut root = Root {
            partition_id: self.id,
            incarnation: self.host.random_id(),
            epoch: self.host.random_id(),
            first_segment: 1,
            lsn_limit: 1,
            mode: self.mode as u32,
            clean: true,
            ..Root::default()
        };
        let created = self.root.lock().replace(dir, &mut root, None);
        created.map_err(|e| unsupported(Error::io(Op::Open, &e, "creating the root")))?;
        Ok(root)
    }

    fn has_direct_io(&self, dir: &dyn Dir) -> Result<bool> {
        let file = dir.open(ROOT_NAME, Access::Durable).map_err(|e| Error::io(Op::Open, &e, "opening the root"))?;
        Ok(file.writes_are_durable())
    }

    /// What an unclean open sees and the medium lacks: after a sync that failed the kernel calls pages clean and never writes them. Only
    /// mode none leaves such. Returns what was found, and what of it is durable: the last index and the position behind it.
    fn cached_only(&self, root: &Root, medium: &Found, recovery: impl Fn(Access) -> Found) -> Option<Unsynced> {
        if root.mode != Mode::None as u32 {
            return None;
        }
        let cached = recovery(Access::Read);
        if cached.fault.is_some() || cached.end.segment == 0 || cached.end.last_lsn <= medium.end.last_lsn {
            return None;
        }
        // Entries that a newer segment replaces are not those that the medium has.
        let newer = cached.chain.iter().filter(|l| l.segment.sequence() > medium.end.segment);
        let newer = newer.map(|l| l.first).min().unwrap_or(u64::MAX);
        Some((cached, medium.last.0.min(newer.saturating_sub(1)), medium.end))
    }

    /// The entries that may not be durable are checked like all others, so they are good; they are written anew, into a new segment.
    fn load_from_cache(&self, dir: &dyn Dir, root: Root, cached: Found, durable: u64, end: BeginData) -> Result<()> {
        self.adopt(dir, root, cached, true)?;
        let rescue = {
            let mut log = self.log.lock();
            // Until this is done a recovery has to begin at the beginning.
            log.sound = false;
            rescue_unsynced(&log, durable.max(log.compaction.0) + 1, end)
        };
        let healed = self.heal_with(&rescue, true);
        let mut log = self.log.lock();
        if log.state != State::Recovering {
            return Err(self.fault_error(&log, Op::Recover));
        }
        match healed {
            Ok(()) => {}
            // It can be read and vote as it is; what is to be written anew waits for space.
            Err(e) if e.cause() == Cause::NoSpace => {
                log.durable = Extent { lsn: end.last_lsn, index: durable, end, ..log.durable };
                log.sound = true;
                return Err(e);
            }
            Err(e) => return Err(e),
        }
        log.sound = true;
        Ok(())
    }

    /// Writes a root anew that one more fault would take: one whose write was cut short after one of its two slots, and, where nobody can
    /// look past the page cache, one that may be there only: after a sync that failed the next one says yes and writes nothing.
    fn renew_root(&self, dir: &dyn Dir, root: &mut Root) -> Result<()> {
        let mut writer = self.root.lock();
        writer.generation = root.generation;
        let renewed = match writer.replace(dir, root, Some(&*self.host)) {
            Err(e) if Cause::of_errno(errno_of(&e)) == Cause::NoSpace => writer.overwrite(dir, root, &*self.host),
            other => other,
        };
        renewed.map_err(|e| self.io_error(Op::Open, &e, "writing the root anew", ROOT_NAME))
    }

    /// What an unclean open finds may be in the page cache only. It is synced before anyone, this log's marks included, relies on it.
    fn sync_found(&self, dir: &dyn Dir, found: &Found) -> Result<()> {
        let segments = found.to_sync.iter().rev().map(|sequence| Segment::name_of(*sequence));
        for name in segments.chain([ROOT_NAME.to_string()]) {
            let synced = dir.open(&name, Access::Buffered).and_then(|file| file.sync());
            synced.map_err(|e| self.io_error(Op::Open, &e, "syncing what the last opening left", &name))?;
        }
        // The root may have been put in place by a rename that nobody has synced.
        dir.sync().map_err(|e| self.io_error(Op::Open, &e, "syncing the directory", ""))
    }

    /// Takes what was found into memory. Of a log that is not `sound` it can be read what is there.
    fn adopt(&self, dir: &dyn Dir, root: Root, found: Found, sound: bool) -> Result<()> {
        let kept_bytes = if sound { self.keep_cut(dir, &found)? } else { 0 };
        let device = dir.device();
        self.root.lock().generation = root.generation;
        let mut log = self.log.lock();
        let log = &mut *log;
        if log.state != State::Recovering {
            // It took too long, or the partition was closed meanwhile.
            return Err(self.fault_error(log, Op::Recover));
        }
        let end = LogEnd {
            segment: found.end.segment,
            offset: found.end.end_offset,
            lsn: found.end.last_lsn,
            index: found.last.0,
            term: found.last.1,
        };
        log.opened_end = end;
        log.stored = root;
        log.desired = Root { epoch: self.host.random_id(), clean: false, end, ..root };
        log.compaction = (root.compaction_index, root.compaction_term);
        log.last = found.last;
        log.commit = found.commit;
        log.end = found.end;
        // Above everything that was ever used: a record that a crash left behind can never be taken for a new one.
        log.next_lsn = found.max_lsn.max(found.end.last_lsn + 1).max(1);
        let extent = Extent { lsn: log.next_lsn - 1, index: found.last.0, term: found.last.1, end: found.end };
        log.acked = extent;
        log.durable = extent;
        log.logged_mark = extent.lsn;
        log.logged_commit = found.commit;
        log.live = live_parts(&found);
        // A reset may have moved the first number beyond the last that was named.
        log.newest_begun = root.last_segment.max(root.first_segment.saturating_sub(1));
        log.next_sequence = log.newest_begun + 1;
        log.segment_bytes = self.limits.get(Limit::SegmentMinBytes);
        log.block_bytes = device.block_bytes;
        log.damaged = found.damaged;
        log.maybe_acknowledged = found.maybe_acknowledged;
        log.unsynced = found.unsynced;
        log.kept_bytes = kept_bytes;
        log.released = root.first_segment;
        log.sweep_below = root.first_segment;
        log.loaded = true;
        log.sound = sound;
        log.fault = None;
        // Whoever asked for it says when the log is served.
        log.state = State::Recovering;
        Ok(())
    }

    /// Tells the owner if a log on this filesystem may not keep what its mode promises. True if there was something to tell.
    pub fn warn_of(&self, filesystem: Filesystem) -> bool {
        let cause = match filesystem {
            Filesystem::Ext4 | Filesystem::Xfs | Filesystem::Btrfs => return false,
            Filesystem::Memory => Cause::VolatileFilesystem,
            Filesystem::Other(_) => Cause::UntestedFilesystem,
        };
        self.tell(&self.log.lock(), cause, &Error::new(cause.status(), Op::Open, ""));
        true
    }

    /// Events of an open that went well but has something to tell.
    pub fn announce(&self) {
        let mut log = self.log.lock();
        if log.state == State::ReadWrite && log.damaged.2 > 0 {
            let range = (log.damaged.0, log.damaged.1);
            self.set_state(&mut log, State::ReadWrite, Cause::Damage, Op::Open, 0, range);
        }
    }
}

/// What was found, and what of it is known durable: the last index and the position behind it.
type Unsynced = (Found, u64, BeginData);

/// Where nobody can look past the page cache, everything above the marks may be there only.
fn unsure(found: &mut Found) -> Option<Unsynced> {
    let (first, continues) = found.unsure;
    (found.end.segment != 0).then(|| (std::mem::take(found), first.saturating_sub(1), continues))
}

/// The partition's calls; the host is told when the watchdog has to look at them.
fn watched_calls(partition: &Weak<Partition>, host: &Arc<dyn Host>) -> Arc<Calls> {
    let (partition, host) = (partition.clone(), host.clone());
    let notice = move || partition.upgrade().iter().for_each(|p| host.watch(p));
    Arc::new(Calls::new(classify, Box::new(notice)))
}

/// The chain as the view of the log: every part ends before the next newer one begins.
pub(super) fn live_parts(found: &Found) -> Vec<Live> {
    let mut parts: Vec<Live> = Vec::new();
    let mut upper = found.last.0;
    for link in found.chain.iter().rev() {
        let last = upper.min(link.last);
        if link.first <= last {
            parts.push(Live { segment: link.segment.clone(), first: link.first, last, end: link.end });
        }
        upper = upper.min(link.first.saturating_sub(1));
    }
    parts.reverse();
    parts
}
