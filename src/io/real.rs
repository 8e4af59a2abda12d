//! The real disk: one system call per method, everything relative to an open directory, no symbolic link followed.

use super::mount::journals_data;
use super::owner::Owner;
use super::sys::{
    check, cstring, device_info, fstat, is_cached_by_flag, is_realtime, off, open_at, read_names, set_nocow, size,
    sync_fd, takes_direct_io,
};
use super::{aio, Access, Begun, Bytes, DeviceInfo, Dir, File, Filesystem, Storage};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;

/// The filesystems of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealStorage;

impl Storage for RealStorage {
    fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn Dir>> {
        // Before a slash at the end the kernel follows a link in spite of O_NOFOLLOW.
        let path = cstring(path.components().as_path().as_os_str().as_bytes())?;
        Ok(Arc::new(RealDir::new(open_at(libc::AT_FDCWD, &path, DIR_FLAGS, 0)?)?))
    }

    fn mount_point(&self, path: &Path) -> PathBuf {
        super::mount_point(path)
    }

    fn has_journal(&self, device: u64) -> bool {
        super::has_journal(device)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let (fd, name) = (open_parent(path)?, last_name(path)?);
        // SAFETY: fd is open and name is NUL-terminated.
        check(unsafe { libc::mkdirat(fd.as_raw_fd(), name.as_ptr(), 0o700) })
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let (fd, name) = (open_parent(path)?, last_name(path)?);
        // SAFETY: fd is open and name is NUL-terminated.
        check(unsafe { libc::unlinkat(fd.as_raw_fd(), name.as_ptr(), libc::AT_REMOVEDIR) })
    }

    fn sync_parent(&self, path: &Path) -> io::Result<()> {
        sync_fd(open_parent(path)?.as_raw_fd(), false)
    }
}

/// The parent may be reached through links: only the directory itself must not be one.
fn open_parent(path: &Path) -> io::Result<OwnedFd> {
    let parent = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    open_at(libc::AT_FDCWD, &cstring(parent.as_os_str().as_bytes())?, flags, 0)
}

fn last_name(path: &Path) -> io::Result<CString> {
    let name = path.file_name().ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
    cstring(name.as_bytes())
}

const DIR_FLAGS: i32 = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
const FILE_FLAGS: i32 = libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK;

struct RealDir {
    fd: OwnedFd,
    locked: AtomicBool,
    device: DeviceInfo,
    /// Of what is made in it, if that is not who makes it.
    owner: Option<Owner>,
}

impl RealDir {
    fn new(fd: OwnedFd) -> io::Result<RealDir> {
        let device = device_info(fd.as_raw_fd())?;
        let owner = Owner::of(fd.as_raw_fd())?;
        Ok(RealDir { fd, locked: AtomicBool::new(false), device, owner })
    }

    fn open_file(&self, name: &str, access: Access, create: i32) -> io::Result<Arc<dyn File>> {
        let name = cstring(name.as_bytes())?;
        let fd = self.fd.as_raw_fd();
        let shares = matches!(self.device.filesystem, Filesystem::Ext4 | Filesystem::Xfs) && aio::can_write_durable();
        let per_write = access == Access::Durable && shares;
        let (flags, direct) = match access {
            Access::Read => (libc::O_RDONLY, false),
            Access::ReadDirect => (libc::O_RDONLY | libc::O_DIRECT, true),
            Access::Buffered => (libc::O_RDWR, false),
            Access::Direct => (libc::O_RDWR | libc::O_DIRECT, true),
            Access::Durable if per_write => (libc::O_RDWR | libc::O_DIRECT, true),
            Access::Durable => (libc::O_RDWR | libc::O_DIRECT | libc::O_DSYNC, true),
        };
        let opened = open_at(fd, &name, flags | create | FILE_FLAGS, 0o600);
        let takes_direct = match &opened {
            // The kernel says EINVAL where a filesystem has no O_DIRECT; it may have created the file all the same.
            Err(e) => Some(e.raw_os_error() != Some(libc::EINVAL)),
            Ok(fd) => direct.then(|| takes_direct_io(fd.as_raw_fd())).flatten(),
        };
        let (fd, direct) = if direct && takes_direct == Some(false) {
            let flags = (flags & !(libc::O_DIRECT | libc::O_DSYNC)) | (create & !libc::O_EXCL);
            (open_at(fd, &name, flags | FILE_FLAGS, 0o600)?, false)
        } else {
            (opened?, direct)
        };
        let stat = fstat(fd.as_raw_fd())?;
        if stat.st_mode & libc::S_IFMT != libc::S_IFREG {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        if create != 0 && self.device.filesystem == Filesystem::Btrfs {
            set_nocow(fd.as_raw_fd());
        }
        if let Some(owner) = self.owner.filter(|_| create != 0) {
            owner.take(fd.as_raw_fd());
        }
        let durable = match access {
            Access::Durable if direct && per_write => {
                Durable::PerWrite(self.sharing_of(fd.as_raw_fd(), takes_direct.is_some()))
            }
            Access::Durable if direct => Durable::Always,
            _ => Durable::No,
        };
        let file = RealFile { fd, durable, marks: AtomicU64::new(0) };
        if access == Access::ReadDirect && !direct {
            // The nearest to it: what the kernel holds for clean is read anew.
            file.drop_cache();
        }
        Ok(Arc::new(file))
    }

    /// Of a file that was opened with O_DIRECT; `certain` if the kernel has said that it goes past the page cache.
    fn sharing_of(&self, fd: RawFd, certain: bool) -> Sharing {
        if self.device.filesystem == Filesystem::Xfs {
            return if is_realtime(fd) { Sharing::None } else { Sharing::ByLog };
        }
        let cached = is_cached_by_flag(fd) || !certain && journals_data(self.device.id);
        if cached {
            Sharing::None
        } else {
            Sharing::ByFlush
        }
    }
}

impl Drop for RealDir {
    fn drop(&mut self) {
        // Said, not left to the close of the descriptor: a child that another thread forks has a copy of it until it execs.
        if self.locked.load(Ordering::Relaxed) {
            // SAFETY: fd is open.
            unsafe { libc::flock(self.fd.as_raw_fd(), libc::LOCK_UN) };
        }
    }
}

impl Dir for RealDir {
    fn create(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>> {
        self.open_file(name, access, libc::O_CREAT | libc::O_EXCL)
    }

    fn create_unnamed(&self, access: Access) -> io::Result<Arc<dyn File>> {
        self.open_file(".", access, libc::O_TMPFILE)
    }

    fn link(&self, file: &dyn File, name: &str) -> io::Result<()> {
        // The way open(2) gives for O_TMPFILE: linkat with AT_EMPTY_PATH would need a capability.
        let from = cstring(format!("/proc/self/fd/{}", file.id()).as_bytes())?;
        let name = cstring(name.as_bytes())?;
        let dir = self.fd.as_raw_fd();
        // SAFETY: dir is open, both names are NUL-terminated.
        check(unsafe { libc::linkat(libc::AT_FDCWD, from.as_ptr(), dir, name.as_ptr(), libc::AT_SYMLINK_FOLLOW) })
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>> {
        self.open_file(name, access, 0)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (cstring(from.as_bytes())?, cstring(to.as_bytes())?);
        let fd = self.fd.as_raw_fd();
        // SAFETY: fd is open, both names are NUL-terminated.
        check(unsafe { libc::renameat(fd, from.as_ptr(), fd, to.as_ptr()) })
    }

    fn exchange(&self, a: &str, b: &str) -> io::Result<()> {
        let (a, b) = (cstring(a.as_bytes())?, cstring(b.as_bytes())?);
        let (fd, flags) = (self.fd.as_raw_fd(), libc::RENAME_EXCHANGE);
        // By number: glibc has a function for it since 2.28 only.
        // SAFETY: fd is open, both names are NUL-terminated.
        let result = unsafe { libc::syscall(libc::SYS_renameat2, fd, a.as_ptr(), fd, b.as_ptr(), flags) };
        check(if result == 0 { 0 } else { -1 })
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        let name = cstring(name.as_bytes())?;
        // SAFETY: fd is open, name is NUL-terminated.
        check(unsafe { libc::unlinkat(self.fd.as_raw_fd(), name.as_ptr(), 0) })
    }

    fn remove_dir(&self, name: &str) -> io::Result<()> {
        let name = cstring(name.as_bytes())?;
        // SAFETY: fd is open, name is NUL-terminated.
        check(unsafe { libc::unlinkat(self.fd.as_raw_fd(), name.as_ptr(), libc::AT_REMOVEDIR) })
    }

    fn mkdir(&self, name: &str) -> io::Result<()> {
        let name = cstring(name.as_bytes())?;
        // SAFETY: fd is open, name is NUL-terminated.
        check(unsafe { libc::mkdirat(self.fd.as_raw_fd(), name.as_ptr(), 0o700) })?;
        if let Some(owner) = self.owner {
            let made = open_at(self.fd.as_raw_fd(), &name, DIR_FLAGS, 0);
            made.iter().for_each(|made| owner.take(made.as_raw_fd()));
        }
        Ok(())
    }

    fn subdir(&self, name: &str) -> io::Result<Arc<dyn Dir>> {
        let name = cstring(name.as_bytes())?;
        Ok(Arc::new(RealDir::new(open_at(self.fd.as_raw_fd(), &name, DIR_FLAGS, 0)?)?))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        // A descriptor of its own: fdopendir takes it over, and the position in the directory is per open file.
        let own = open_at(self.fd.as_raw_fd(), &cstring(b".")?, DIR_FLAGS, 0)?;
        // SAFETY: own is an open directory; on success the stream owns it.
        let stream = unsafe { libc::fdopendir(own.as_raw_fd()) };
        if stream.is_null() {
            return Err(io::Error::last_os_error());
        }
        std::mem::forget(own);
        let names = read_names(stream);
        // SAFETY: stream came from fdopendir and is closed once.
        unsafe { libc::closedir(stream) };
        names
    }

    fn sync(&self) -> io::Result<()> {
        sync_fd(self.fd.as_raw_fd(), false)
    }

    fn lock(&self) -> io::Result<()> {
        // SAFETY: fd is open.
        check(unsafe { libc::flock(self.fd.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) })?;
        self.locked.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn device(&self) -> DeviceInfo {
        self.device.clone()
    }
}

/// Lengths that a flush of the disk gives its file, in turn: within one block, of which none is ever allocated.
const LENGTHS: u64 = 500;

/// Which writes are durable when they return.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Durable {
    No,
    /// All: the file is open with O_DSYNC.
    Always,
    /// Those of `write_at`: each says so. Those of a batch, which takes files that share flushes, are not.
    PerWrite(Sharing),
}

/// What a flush of the disk through another file has to do for a write to written blocks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    /// It can do nothing for it.
    None,
    /// ext4: such a block stays where it is. The flush of the device is all.
    ByFlush,
    /// xfs: the block moves if a copy by reflink has it, too, and where to is in the filesystem's log, which the flush has to take along.
    ByLog,
}

struct RealFile {
    fd: OwnedFd,
    durable: Durable,
    /// Changes of its length that flushes of the disk have made.
    marks: AtomicU64,
}

impl RealFile {
    fn write_plainly(&self, bufs: &[io::IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let (fd, offset) = (self.fd.as_raw_fd(), off(offset)?);
        if let [one] = bufs {
            // SAFETY: the buffer is valid for reads of its length.
            return size(unsafe { libc::pwrite(fd, one.as_ptr().cast(), one.len(), offset) });
        }
        // SAFETY: IoSlice is guaranteed to have the layout of iovec; write_all_at bounds the count.
        size(unsafe { libc::pwritev(fd, bufs.as_ptr().cast(), bufs.len() as i32, offset) })
    }

    /// A durable write of a file that does not know the flag for it.
    fn write_and_sync(&self, bufs: &[io::IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let n = self.write_plainly(bufs, offset)?;
        // Whoever writes again where a write was interrupted would sync again: that may report success for what this one lost.
        match sync_fd(self.fd.as_raw_fd(), true) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Err(io::Error::from_raw_os_error(libc::EIO)),
            synced => synced.map(|()| n),
        }
    }
}

impl File for RealFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let offset = off(offset)?;
        // SAFETY: the buffer is valid for writes of its length.
        size(unsafe { libc::pread(self.fd.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len(), offset) })
    }

    fn write_at(&self, bufs: &[io::IoSlice<'_>], offset: u64) -> io::Result<usize> {
        if matches!(self.durable, Durable::PerWrite(_)) {
            match aio::write_durable(self.fd.as_raw_fd(), bufs, offset) {
                Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP) => return self.write_and_sync(bufs, offset),
                written => return written,
            }
        }
        self.write_plainly(bufs, offset)
    }

    fn sync(&self) -> io::Result<()> {
        sync_fd(self.fd.as_raw_fd(), true)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        // SAFETY: fd is open.
        check(unsafe { libc::fallocate(self.fd.as_raw_fd(), 0, 0, off(len)?) })
    }

    fn len(&self) -> io::Result<u64> {
        Ok(fstat(self.fd.as_raw_fd())?.st_size.max(0) as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        // SAFETY: fd is open.
        check(unsafe { libc::ftruncate(self.fd.as_raw_fd(), off(len)?) })
    }

    fn next_data(&self, offset: u64) -> io::Result<u64> {
        // The file's position, which this moves, is used by nobody.
        // SAFETY: fd is open.
        let at = unsafe { libc::lseek(self.fd.as_raw_fd(), off(offset)?, libc::SEEK_DATA) };
        if at >= 0 {
            return Ok(at as u64);
        }
        match io::Error::last_os_error() {
            e if e.raw_os_error() == Some(libc::ENXIO) => self.len(),
            e => Err(e),
        }
    }

    fn writes_are_durable(&self) -> bool {
        self.durable != Durable::No
    }

    fn shares_flushes(&self) -> bool {
        matches!(self.durable, Durable::PerWrite(Sharing::ByFlush | Sharing::ByLog))
    }

    fn sync_disk(&self) -> io::Result<()> {
        if self.durable == Durable::PerWrite(Sharing::ByLog) {
            // A file with nothing to sync leaves the log alone. A change of its length is to be synced, and the log up to it: behind all that
            // was in the log before. Beside another such call, too: each changes it, or finds it changed later, by the other one.
            self.set_len(1 + self.marks.fetch_add(1, Ordering::Relaxed) % LENGTHS)?;
        }
        self.sync()
    }

    fn begin_write(self: Arc<Self>, _: &Bytes, offset: u64) -> Begun {
        // The kernel takes a signed one.
        match off(offset) {
            Ok(_) => Begun::Kernel(self.fd.as_raw_fd()),
            Err(e) => Begun::Done(Err(e)),
        }
    }

    fn drop_cache(&self) {
        // It is advice: there is no error to heed.
        // SAFETY: fd is open.
        unsafe { libc::posix_fadvise(self.fd.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    }

    fn id(&self) -> u64 {
        self.fd.as_raw_fd() as u64
    }
}
