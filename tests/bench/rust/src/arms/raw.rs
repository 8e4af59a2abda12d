//! What the machine gives without a log around it: a loop of writes, no checksum, no header, no copy.

use super::Arm;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const RING_BYTES: u64 = 64 << 20;
const SEGMENT_BYTES: u64 = 32 << 20;
/// As many segments as the other arms' compaction leaves between two compactions.
const SEGMENTS_KEPT: u64 = 4;

/// Overwrites written blocks, round and round in one file.
pub struct Ring {
    file: File,
    at: u64,
    align: u64,
    sync: bool,
}

impl Ring {
    /// Buffered writes at any offset, each followed by fdatasync if `sync`.
    pub fn buffered(dir: &Path, sync: bool) -> Result<Ring, String> {
        let path = written_file(dir)?;
        let file = OpenOptions::new().write(true).open(&path).map_err(|e| at(&path, e))?;
        Ok(Ring { file, at: 0, align: 1, sync })
    }

    /// O_DIRECT and O_DSYNC, in units of the alignment that the file asks for.
    pub fn direct(dir: &Path) -> Result<Ring, String> {
        let path = written_file(dir)?;
        let flags = libc::O_DIRECT | libc::O_DSYNC;
        let file = OpenOptions::new().write(true).custom_flags(flags).open(&path).map_err(|e| at(&path, e))?;
        let align = direct_alignment(file.as_raw_fd()).map_err(|e| at(&path, e))?;
        Ok(Ring { file, at: 0, align, sync: false })
    }
}

impl Arm for Ring {
    fn append(&mut self, _first_index: u64, batch: &[&'static [u8]]) -> Result<(), String> {
        let bytes: u64 = batch.iter().map(|payload| payload.len() as u64).sum();
        let padded = bytes.next_multiple_of(self.align);
        if self.at + padded > RING_BYTES {
            self.at = 0;
        }
        write_at(self.file.as_raw_fd(), self.at, batch, padded).map_err(|e| format!("write: {e}"))?;
        if self.sync {
            self.file.sync_data().map_err(|e| format!("fdatasync: {e}"))?;
        }
        self.at += padded;
        Ok(())
    }

    fn compact(&mut self, _index: u64) -> Result<(), String> {
        Ok(())
    }
}

/// Appends to growing files and deletes the oldest, as a log does that recycles nothing.
pub struct Growing {
    dir: PathBuf,
    file: File,
    number: u64,
    at: u64,
}

impl Growing {
    pub fn new(dir: &Path) -> Result<Growing, String> {
        let file = create(&segment_path(dir, 0))?;
        Ok(Growing { dir: dir.into(), file, number: 0, at: 0 })
    }
}

impl Arm for Growing {
    fn append(&mut self, _first_index: u64, batch: &[&'static [u8]]) -> Result<(), String> {
        if self.at >= SEGMENT_BYTES {
            self.number += 1;
            self.at = 0;
            self.file = create(&segment_path(&self.dir, self.number))?;
            if self.number >= SEGMENTS_KEPT {
                let oldest = segment_path(&self.dir, self.number - SEGMENTS_KEPT);
                std::fs::remove_file(&oldest).map_err(|e| at(&oldest, e))?;
            }
        }
        let bytes: u64 = batch.iter().map(|payload| payload.len() as u64).sum();
        write_at(self.file.as_raw_fd(), self.at, batch, bytes).map_err(|e| format!("write: {e}"))?;
        self.at += bytes;
        Ok(())
    }

    fn compact(&mut self, _index: u64) -> Result<(), String> {
        Ok(())
    }
}

fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("raw-{number:08}"))
}

fn create(path: &Path) -> Result<File, String> {
    OpenOptions::new().write(true).create_new(true).open(path).map_err(|e| at(path, e))
}

/// A file whose blocks are all written, not only allocated: the first write to an allocated block costs the
/// filesystem a journal commit. In pieces of 64 KiB, because the page cache keeps what was written at once as one
/// folio, and a small write into a folio of 1 MiB costs ext4 three times as much.
fn written_file(dir: &Path) -> Result<PathBuf, String> {
    let path = dir.join("raw");
    let file = create(&path)?;
    let zeros = vec![0u8; 64 << 10];
    for offset in (0..RING_BYTES).step_by(zeros.len()) {
        file.write_all_at(&zeros, offset).map_err(|e| at(&path, e))?;
    }
    file.sync_all().map_err(|e| at(&path, e))?;
    Ok(path)
}

/// One system call per batch. `bytes` may go beyond the payloads: the padding is whatever follows the last one.
fn write_at(fd: RawFd, offset: u64, batch: &[&'static [u8]], bytes: u64) -> io::Result<()> {
    let mut vectors = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; 64];
    let mut left = bytes as usize;
    for (vector, payload) in vectors.iter_mut().zip(batch) {
        *vector = libc::iovec { iov_base: payload.as_ptr() as *mut _, iov_len: payload.len().min(left) };
        left -= vector.iov_len;
    }
    vectors[batch.len() - 1].iov_len += left;
    // SAFETY: the payloads live forever, and padding stays inside the pool, whose slices are 4 KiB apart.
    let written = unsafe { libc::pwritev(fd, vectors.as_ptr(), batch.len() as i32, offset as i64) };
    match written {
        -1 => Err(io::Error::last_os_error()),
        n if n as u64 != bytes => Err(io::Error::new(io::ErrorKind::WriteZero, "short write")),
        _ => Ok(()),
    }
}

/// statx tells since Linux 6.1; before that a page is always right.
fn direct_alignment(fd: RawFd) -> io::Result<u64> {
    // SAFETY: statx is plain data, and an empty path with AT_EMPTY_PATH means the descriptor itself.
    let (result, found) = unsafe {
        let mut found: libc::statx = std::mem::zeroed();
        (libc::statx(fd, c"".as_ptr(), libc::AT_EMPTY_PATH, libc::STATX_DIOALIGN, &mut found), found)
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let known = found.stx_mask & libc::STATX_DIOALIGN != 0 && found.stx_dio_offset_align > 0;
    Ok(if known { u64::from(found.stx_dio_offset_align) } else { 4096 })
}

fn at(path: &Path, error: io::Error) -> String {
    format!("{}: {error}", path.display())
}
