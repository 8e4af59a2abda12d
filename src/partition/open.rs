//! Open: find or make the directory, lock it; what can be refused, and what is announced.

use super::counts::PartitionCounts;
use super::limits::{Limits, PartitionLimits};
use super::log::Log;
use super::root::{RootWriter, ROOT_NAME};
use super::types::{PartitionConfig, State};
use super::watch::classify;
use super::{DiskCounts, Disposition, Host, Partition};
use crate::error::{Cause, Error, Op, Result, Status};
use crate::io::{Access, Calls, Dir, Filesystem, Storage};
use crate::sync::{Condvar, Mutex};
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};

/// Creates the directory if the disposition says so, opens and locks it. Until it is locked another one may do the same.
pub fn open_dir(storage: &dyn Storage, config: &PartitionConfig) -> Result<Arc<dyn Dir>> {
    let path = config.path.as_path();
    let fail = |e: &io::Error| path_error(path, e).partition(config.partition_id);
    let exists = || {
        let message = "the directory exists already; open it, or choose another path";
        Err(Error::new(Status::AlreadyExists, Op::Open, message).at(path).partition(config.partition_id))
    };
    let mut created = false;
    let dir = match (storage.open_dir(path), config.disposition) {
        (Ok(_), Disposition::CreateNew) => return exists(),
        (Err(e), Disposition::OpenOrCreate | Disposition::CreateNew) if e.kind() == io::ErrorKind::NotFound => {
            match make_dir(storage, path) {
                Ok(()) => created = true,
                // Another one was faster.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && config.disposition == Disposition::CreateNew => {
                    return exists();
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(fail(&e)),
            }
            storage.open_dir(path).map_err(|e| fail(&e))?
        }
        (other, _) => other.map_err(|e| fail(&e))?,
    };
    lock_dir(&*dir, path).map_err(|e| e.partition(config.partition_id))?;
    let has_root = !dir.open(ROOT_NAME, Access::Read).is_err_and(|e| e.kind() == io::ErrorKind::NotFound);
    if has_root && config.disposition == Disposition::CreateNew {
        return exists();
    }
    // Without a root nothing was ever acknowledged here: who made the directory may not have come to make its name durable.
    if !has_root && !created {
        match storage.sync_parent(path) {
            // A parent that this process cannot read is not where it has made a directory.
            Err(e) if e.kind() != io::ErrorKind::PermissionDenied => {
                let error = Error::io(Op::Open, &e, "syncing the directory's parent");
                return Err(error.at(path).partition(config.partition_id));
            }
            _ => {}
        }
    }
    Ok(dir)
}

/// Makes a directory, and its name durable. If that fails it is removed: the next call makes it anew, where another sync of its name, on a
/// filesystem that has forgotten it, would say yes to nothing.
pub fn make_dir(storage: &dyn Storage, path: &Path) -> io::Result<()> {
    storage.create_dir(path)?;
    storage.sync_parent(path).inspect_err(|_| drop(storage.remove_dir(path)))
}

/// `Locked` if somebody else has the directory.
pub fn lock_dir(dir: &dyn Dir, path: &Path) -> Result<()> {
    let failed = |e: io::Error| match e.raw_os_error() {
        Some(libc::EWOULDBLOCK) => {
            let message = "another process or engine has this directory open; close it there first";
            Error::new(Status::Locked, Op::Open, message)
        }
        _ => unsupported(Error::io(Op::Open, &e, "locking the directory")),
    };
    dir.lock().map_err(|e| failed(e).at(path))
}

pub fn path_error(path: &Path, e: &io::Error) -> Error {
    let (status, message) = match e.raw_os_error() {
        Some(libc::ENOENT) => (
            Status::NotFound,
            "the directory, or the one it is to be made in, does not exist; only the last path component is made",
        ),
        // O_NOFOLLOW with O_DIRECTORY reports a symbolic link as ENOTDIR.
        Some(libc::ENOTDIR)
            if path.components().as_path().symlink_metadata().is_ok_and(|m| m.file_type().is_symlink()) =>
        {
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
pub(super) fn unsupported(error: Error) -> Error {
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
    ) -> Result<Arc<Partition>> {
        let disk_counts = host.counts();
        let partition = Arc::new_cyclic(|me| Partition {
            id: config.partition_id,
            mode: config.mode,
            path: config.path.clone(),
            known_index: config.known_index,
            must_exist: config.disposition == Disposition::OpenExisting,
            limits: Arc::new(PartitionLimits::new(limits)),
            counts: Arc::new(PartitionCounts::new(config.partition_id, config.mode)),
            calls: watched_calls(me, &host, &disk_counts),
            disk_counts,
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
        let loaded = partition.load();
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

    /// Tells the owner if a log on this filesystem may not keep what its mode promises.
    pub fn warn_of(&self, filesystem: Filesystem, journal: bool) {
        let (cause, why) = match filesystem {
            Filesystem::Ext4 if !journal => (Cause::UntestedFilesystem, "ext4 without a journal"),
            Filesystem::Ext4 | Filesystem::Xfs | Filesystem::Btrfs => return,
            Filesystem::Memory => (Cause::VolatileFilesystem, ""),
            Filesystem::Other(_) => (Cause::UntestedFilesystem, ""),
        };
        self.tell(&self.log.lock(), cause, &Error::new(cause.status(), Op::Open, why));
    }

    /// Events of an open that went well but has something to tell.
    pub fn announce(&self) {
        let mut log = self.log.lock();
        if log.state == State::ReadWrite && !log.damaged.is_empty() {
            let (first, last, _) = log.damaged.sum();
            self.set_state(&mut log, State::ReadWrite, Cause::Damage, Op::Open, 0, (first, last));
        }
    }
}

/// The partition's calls; the host is told when the watchdog has to look at them.
fn watched_calls(partition: &Weak<Partition>, host: &Arc<dyn Host>, counts: &DiskCounts) -> Arc<Calls> {
    let (partition, host) = (partition.clone(), host.clone());
    let notice = move || partition.upgrade().iter().for_each(|p| host.watch(p));
    Arc::new(Calls::new(classify, Box::new(notice), counts.failed_flushes.clone()))
}
