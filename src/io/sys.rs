//! System calls that are more than one line: their arguments, and what they return, in Rust's terms.

use super::{DeviceInfo, Filesystem};
use std::ffi::CString;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Overwriting in place needs a file without copy-on-write. It works only on an empty file; where it is refused, writes are slower, not unsafe.
pub(super) fn set_nocow(fd: RawFd) {
    const FS_NOCOW_FL: libc::c_int = 0x0080_0000;
    let mut flags: libc::c_int = 0;
    // SAFETY: the ioctl writes one int; the kernel's declared type is long, its actual access int.
    if unsafe { libc::ioctl(fd, libc::FS_IOC_GETFLAGS, &mut flags) } == 0 {
        flags |= FS_NOCOW_FL;
        // SAFETY: the ioctl reads one int.
        unsafe { libc::ioctl(fd, libc::FS_IOC_SETFLAGS, &flags) };
    }
}

/// False if reads and writes of a file that was opened with O_DIRECT go through the page cache all the same, as on ext4 with data=journal. Kernels
/// before 6.1, and some filesystems, do not say it.
pub(super) fn takes_direct_io(fd: RawFd) -> Option<bool> {
    let mut found = std::mem::MaybeUninit::<libc::statx>::zeroed();
    let (empty, flags, mask) = (c"".as_ptr(), libc::AT_EMPTY_PATH, libc::STATX_DIOALIGN);
    // By number: glibc has a function for it since 2.28 only.
    // SAFETY: the path is NUL-terminated, and the kernel writes one statx.
    let done = unsafe { libc::syscall(libc::SYS_statx, fd, empty, flags, mask, found.as_mut_ptr()) } == 0;
    // SAFETY: all of it was zeroed, which every field may be.
    let found = unsafe { found.assume_init() };
    (done && found.stx_mask & libc::STATX_DIOALIGN != 0).then_some(found.stx_dio_mem_align != 0)
}

/// True if a file of ext4 is one whose writes go through the page cache although it was opened with O_DIRECT: an encrypted one, or one whose
/// data goes to the journal by a flag of its own. Linux before 6.1 does not say so by `takes_direct_io`. True also if it cannot be told.
pub(super) fn is_cached_by_flag(fd: RawFd) -> bool {
    const FS_ENCRYPT_FL: libc::c_int = 0x800;
    const FS_JOURNAL_DATA_FL: libc::c_int = 0x4000;
    let mut flags: libc::c_int = 0;
    // SAFETY: the ioctl writes one int; the kernel's declared type is long, its actual access int.
    let told = unsafe { libc::ioctl(fd, libc::FS_IOC_GETFLAGS, &mut flags) } == 0;
    !told || flags & (FS_ENCRYPT_FL | FS_JOURNAL_DATA_FL) != 0
}

/// True if a file of xfs has its blocks on the realtime device, which is another one. True also if it cannot be told.
pub(super) fn is_realtime(fd: RawFd) -> bool {
    const FS_IOC_FSGETXATTR: libc::c_ulong = 0x801c_581f;
    const FS_XFLAG_REALTIME: u32 = 1;
    // `struct fsxattr`: the flags, and six words more.
    let mut found = [0u32; 7];
    // SAFETY: the ioctl writes one struct fsxattr, 28 bytes.
    let told = unsafe { libc::ioctl(fd, FS_IOC_FSGETXATTR as _, found.as_mut_ptr()) } == 0;
    !told || found[0] & FS_XFLAG_REALTIME != 0
}

/// Memory that was just allocated is to be huge pages. Advice: where there are none it is as it was.
pub(super) fn want_huge_pages(ptr: std::ptr::NonNull<u8>, len: usize) {
    // SAFETY: the range is one allocation; this advice changes nothing in it.
    unsafe { libc::madvise(ptr.as_ptr().cast(), len, libc::MADV_HUGEPAGE) };
}

/// Blocks SIGXFSZ on this thread: a write beyond RLIMIT_FSIZE is then EFBIG and not the end of the process.
pub fn block_file_size_signal() {
    // SAFETY: the set is initialised by sigemptyset before it is used; the mask is this thread's own.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGXFSZ);
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
    }
}

/// 16 random bytes from the kernel.
pub fn random_id() -> io::Result<[u8; 16]> {
    let mut id = [0u8; 16];
    // SAFETY: the buffer is valid for writes of its length.
    let n = super::retry_interrupted(|| size(unsafe { libc::getrandom(id.as_mut_ptr().cast(), id.len(), 0) }))?;
    if n == id.len() {
        Ok(id)
    } else {
        Err(io::Error::from_raw_os_error(libc::EIO))
    }
}

pub(super) fn read_names(stream: *mut libc::DIR) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    loop {
        // SAFETY: errno is this thread's own.
        unsafe { *libc::__errno_location() = 0 };
        // SAFETY: stream is open and used by this thread alone.
        let entry = unsafe { libc::readdir(stream) };
        if entry.is_null() {
            let error = io::Error::last_os_error();
            return if error.raw_os_error() == Some(0) { Ok(names) } else { Err(error) };
        }
        // SAFETY: d_name is NUL-terminated and valid until the next readdir.
        let name = unsafe { std::ffi::CStr::from_ptr((*entry).d_name.as_ptr()) };
        // Names of ours are ASCII; another's name only has to be seen, not to be opened.
        let name = name.to_string_lossy();
        if name != "." && name != ".." {
            names.push(name.into_owned());
        }
    }
}

pub(super) fn off(offset: u64) -> io::Result<libc::off_t> {
    libc::off_t::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EFBIG))
}

pub(super) fn cstring(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

pub(super) fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

pub(super) fn size(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

pub(super) fn sync_fd(fd: RawFd, data_only: bool) -> io::Result<()> {
    // SAFETY: fd is open.
    check(unsafe {
        if data_only {
            libc::fdatasync(fd)
        } else {
            libc::fsync(fd)
        }
    })
}

pub(super) fn open_at(dir: RawFd, name: &CString, flags: i32, mode: u32) -> io::Result<OwnedFd> {
    // SAFETY: name is NUL-terminated.
    let fd = super::retry_interrupted(|| match unsafe { libc::openat(dir, name.as_ptr(), flags, mode) } {
        -1 => Err(io::Error::last_os_error()),
        fd => Ok(fd),
    })?;
    // SAFETY: the call returned a descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(super) fn fstat(fd: RawFd) -> io::Result<libc::stat> {
    // SAFETY: stat is plain data for which zero is valid.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: stat is valid for writes.
    check(unsafe { libc::fstat(fd, &mut stat) })?;
    Ok(stat)
}

/// A power of two from 512 to 65,536, as segments have them: others may prefer any size.
fn block_bytes(preferred: i64) -> u32 {
    u32::try_from(preferred).unwrap_or(4096).clamp(512, 65_536).next_power_of_two()
}

pub(super) fn device_info(fd: RawFd) -> io::Result<DeviceInfo> {
    let stat = fstat(fd)?;
    // SAFETY: statfs is plain data for which zero is valid.
    let mut fs: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: fs is valid for writes.
    check(unsafe { libc::fstatfs(fd, &mut fs) })?;
    let filesystem = match fs.f_type as u64 {
        0xEF53 => Filesystem::Ext4,
        0x5846_5342 => Filesystem::Xfs,
        0x9123_683E => Filesystem::Btrfs,
        0x0102_1994 | 0x8584_58F6 => Filesystem::Memory,
        other => Filesystem::Other(other),
    };
    // The filesystem's block is at least the device's physical block, so that a write padded to it shares no block with an earlier one.
    // O_DIRECT's own alignment is never larger. st_blksize is the same, but on an xfs mounted with largeio, which says its stripe's width there.
    let preferred = if matches!(filesystem, Filesystem::Other(_)) { stat.st_blksize } else { fs.f_bsize };
    Ok(DeviceInfo { id: stat.st_dev, inode: stat.st_ino, block_bytes: block_bytes(preferred), filesystem })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_one_that_a_segment_may_have() {
        for (preferred, block) in
            [(0, 512), (512, 512), (1536, 2048), (4096, 4096), (49_152, 65_536), (1 << 20, 65_536), (-1, 4096)]
        {
            assert_eq!(block_bytes(preferred), block, "{preferred}");
        }
    }
}
