//! Linux's native asynchronous I/O (io_submit(2)): writes to many files with one system call, and one to wait for them. It needs no library,
//! and containers allow it.

use super::sys::check;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::OnceLock;
use std::time::Duration;

/// The kernel's `struct iocb` of a write.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Iocb {
    data: u64,
    key_and_flags: u64,
    opcode: u16,
    priority: i16,
    descriptor: u32,
    buffer: u64,
    bytes: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    eventfd: u32,
}

const IOCB_CMD_PWRITE: u16 = 1;

/// The kernel's `struct io_event`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct Event {
    /// What the write was begun with.
    pub data: u64,
    object: u64,
    result: i64,
    result2: i64,
}

impl Event {
    /// Bytes, or the error.
    pub fn result(&self) -> io::Result<usize> {
        usize::try_from(self.result)
            .map_err(|_| io::Error::from_raw_os_error(i32::try_from(-self.result).unwrap_or(libc::EIO)))
    }
}

/// A write that the kernel is to begin.
pub(super) struct Wanted {
    pub data: u64,
    pub descriptor: RawFd,
    pub at: *const u8,
    pub bytes: usize,
    pub offset: u64,
}

/// A context of the kernel. Dropping it waits until nothing is under way.
pub(super) struct Context(libc::c_ulong);

impl Context {
    /// One for this many writes at a time.
    pub fn new(most: u32) -> io::Result<Context> {
        let mut id: libc::c_ulong = 0;
        // SAFETY: the kernel writes one aio_context_t, which is an unsigned long.
        check(unsafe { libc::syscall(libc::SYS_io_setup, most as libc::c_long, &mut id) } as libc::c_int)?;
        Ok(Context(id))
    }

    /// Begins the writes, as many as it can: how many, or why not the first. Each is reported by `events` once.
    ///
    /// # Safety
    /// The bytes of each must stay where and as they are until it was reported or this context is dropped.
    pub unsafe fn submit(&self, wanted: &[Wanted]) -> io::Result<usize> {
        let iocbs: Vec<Iocb> = wanted
            .iter()
            .map(|w| Iocb {
                data: w.data,
                opcode: IOCB_CMD_PWRITE,
                descriptor: w.descriptor as u32,
                buffer: w.at as u64,
                bytes: w.bytes as u64,
                offset: w.offset as i64,
                ..Iocb::default()
            })
            .collect();
        let pointers: Vec<*const Iocb> = iocbs.iter().map(|i| i as *const Iocb).collect();
        // SAFETY: the kernel copies the control blocks; the buffers are the caller's promise.
        let n = unsafe { libc::syscall(libc::SYS_io_submit, self.0, pointers.len(), pointers.as_ptr()) };
        usize::try_from(n).map_err(|_| io::Error::last_os_error())
    }

    /// Waits until `least` have come back, or the time is over; puts them into `events` and says how many.
    pub fn events(&self, least: usize, events: &mut [Event], time: Duration) -> io::Result<usize> {
        let time = libc::timespec { tv_sec: time.as_secs() as libc::time_t, tv_nsec: time.subsec_nanos() as _ };
        let (least, most) = (least.min(events.len()), events.len());
        // SAFETY: events is valid for writes of `most` events, and the kernel only reads the time.
        let n = unsafe {
            libc::syscall(libc::SYS_io_getevents, self.0, least, most, events.as_mut_ptr(), &time as *const _)
        };
        usize::try_from(n).map_err(|_| io::Error::last_os_error())
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the context is this value's alone.
        unsafe { libc::syscall(libc::SYS_io_destroy, self.0) };
    }
}

/// One durable write of a file that was opened without O_DSYNC (pwritev2 with RWF_DSYNC, Linux 4.7).
#[cfg(target_pointer_width = "64")]
pub(super) fn write_durable(fd: RawFd, bufs: &[io::IoSlice<'_>], offset: u64) -> io::Result<usize> {
    let offset = super::sys::off(offset)?;
    // By number: glibc has a function for it since 2.26 only.
    // Every argument as wide as a register: of a narrower one the other half would be whatever is there.
    let (fd, last_half, flags) = (libc::c_long::from(fd), 0 as libc::c_long, libc::c_long::from(libc::RWF_DSYNC));
    // SAFETY: IoSlice is guaranteed to have the layout of iovec; write_all_at bounds the count. The last half of the position is unused on 64 bits.
    let n = unsafe { libc::syscall(libc::SYS_pwritev2, fd, bufs.as_ptr(), bufs.len(), offset, last_half, flags) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

#[cfg(not(target_pointer_width = "64"))]
pub(super) fn write_durable(_: RawFd, _: &[io::IoSlice<'_>], _: u64) -> io::Result<usize> {
    Err(io::Error::from_raw_os_error(libc::ENOSYS))
}

/// True if this process may write so: looked at once. (Whether it may have a context is not: giving one back takes the kernel milliseconds.)
pub(super) fn can_write_durable() -> bool {
    static CAN: OnceLock<bool> = OnceLock::new();
    if let Some(can) = CAN.get() {
        return *can;
    }
    // The device does nothing; the kernel looks at the flag all the same.
    let Ok(null) = std::fs::OpenOptions::new().write(true).open("/dev/null") else { return false };
    *CAN.get_or_init(|| write_durable(null.as_raw_fd(), &[io::IoSlice::new(b"x")], 0).is_ok())
}
