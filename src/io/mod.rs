//! The storage trait and the disks behind it: `real` makes system calls, `sim` is a disk in memory that fails on demand.
//!
//! The traits are as small as the log's needs. Every method is one system call (or a simulated one), so that the simulated disk
//! can fail each of them; loops over short writes and interrupted calls are in this file, above the traits, where both disks get them.

mod aio;
mod batch;
mod buffer;
mod eventfd;
mod mount;
mod owner;
pub mod real;
pub mod sim;
mod sys;
mod watched;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use batch::{Batch, Begun, Bytes};
pub use buffer::AlignedBuf;
pub use eventfd::EventFd;
pub use mount::{has_journal, mount_point};
pub use sys::{block_file_size_signal, random_id};
pub use watched::{Call, Calls, Noted, WatchedDir, CALLS_MAX};

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads through the page cache.
    Read,
    /// Reads past the page cache (O_DIRECT) where the filesystem has it: what the medium holds.
    ReadDirect,
    /// Reads and writes through the page cache; durable after `sync`.
    Buffered,
    /// Reads and writes past the page cache (O_DIRECT) where the filesystem has it; durable after `sync`. Offsets, lengths and memory aligned.
    Direct,
    /// Writes past the page cache and durable when they return (O_DIRECT with O_DSYNC, or RWF_DSYNC for each). Offsets, lengths and memory aligned.
    Durable,
}

/// An open file. Thread-safe; dropping closes it.
#[allow(clippy::len_without_is_empty)] // the length of a file in bytes; no one asks whether it is empty
pub trait File: Send + Sync {
    /// One `pread`: may be short, 0 is the end of the file.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// One `pwritev`: may be short.
    fn write_at(&self, bufs: &[io::IoSlice<'_>], offset: u64) -> io::Result<usize>;
    /// `fdatasync`.
    fn sync(&self) -> io::Result<()>;
    /// Allocates space up to `len` and extends the file (`fallocate`). EOPNOTSUPP is reported, not emulated.
    fn allocate(&self, len: u64) -> io::Result<()>;
    fn len(&self) -> io::Result<u64>;
    /// Cuts it (`ftruncate`).
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Where at or behind `offset` the next bytes may lie that are not zero, as far as the filesystem knows (SEEK_DATA); the file's
    /// length if there are none.
    fn next_data(&self, offset: u64) -> io::Result<u64> {
        Ok(offset)
    }
    /// True if `write_at` is durable when it returns. False for `Access::Durable` on a filesystem without O_DIRECT: then `sync` is needed.
    fn writes_are_durable(&self) -> bool;
    /// True if `begin_write` may be used: what it wrote is durable once a `sync_disk`, through whichever file, has followed. The file's blocks
    /// and length are durable already: that is the caller's to see to.
    fn shares_flushes(&self) -> bool {
        false
    }
    /// A flush of the disk through this file, which shares flushes and which nobody writes to: makes durable what was begun by `begin_write`, of
    /// whichever file, and had come back.
    fn sync_disk(&self) -> io::Result<()> {
        self.sync()
    }
    /// Begins a write, for a `Batch`.
    fn begin_write(self: Arc<Self>, _bytes: &Bytes, _offset: u64) -> Begun {
        Begun::Done(Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP)))
    }
    /// Drops the pages that the kernel holds for clean (POSIX_FADV_DONTNEED), so that without O_DIRECT, too, the next read is the medium's.
    fn drop_cache(&self);
    /// What `Dir::link` knows it by: the descriptor of a real file, the inode of a simulated one.
    fn id(&self) -> u64;
}

/// An open directory, addressed by its descriptor: it stays the same directory when its path is renamed.
pub trait Dir: Send + Sync {
    /// Creates a file that must not exist (O_CREAT | O_EXCL | O_NOFOLLOW, mode 0600). What root makes in a directory of another user's is his.
    fn create(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>>;
    /// Creates a file without a name (O_TMPFILE): it goes when it is closed, unless `link` names it. EOPNOTSUPP where there is no such thing.
    fn create_unnamed(&self, access: Access) -> io::Result<Arc<dyn File>>;
    /// Gives a file of this filesystem a name that must not exist.
    fn link(&self, file: &dyn File, name: &str) -> io::Result<()>;
    /// Opens a regular file that exists (O_NOFOLLOW); ELOOP for a symbolic link, EINVAL for anything else that is no regular file.
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>>;
    /// Replaces `to` if it exists.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Exchanges what two names stand for, of whatever kind, in one step (RENAME_EXCHANGE); EINVAL where the filesystem cannot.
    fn exchange(&self, a: &str, b: &str) -> io::Result<()>;
    fn unlink(&self, name: &str) -> io::Result<()>;
    /// Removes an empty subdirectory.
    fn remove_dir(&self, name: &str) -> io::Result<()>;
    /// Creates a subdirectory (mode 0700); EEXIST if there is one.
    fn mkdir(&self, name: &str) -> io::Result<()>;
    /// Opens a subdirectory.
    fn subdir(&self, name: &str) -> io::Result<Arc<dyn Dir>>;
    /// Names in the directory, without `.` and `..`, in no order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// `fsync` of the directory.
    fn sync(&self) -> io::Result<()>;
    /// Exclusive lock for as long as the `Dir` lives (`flock`); EWOULDBLOCK if another open directory holds it.
    fn lock(&self) -> io::Result<()>;
    /// Properties of the filesystem it is on.
    fn device(&self) -> DeviceInfo;
    /// A file that was made elsewhere, as one of this directory's: where calls are noted, its calls are.
    fn adopt(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        file
    }
}

/// What a disk says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// `st_dev`: partitions with the same number share a disk.
    pub id: u64,
    /// `st_ino` of the directory: with `id`, which directory this is, whatever its path.
    pub inode: u64,
    /// Bytes; a durable write is padded to this, so that no block that holds acknowledged data is written again.
    pub block_bytes: u32,
    pub filesystem: Filesystem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filesystem {
    Ext4,
    Xfs,
    Btrfs,
    /// tmpfs and ramfs: a power cut takes everything.
    Memory,
    /// Not one of those the project tests. The number is `f_type`.
    Other(u64),
}

/// Where directories come from.
pub trait Storage: Send + Sync {
    /// Opens a directory (O_DIRECTORY | O_NOFOLLOW): ENOENT, ENOTDIR or ELOOP say what it is instead.
    fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn Dir>>;
    /// Creates the last component of `path` (mode 0700).
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes the entry of `path` in its parent durable.
    fn sync_parent(&self, path: &Path) -> io::Result<()>;
    /// Where the filesystem of `path` is mounted; `path` itself where that cannot be told.
    fn mount_point(&self, path: &Path) -> PathBuf {
        path.to_path_buf()
    }
    /// False if this device holds an ext4 without a journal; true also where that cannot be told.
    fn has_journal(&self, _device: u64) -> bool {
        true
    }
}

/// What a device writes whole or not at all, and the least that O_DIRECT reads where it can.
pub const SECTOR_BYTES: usize = 512;

/// A call that is interrupted this often is reported as interrupted: nothing here waits for ever.
const INTERRUPTS_MAX: usize = 1000;

/// Runs a system call again while it is interrupted by a signal.
pub fn retry_interrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 0..INTERRUPTS_MAX {
        match call() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            other => return other,
        }
    }
    call()
}

/// Writes all of `bufs` at `offset`; a write that takes nothing is an error (`WriteZero`).
pub fn write_all_at(file: &dyn File, bufs: &[&[u8]], offset: u64) -> io::Result<()> {
    match bufs {
        [one] => write_one_at(file, one, offset),
        _ => write_many_at(file, bufs, offset),
    }
}

fn write_one_at(file: &dyn File, mut buf: &[u8], mut offset: u64) -> io::Result<()> {
    while !buf.is_empty() {
        let wrote = retry_interrupted(|| file.write_at(&[io::IoSlice::new(buf)], offset))?;
        if wrote == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        buf = buf.get(wrote..).unwrap_or_default();
        offset += wrote as u64;
    }
    Ok(())
}

fn write_many_at(file: &dyn File, bufs: &[&[u8]], mut offset: u64) -> io::Result<()> {
    let mut done = 0usize; // bytes of bufs[first] already written
    let mut first = 0usize;
    while first < bufs.len() {
        if bufs[first].len() == done {
            first += 1;
            done = 0;
            continue;
        }
        let mut slices = Vec::with_capacity((bufs.len() - first).min(IOV_MAX));
        slices.push(io::IoSlice::new(&bufs[first][done..]));
        slices.extend(bufs[first + 1..].iter().take(IOV_MAX - 1).map(|b| io::IoSlice::new(b)));
        let mut wrote = retry_interrupted(|| file.write_at(&slices, offset))?;
        if wrote == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        offset += wrote as u64;
        while wrote > 0 {
            let step = wrote.min(bufs[first].len() - done);
            done += step;
            wrote -= step;
            if done == bufs[first].len() {
                first += 1;
                done = 0;
            }
        }
    }
    Ok(())
}

/// Most buffers in one `pwritev` (the kernel's UIO_MAXIOV).
const IOV_MAX: usize = 1024;

/// Reads until `buf` is full or the file ends; returns the bytes read.
pub fn read_full_at(file: &dyn File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        match retry_interrupted(|| file.read_at(&mut buf[done..], offset + done as u64)) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) && is_end(file, offset, done)? => break,
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

/// Past the page cache a file's last bytes come as a short read, and Linux 3.14 to 5.4 answer the next one, on ext4, with EINVAL if the
/// file does not end at a block of the device (regression by commit 9fe55eea7e4b, see 41b21af388f9); others with 0. The file may have grown
/// since: only its end makes a read come up short within a sector.
fn is_end(file: &dyn File, offset: u64, done: usize) -> io::Result<bool> {
    Ok(done > 0 && (done % SECTOR_BYTES != 0 || file.len()? <= offset + done as u64))
}

/// Writes and makes durable, whatever the file needs for that.
pub fn write_durable_at(file: &dyn File, buf: &[u8], offset: u64) -> io::Result<()> {
    write_all_at(file, &[buf], offset)?;
    make_durable(file)
}

/// The same in one call: a write that the kernel cuts short is an error (`WriteZero`). In the page cache it may have ended in the middle of a
/// sector, which goes to disk like that when the kernel likes.
pub fn write_durable_in_one(file: &dyn File, buf: &[u8], offset: u64) -> io::Result<()> {
    if retry_interrupted(|| file.write_at(&[io::IoSlice::new(buf)], offset))? < buf.len() {
        return Err(io::ErrorKind::WriteZero.into());
    }
    make_durable(file)
}

fn make_durable(file: &dyn File) -> io::Result<()> {
    if file.writes_are_durable() {
        return Ok(());
    }
    // EINTR from fdatasync is not retried: a second fdatasync may report success for what the first one lost.
    file.sync()
}
