//! A disk's space reserve: a few written files without a name (O_TMPFILE), so that a vote, a compaction and a recovery work on a full
//! disk. The files are held open, no directory shows them, and they go with the process.

use crate::format::ROOT_BYTES;
use crate::io::{retry_interrupted, write_durable_at, Access, AlignedBuf, Dir, File};
use crate::partition::{Partition, Reserved};
use crate::sync::Mutex;
use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;

/// Files of each kind.
const FILES: usize = 4;

/// Files and their bytes.
type Files = Mutex<Vec<(Arc<dyn File>, u64)>>;

#[derive(Default)]
pub struct Reserve {
    segments: Files,
    roots: Files,
    flush: Mutex<FlushFile>,
}

/// A file that nobody writes to: its flush is the disk's, for those that share one.
#[derive(Default)]
enum FlushFile {
    #[default]
    NotWanted,
    Wanted,
    /// The files of this disk cannot share a flush.
    None,
    Here(Arc<dyn File>),
}

impl Reserve {
    fn files(&self, what: Reserved) -> &Files {
        match what {
            Reserved::Segment => &self.segments,
            Reserved::Root => &self.roots,
        }
    }

    /// A file of at least `bytes`. One that is too small stays: once given up, its space goes to others.
    pub fn take(&self, what: Reserved, bytes: u64) -> Option<Arc<dyn File>> {
        let mut files = self.files(what).lock();
        let fit = files.iter().position(|(_, has)| *has >= bytes)?;
        Some(files.swap_remove(fit).0)
    }

    /// The file for flushes of the disk; if there is none yet it will be made.
    pub fn flush_file(&self) -> Option<Arc<dyn File>> {
        let mut flush = self.flush.lock();
        match &*flush {
            FlushFile::Here(file) => return Some(file.clone()),
            FlushFile::None => {}
            FlushFile::NotWanted | FlushFile::Wanted => *flush = FlushFile::Wanted,
        }
        None
    }

    pub fn clear(&self) {
        // Closing the last descriptor of a file takes as long as its disk does: not under the lock.
        let flush = std::mem::take(&mut *self.flush.lock());
        drop(flush);
        let segments = std::mem::take(&mut *self.segments.lock());
        let roots = std::mem::take(&mut *self.roots.lock());
        drop((segments, roots));
    }

    /// Fills it up in the directory of one of these partitions.
    pub fn top_up(&self, open: &[Arc<Partition>], segment_bytes: u32) {
        if !self.is_full() {
            let _ = open.iter().any(|p| self.top_up_in(p, segment_bytes));
        }
    }

    /// Fills it up in the directory of this partition. A panic costs the reserve a file, not the disk its housekeeper.
    pub fn top_up_in(&self, partition: &Partition, segment_bytes: u32) -> bool {
        let fill = || partition.lend_dir(|dir| self.fill(dir, segment_bytes));
        catch_unwind(AssertUnwindSafe(fill)).unwrap_or(false)
    }

    /// Bytes there are, and bytes there should be.
    pub fn bytes(&self, segment_bytes: u32) -> (u64, u64) {
        let held = |files: &Files| files.lock().iter().map(|(_, bytes)| bytes).sum::<u64>();
        let target = FILES as u64 * (u64::from(segment_bytes) + ROOT_BYTES as u64);
        (held(&self.segments) + held(&self.roots), target)
    }

    pub fn is_full(&self) -> bool {
        let full = self.segments.lock().len() >= FILES && self.roots.lock().len() >= FILES;
        full && !matches!(*self.flush.lock(), FlushFile::Wanted)
    }

    /// Makes what is missing, on the filesystem of `dir`. A disk that has no space or no such files goes without.
    fn fill(&self, dir: &dyn Dir, segment_bytes: u32) {
        self.make_flush_file(dir);
        for (what, bytes) in [(Reserved::Root, ROOT_BYTES), (Reserved::Segment, segment_bytes as usize)] {
            while self.files(what).lock().len() < FILES {
                let bytes = bytes.next_multiple_of(dir.device().block_bytes as usize);
                match written(dir, bytes) {
                    Ok(file) => self.files(what).lock().push((file, bytes as u64)),
                    Err(_) => return,
                }
            }
        }
    }

    /// Only the file for flushes of the disk.
    pub fn make_flush_file_in(&self, partition: &Partition) -> bool {
        let make = || partition.lend_dir(|dir| self.make_flush_file(dir));
        catch_unwind(AssertUnwindSafe(make)).unwrap_or(false)
    }

    /// Makes the file for flushes of the disk, if it is wanted.
    fn make_flush_file(&self, dir: &dyn Dir) {
        if !matches!(*self.flush.lock(), FlushFile::Wanted) {
            return;
        }
        let Ok(file) = dir.create_unnamed(Access::Durable) else { return };
        // What making it has changed of it is written out by its first flush, which nobody waits for.
        let made =
            if file.shares_flushes() && file.sync_disk().is_ok() { FlushFile::Here(file) } else { FlushFile::None };
        *self.flush.lock() = made;
    }
}

fn written(dir: &dyn Dir, bytes: usize) -> io::Result<Arc<dyn File>> {
    let file = dir.create_unnamed(Access::Durable)?;
    match retry_interrupted(|| file.allocate(bytes as u64)) {
        Err(e) if e.raw_os_error() != Some(libc::EOPNOTSUPP) => return Err(e),
        _ => {}
    }
    write_durable_at(&*file, &AlignedBuf::zeroed(bytes), 0)?;
    Ok(file)
}
